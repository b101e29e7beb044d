#!/bin/bash
# node.sh: what a node needs besides Kubernetes' own programs, on Debian 12 as root: containerd, runc, crun, CNI
# plugins (installed, never started here), and the image of the sandbox, whose path is printed.
# Safe to run again; does nothing and asks no network when all is there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/versions.env"
cache=${FERRULE_CACHE:-/var/cache/ferrule}/kubernetes
packages=(containerd runc crun containernetworking-plugins buildah conntrack nftables iptables iproute2 ethtool gcc
    libc6-dev)

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

# The sandbox's only process is Kubernetes' own, compiled from the same module as the rest.
archive=$cache/pause-$KUBERNETES/pause.tar
if [ ! -e "$archive" ]; then
    mkdir -p "$(dirname "$archive")"
    new=$(mktemp -d "$cache/.pause.XXXXXX")
    trap 'rm -rf "$new" "${policy:-}"' EXIT
    cd "$here/gomod/kubernetes"
    go mod download k8s.io/kubernetes
    source=$(GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off go list -m -f '{{.Dir}}' k8s.io/kubernetes)
    gcc -Os -Wall -Werror -static -s -DVERSION="v$KUBERNETES" -o "$new/pause" "$source/build/pause/linux/pause.c"
    stores=(--root "$new/storage" --runroot "$new/run" --storage-driver vfs)
    name=localhost/ferrule/pause:$KUBERNETES
    container=$(buildah "${stores[@]}" from scratch)
    buildah "${stores[@]}" copy -q "$container" "$new/pause" /pause >/dev/null
    buildah "${stores[@]}" config --entrypoint '["/pause"]' --user 65535:65535 "$container"
    buildah "${stores[@]}" commit -q --timestamp 0 --rm "$container" "$name" >/dev/null
    buildah "${stores[@]}" push -q "$name" "oci-archive:$new/pause.tar:$name"
    mv "$new/pause.tar" "$archive"
fi
echo "$archive"
