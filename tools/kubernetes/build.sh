#!/bin/bash
# build.sh [WHAT...]: builds the programs of tests/kubernetes from their Go modules, and leaves them in
# $FERRULE_CACHE/kubernetes/NAME-VERSION/NAME. What is there already is not built again.
# WHAT is a program's name, or a set: api (the default), node, prometheus, all. Prints the path of each program.
# NICE=1 gives way to whatever else runs on the machine; JOBS=n compiles n packages at a time.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/versions.env"
cache=${FERRULE_CACHE:-/var/cache/ferrule}/kubernetes

declare -A sets=(
    [api]="etcd kube-apiserver kube-controller-manager kubectl helm"
    [node]="kube-scheduler kubelet kube-proxy coredns"
    [prometheus]="prometheus promtool"
)
sets[all]="${sets[api]} ${sets[node]} ${sets[prometheus]}"

helm_major=${HELM%%.*}
rest=${KUBERNETES#*.}
kube_version=k8s.io/component-base/version
declare -A version=([kubernetes]=$KUBERNETES [etcd]=$ETCD [coredns]=$COREDNS [helm]=$HELM [prometheus]=$PROMETHEUS)
declare -A flags=( # without these the programs call themselves v0.0.0, and checks of versions go wrong
    [kubernetes]="-X $kube_version.gitVersion=v$KUBERNETES -X $kube_version.gitMajor=${KUBERNETES%%.*}
        -X $kube_version.gitMinor=${rest%%.*} -X $kube_version.gitTreeState=clean"
    [etcd]=""
    [coredns]=""
    [helm]="-X helm.sh/helm/v$helm_major/internal/version.version=v$HELM"
    [prometheus]="-X github.com/prometheus/common/version.Version=$PROMETHEUS"
)
declare -A tags=([prometheus]=remove_all_sd) # no discovery in clouds: 250 packages fewer
declare -A package=(
    [etcd]=go.etcd.io/etcd/server/v3
    [coredns]=.
    [helm]=helm.sh/helm/v$helm_major/cmd/helm
    [prometheus]=github.com/prometheus/prometheus/cmd/prometheus
    [promtool]=github.com/prometheus/prometheus/cmd/promtool
)
module() { # the folder in gomod/ that a program is built in
    case $1 in
        kube*) echo kubernetes ;;
        promtool) echo prometheus ;;
        *) echo "$1" ;;
    esac
}
place() { echo "$cache/$1-${version[$(module "$1")]}/$1"; }

programs=()
for what in "${@:-api}"; do
    read -ra names <<<"${sets[$what]:-$what}"
    # "prometheus" is a set and a program of it
    programs+=("${names[@]}")
done
for program in "${programs[@]}"; do
    [[ " ${sets[all]} " == *" $program "* ]] || {
        echo "build.sh: no program or set called $program; there are: ${!sets[*]} ${sets[all]}" >&2
        exit 2
    }
done

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9 # two runs at once would build the same twice

build() { # build MODULE PROGRAM...: all in one invocation, so that what they share is compiled once
    local name=$1 program packages=() start=$SECONDS new
    shift
    for program; do
        packages+=("${package[$program]:-k8s.io/kubernetes/cmd/$program}")
    done
    new=$(mktemp -d "$cache/.new.XXXXXX")
    echo "building $* (${version[$name]})" >&2
    (
        cd "$here/gomod/$name"
        # The checksums in go.sum are what pins the sources: nothing outside it may be taken.
        export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOWORK=off
        ${NICE:+nice -n 19 ionice -c3} go build -trimpath -buildvcs=false ${JOBS:+-p "$JOBS"} \
            ${tags[$name]:+-tags "${tags[$name]}"} -ldflags "-s -w $(echo ${flags[$name]})" \
            -o "$new/" "${packages[@]}"
    )
    [ ! -e "$new/server" ] || mv "$new/server" "$new/etcd" # named after its package
    for program; do
        mkdir -p "$(dirname "$(place "$program")")"
        mv "$new/$program" "$(place "$program")"
    done
    rmdir "$new"
    echo "built $* in $((SECONDS - start)) s" >&2
}

for name in etcd coredns helm kubernetes prometheus; do
    missing=()
    for program in "${programs[@]}"; do
        [ "$(module "$program")" = "$name" ] && [ ! -x "$(place "$program")" ] && missing+=("$program")
    done
    [ ${#missing[@]} = 0 ] || build "$name" "${missing[@]}"
done
for program in "${programs[@]}"; do
    place "$program"
done
