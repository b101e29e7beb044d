#!/bin/bash
# Writes gomod/*/go.mod and go.sum for the versions in versions.env. Needs the network; run it after a change
# of a version, and commit what it writes. build.sh only reads those files and never changes them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/versions.env"
export GOFLAGS=-mod=mod GOTOOLCHAIN=local GOWORK=off

# Kubernetes requires its staging modules at v0.0.0 and replaces them by folders, which only its own tree has:
# whoever requires it from outside replaces them by the versions that were released with it.
staging=(
    api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
    code-generator component-base component-helpers controller-manager cri-api cri-client cri-streaming
    csi-translation-lib dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator
    kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils
    pod-security-admission sample-apiserver sample-cli-plugin sample-controller streaming
)

begin() { # begin NAME GO: an empty module
    local folder=$here/gomod/$1
    rm -f "$folder"/go.*
    mkdir -p "$folder"
    cd "$folder"
    printf 'module ferrule.dev/tools/kubernetes/%s\n\ngo %s\n' "$1" "$2" >go.mod
}

finish() { # finish PROGRAM...: requires what the programs need, and nothing else
    local program
    for program; do
        go mod edit -tool="$program"
    done
    go mod tidy
}

pin_kubernetes() {
    begin kubernetes 1.26.0
    local name
    go mod edit -require="k8s.io/kubernetes@v$KUBERNETES"
    for name in "${staging[@]}"; do
        go mod edit -replace="k8s.io/$name=k8s.io/$name@v0.${KUBERNETES#1.}"
    done
    finish k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet} \
        k8s.io/kubernetes/cmd/kubectl
}

pin_etcd() {
    begin etcd 1.26.0
    go mod edit -require="go.etcd.io/etcd/server/v3@v$ETCD"
    finish go.etcd.io/etcd/server/v3
}

pin_coredns() { # a program of ours in that folder says which plugins
    begin coredns 1.26.0
    go mod edit -require="github.com/coredns/coredns@v$COREDNS"
    finish
}

pin_helm() {
    begin helm 1.26.0
    go mod edit -require="helm.sh/helm/v${HELM%%.*}@v$HELM"
    finish "helm.sh/helm/v${HELM%%.*}/cmd/helm"
}

pin_prometheus() { # released as v3.x.y, tagged for Go as v0.3xx.y
    begin prometheus 1.26.0
    local rest=${PROMETHEUS#*.}
    go mod edit -require="github.com/prometheus/prometheus@v0.${PROMETHEUS%%.*}$(printf '%02d' "${rest%%.*}").${rest#*.}"
    finish github.com/prometheus/prometheus/cmd/{prometheus,promtool}
}

for what in "${@:-kubernetes etcd coredns helm prometheus}"; do
    for name in $what; do
        echo "$name" >&2
        (pin_"$name")
    done
done
