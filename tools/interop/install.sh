#!/bin/bash
# Installs what tests/interop needs on Debian 12: a user-mode Linux kernel, the clients that run in it, and
# the host's tools. Safe to run again; does nothing and asks no network when all is there.
# libreswan conflicts with strongSwan, so it is unpacked beside it: the guests lay it over their root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${FERRULE_CACHE:-$(cd "$here/../.." && pwd)/.cache}

# Versions of upstream that the tests are written for; Debian's revisions of them change with fixes.
declare -A pinned=(
    [strongswan-charon]=5.9.8 [strongswan-swanctl]=5.9.8 [libcharon-extra-plugins]=5.9.8
    [libstrongswan-standard-plugins]=5.9.8
    [xl2tpd]=1.3.18 [ppp]=2.4.9 [user-mode-linux]=6.1
)
tools=(
    strongswan-starter iproute2 nftables conntrack iperf3 tcpdump ike-scan iputils-ping kmod procps
    # what libreswan's programs are linked with
    libcap-ng0 libcurl3-nss libevent-core-2.1-7 libevent-pthreads-2.1-7 libldap-2.5-0 libldns3
    libnss3 libnss3-tools libselinux1 libsystemd0 libunbound8
)
libreswan_version=4.10

[ "$(id -u)" = 0 ] || { echo "run me as root" >&2; exit 1; }

# Upstream's part of an installed package's version: 1:2.4.9-1+1.1 -> 2.4.9
upstream() {
    dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null |
        sed -n -E 's/^installed ([0-9]+:)?([^-]*).*/\2/p'
}

missing=()
for package in "${!pinned[@]}" "${tools[@]}"; do
    [ -n "$(upstream "$package")" ] || missing+=("$package")
done
layer=$cache/libreswan-$libreswan_version
if [ ${#missing[@]} -gt 0 ] || [ ! -e "$layer/usr/libexec/ipsec/pluto" ]; then
    apt-get update -qq
fi

if [ ${#missing[@]} -gt 0 ]; then
    echo "installing ${missing[*]}"
    # The daemons are for the guests: nothing may start on the host.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
        >/dev/null
fi
for package in "${!pinned[@]}"; do
    case $(upstream "$package") in
        "${pinned[$package]}"*) ;;
        *)
            echo "$package is $(upstream "$package"), the tests need ${pinned[$package]}: Debian 12" >&2
            exit 1
            ;;
    esac
done

if [ ! -e "$layer/usr/libexec/ipsec/pluto" ]; then
    echo "unpacking libreswan $libreswan_version"
    rm -rf "$layer" "$layer.new"
    mkdir -p "$layer.new/download"
    # apt-get drops its privileges for a download where it can: the folder must let it in, or it warns
    (cd "$layer.new/download" && apt-get download -qq -o APT::Sandbox::User=root libreswan)
    package=$(echo "$layer.new/download/libreswan_${libreswan_version}"-*.deb)
    [ -e "$package" ] || { echo "Debian has no libreswan $libreswan_version" >&2; exit 1; }
    dpkg -x "$package" "$layer.new"
    rm -rf "$layer.new/download"
    for folder in bin sbin lib; do # links to /usr on the host, which a layer must not hide
        [ -d "$layer.new/$folder" ] || continue
        mkdir -p "$layer.new/usr/$folder"
        cp -a "$layer.new/$folder/." "$layer.new/usr/$folder/"
        rm -rf "$layer.new/$folder"
    done
    mv "$layer.new" "$layer"
fi

for modules in /usr/lib/uml/modules/*; do
    if [ ! -e "$modules/modules.dep" ]; then
        base=$(mktemp -d)
        mkdir -p "$base/lib/modules"
        ln -s "$modules" "$base/lib/modules/"
        depmod -b "$base" "$(basename "$modules")"
        rm -rf "$base"
    fi
done
if [ ! -e /dev/net/tun ]; then
    mkdir -p /dev/net
    mknod /dev/net/tun c 10 200
fi
