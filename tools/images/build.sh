#!/bin/bash
# Builds the images of the Dockerfile without Docker, on Debian 12 as root: mmdebstrap makes the base,
# buildah does the rest. Installs both. Leaves OCI archives, one a target, and prints their paths:
#   tools/images/build.sh [concentrator] [operator]
# What did not change is not built again. The same commit on the same state of Debian gives the same
# image: Debian's date and the commit's are the only times in it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${FERRULE_CACHE:-$root/.cache}/images
suite=bookworm
tools=(buildah mmdebstrap)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(concentrator operator)

[ "$(id -u)" = 0 ] || { echo "run me as root" >&2; exit 1; }
say() { echo "images: $*" >&2; }

# --- tools

missing=()
for tool in "${tools[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$tool" 2>/dev/null | grep -qx installed || missing+=("$tool")
done
release() { ls /var/lib/apt/lists/*_dists_${suite}-security_InRelease 2>/dev/null; }
if [ ${#missing[@]} -gt 0 ] || [ -z "$(release)" ]; then
    apt-get update -qq
fi
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$cache/tmp"
exec 9>"$cache/lock" # one at a time
flock 9
export TMPDIR=$cache/tmp # where buildah keeps pip's downloads, too
stores=(--root "$cache/storage" --runroot "$cache/run" --storage-driver overlay)
build() { buildah "${stores[@]}" "$@"; }

# --- base: Debian without documentation, kept until Debian publishes something new

debian=$(sed -n 's/^Date: //p' $(release) | head -n 1)
day=$(date -u -d "$debian" +%Y%m%d%H%M)
base=$cache/debian-$suite-$day.tar
if [ ! -e "$base" ]; then
    say "making the base of $suite as of $debian"
    rm -f "$cache"/debian-$suite-*
    exclude=(--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*'
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright')
    # merged-usr with its marker package: the other one, usrmerge, brings 50 MB of Perl
    SOURCE_DATE_EPOCH=$(date -u -d "$debian" +%s) mmdebstrap --quiet --variant=minbase --format=tar \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged \
        "${exclude[@]}" $suite - >"$base.new" 2>"$cache/mmdebstrap.log" || { cat "$cache/mmdebstrap.log" >&2; exit 1; }
    mv "$base.new" "$base"
fi
# Layers of earlier builds make this one fast; not without bound.
if [ "$(du -sm "$cache/storage" 2>/dev/null | cut -f1)" -gt 6000 ] 2>/dev/null; then
    build rmi --all --force >/dev/null
fi
name=localhost/ferrule-base:$day
if ! build images -q "$name" >/dev/null 2>&1; then
    container=$(build from scratch)
    build add -q "$container" "$base" / >/dev/null
    build commit -q --timestamp 0 --rm "$container" "$name" >/dev/null
fi

# --- images

# What the Dockerfile copies, by content: an uncommitted change counts.
digest=$(cd "$root" && find Dockerfile .dockerignore pyproject.toml README.md LICENSE requirements/*.lock \
    concentrator operator -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z |
    xargs -0 sha256sum | sha256sum | cut -c1-16)
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || date +%s)}
bundle=/etc/ssl/certs/ca-certificates.crt # a machine may have authorities of its own between it and PyPI

for target in "${targets[@]}"; do
    archive=$cache/$target-$day-$digest.tar
    if [ ! -e "$archive" ]; then
        say "building $target"
        build bud --quiet --layers --isolation chroot --network host --pull-never --timestamp "$epoch" \
            --build-arg BASE="$name" --build-arg PIP_CERT=/run/secrets/ca --secret id=ca,src=$bundle \
            --target "$target" --tag "localhost/ferrule/$target:ci" "$root" >/dev/null
        rm -f "$archive.new"
        build push --quiet "localhost/ferrule/$target:ci" "oci-archive:$archive.new:localhost/ferrule/$target:ci"
        rm -f "$cache/$target"-*.tar
        mv "$archive.new" "$archive"
    fi
    echo "$archive"
done
