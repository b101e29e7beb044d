"""The pods' ServiceAccount: no token is mounted, no right is given."""

from __future__ import annotations

from ferrule_operator.manifests.child import Parent
from ferrule_operator.objects import Object


def service_account(parent: Parent) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": parent.metadata(parent.name),
        "automountServiceAccountToken": False,
    }
