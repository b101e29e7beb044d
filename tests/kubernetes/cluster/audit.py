"""The API server's audit log, read as facts: who wrote what, and how often.

The policy notes every write and no body, so a secret cannot get into it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

WRITES = ("create", "update", "patch", "delete", "deletecollection")

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        # Some questions are asked by creating something: those are no writes.
        {"level": "None", "resources": [{"group": "authentication.k8s.io"}]},
        {"level": "None", "resources": [{"group": "authorization.k8s.io"}]},
        {"level": "Metadata", "verbs": list(WRITES)},
        {"level": "None"},
    ],
}


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """One write that the API server answered; `code` is the HTTP status."""

    user: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int

    def __str__(self) -> str:
        kind = "/".join(part for part in (self.group, self.resource, self.subresource) if part)
        return f"{self.user}: {self.verb} {kind} {self.namespace}/{self.name} -> {self.code}"


class AuditLog:
    """Reads the log from a mark on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """The place where the log ends now, in octets."""
        return self._path.stat().st_size if self._path.exists() else 0

    def writes(self, mark: int = 0, *, user: str = "", namespace: str = "") -> list[Write]:
        """The writes since the mark, of one user (a prefix) or in one namespace if given."""
        return [
            write
            for write in self._read(mark)
            if write.user.startswith(user) and namespace in ("", write.namespace)
        ]

    def _read(self, mark: int) -> Iterator[Write]:
        with self._path.open("rb") as file:
            file.seek(mark)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                yield _parse(json.loads(line))


def _parse(event: dict[str, object]) -> Write:
    target = event.get("objectRef") or {}
    user = event.get("user") or {}
    status = event.get("responseStatus") or {}
    assert isinstance(target, dict)
    assert isinstance(user, dict)
    assert isinstance(status, dict)
    return Write(
        user=user.get("username", ""),
        agent=str(event.get("userAgent", "")),
        verb=str(event["verb"]),
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=status.get("code", 0),
    )
