"""The API server's audit log, read as facts: who asked for what, who wrote what, and how often.

The policy notes every write, what service accounts read, and no body, so a secret cannot get into
it. A watch is noted when it ends.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

WRITES = ("create", "update", "patch", "delete", "deletecollection")
READS = ("get", "list", "watch")

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        # Some questions are asked by creating something: those are no writes.
        {"level": "None", "resources": [{"group": "authentication.k8s.io"}]},
        {"level": "None", "resources": [{"group": "authorization.k8s.io"}]},
        {"level": "Metadata", "verbs": list(WRITES)},
        # The controllers' own reading is most of all traffic.
        {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
        {"level": "Metadata", "userGroups": ["system:serviceaccounts"], "verbs": list(READS)},
        {"level": "None"},
    ],
}


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One request that the API server answered; `code` is the HTTP status."""

    user: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    forbidden: bool = False  # by RBAC; an admission plugin's refusal is 403 as well

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

    def writes(self, mark: int = 0, *, user: str = "", namespace: str = "") -> list[Request]:
        """The writes since the mark, of one user (a prefix) or in one namespace if given."""
        found = self.requests(mark, user=user, namespace=namespace)
        return [request for request in found if request.verb in WRITES]

    def requests(self, mark: int = 0, *, user: str = "", namespace: str = "") -> list[Request]:
        """The same with what service accounts read."""
        return [
            request
            for request in self._read(mark)
            if request.user.startswith(user) and namespace in ("", request.namespace)
        ]

    def _read(self, mark: int) -> Iterator[Request]:
        with self._path.open("rb") as file:
            file.seek(mark)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                yield _parse(json.loads(line))


def _parse(event: dict[str, object]) -> Request:
    target = event.get("objectRef") or {}
    user = event.get("user") or {}
    status = event.get("responseStatus") or {}
    notes = event.get("annotations") or {}
    assert isinstance(target, dict)
    assert isinstance(user, dict)
    assert isinstance(status, dict)
    assert isinstance(notes, dict)
    return Request(
        user=user.get("username", ""),
        agent=str(event.get("userAgent", "")),
        verb=str(event["verb"]),
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=status.get("code", 0),
        forbidden=notes.get("authorization.k8s.io/decision") == "forbid",
    )
