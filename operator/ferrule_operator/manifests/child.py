"""What every child has: name, labels, owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.objects import (
    Object,
    child_labels,
    name_of,
    namespace_of,
    owner_reference,
)
from ferrule_operator.settings import Settings


@dataclass(frozen=True, slots=True)
class Parent:
    """A gateway whose spec is read, and what the operator was told."""

    gateway: Object
    spec: VpnGatewaySpec
    settings: Settings

    @property
    def name(self) -> str:
        return name_of(self.gateway)

    @property
    def namespace(self) -> str:
        return namespace_of(self.gateway)

    @property
    def shared(self) -> bool:
        """Can there be several pods that share their sessions?"""
        return self.spec.store.type == "Valkey"

    def metadata(self, name: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": child_labels(self.name),
            **({"annotations": dict(annotations)} if annotations else {}),
            "ownerReferences": [owner_reference(self.gateway)],
        }
