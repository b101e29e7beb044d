"""The chart as Helm renders it, without a cluster."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml import YAML

from tests.kubernetes.cluster.binaries import binary

CHART = Path(__file__).resolve().parents[3] / "charts" / "ferrule"
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
MONITORING = tuple(
    f"monitoring.coreos.com/v1/{kind}"
    for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule")
)
LIVE = "apiregistration.k8s.io/v1/APIService"  # what every API server has, and no default of Helm's
OURS = ("ferrule.dev/v1alpha1/VpnGateway", "ferrule.dev/v1alpha1/VpnUser")

Manifest: TypeAlias = dict[str, Any]


class HelmRefused(Exception):
    """Helm's words."""


def helm(*arguments: str) -> str:
    """Raises HelmRefused."""
    done = subprocess.run(
        [str(binary("helm")), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "KUBECONFIG": "/nonexistent"},
    )
    if done.returncode:
        raise HelmRefused(done.stdout + done.stderr)
    return done.stdout


def render(
    *files: Path,
    sets: Mapping[str, str] | None = None,
    apis: Iterable[str] = (),
    release: str = "ferrule",
    namespace: str = "vpn",
) -> list[Manifest]:
    """All manifests. `sets` are JSON texts by path; `apis` is what a cluster says it has."""
    text = helm(
        "template", release, str(CHART), "--namespace", namespace,
        *(word for file in files for word in ("--values", str(file))),
        *(word for path, json in (sets or {}).items() for word in ("--set-json", f"{path}={json}")),
        *(word for api in apis for word in ("--api-versions", api)),
    )  # fmt: skip
    return [item for item in YAML(typ="safe").load_all(text) if item]


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [item for item in manifests if item["kind"] == kind]


def one(manifests: Iterable[Manifest], kind: str, name: str = "") -> Manifest:
    """The only one of that kind (and name)."""
    (found,) = [item for item in of_kind(manifests, kind) if name in ("", item["metadata"]["name"])]
    return found
