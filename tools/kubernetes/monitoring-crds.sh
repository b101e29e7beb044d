#!/bin/bash
# monitoring-crds.sh: puts the definitions of the Prometheus operator, out of its Go module, into
# $FERRULE_CACHE/kubernetes/monitoring-crds-VERSION/, and prints that folder. The checksum is what pins them.
set -euo pipefail

version=0.85.0
sum='h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s='
module=github.com/prometheus-operator/prometheus-operator@v$version
folder=${FERRULE_CACHE:-/var/cache/ferrule}/kubernetes/monitoring-crds-$version

if [ ! -e "$folder" ]; then
    found=$(cd / && GOFLAGS=-mod=mod GOWORK=off go mod download -json "$module")
    read -r got from < <(python3 -c '
import json, sys
module = json.load(sys.stdin)
print(module["Sum"], module["Dir"])' <<<"$found")
    [ "$got" = "$sum" ] || {
        echo "monitoring-crds.sh: $module has the checksum $got, not $sum" >&2
        exit 1
    }
    mkdir -p "$(dirname "$folder")"
    new=$(mktemp -d "$folder.XXXXXX")
    for kind in podmonitors prometheusrules servicemonitors; do
        install -m 644 "$from/example/prometheus-operator-crd/monitoring.coreos.com_$kind.yaml" "$new/$kind.yaml"
    done
    chmod 755 "$new"
    mv -T "$new" "$folder" 2>/dev/null || rm -rf "$new" # somebody else was faster
fi
echo "$folder"
