"""Who may speak to the pods: clients to the VPN ports, anybody to /metrics, the operator to the
remote port. What clients may reach through a pod is the concentrator's own business."""

from __future__ import annotations

from typing import Any

from ferrule_operator.manifests.child import Parent
from ferrule_operator.names import HTTP_PORT, IKE_PORT, NATT_PORT, REMOTE_PORT
from ferrule_operator.objects import Object, selector_labels


def network_policy(parent: Parent) -> Object | None:
    settings = parent.settings
    if not settings.network_policy:
        return None
    operator = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": settings.own_namespace}
        },
        "podSelector": {"matchLabels": dict(settings.own_labels)},
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": parent.metadata(parent.name),
        "spec": {
            "podSelector": {"matchLabels": selector_labels(parent.name)},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [_port("UDP", IKE_PORT), _port("UDP", NATT_PORT)]},
                {"ports": [_port("TCP", HTTP_PORT)], "from": [{"namespaceSelector": {}}]},
                {"ports": [_port("TCP", REMOTE_PORT)], "from": [operator]},
            ],
        },
    }


def _port(protocol: str, number: int) -> dict[str, Any]:
    return {"protocol": protocol, "port": number}
