"""Kubeconfig files: one cluster, one user, credentials inside."""

from __future__ import annotations

import base64
import json
from pathlib import Path


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def write(
    path: Path,
    *,
    server: str,
    authority: Path,
    certificate: tuple[Path, Path] | None = None,
    token: str | None = None,
) -> Path:
    """Write a kubeconfig with a client certificate (and its key) or a bearer token.

    JSON is YAML, so every client reads it.
    """
    user: dict[str, str] = {}
    if certificate:
        user["client-certificate-data"] = _inline(certificate[0])
        user["client-key-data"] = _inline(certificate[1])
    if token:
        user["token"] = token
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": server, "certificate-authority-data": _inline(authority)},
            }
        ],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path
