"""Where tools/kubernetes/build.sh left its programs, and the versions that it built."""

from __future__ import annotations

import os
from pathlib import Path

_TOOLS = Path(__file__).parents[3] / "tools" / "kubernetes"
_OWN_VERSION = {
    "coredns": "COREDNS",
    "etcd": "ETCD",
    "helm": "HELM",
    "prometheus": "PROMETHEUS",
    "promtool": "PROMETHEUS",
}


class NotBuilt(Exception):
    """A program is not in the cache; the text says how to build it."""


def versions() -> dict[str, str]:
    """The pinned versions: KUBERNETES, ETCD, HELM and so on."""
    lines = (_TOOLS / "versions.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def binary(name: str) -> Path:
    """The path of a program; raises NotBuilt."""
    cache = Path(os.environ.get("FERRULE_CACHE", "/var/cache/ferrule")) / "kubernetes"
    version = versions()[_OWN_VERSION.get(name, "KUBERNETES")]
    path = cache / f"{name}-{version}" / name
    if not path.exists():
        raise NotBuilt(f"there is no {path}: run tools/kubernetes/build.sh {name}")
    return path
