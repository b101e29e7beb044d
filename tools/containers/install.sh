#!/bin/bash
# Installs what tests/containers needs on Debian 12: containerd, runc, crun and the CNI plugins, none of which is
# started; and packs the image of the pods' sandbox, a busybox that sleeps. Safe to run again; does nothing and
# asks no network when all is there.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${FERRULE_CACHE:-$root/.cache}/images
packages=(buildah containerd runc crun containernetworking-plugins busybox-static nftables iptables iproute2)

[ "$(id -u)" = 0 ] || { echo "run me as root" >&2; exit 1; }
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}" >&2
    policy=/usr/sbin/policy-rc.d # nothing may start by itself
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

archive=$cache/sandbox.tar
if [ ! -e "$archive" ]; then
    mkdir -p "$cache"
    stores=(--root "$cache/storage" --runroot "$cache/run" --storage-driver overlay)
    name=localhost/ferrule/sandbox:1
    container=$(buildah "${stores[@]}" from scratch)
    buildah "${stores[@]}" copy -q "$container" /bin/busybox /bin/busybox >/dev/null
    buildah "${stores[@]}" config --entrypoint '["/bin/busybox", "sleep", "2147483647"]' --user 65535:65535 "$container"
    buildah "${stores[@]}" commit -q --timestamp 0 --rm "$container" "$name" >/dev/null
    rm -f "$archive.new"
    buildah "${stores[@]}" push -q "$name" "oci-archive:$archive.new:$name"
    mv "$archive.new" "$archive"
fi
