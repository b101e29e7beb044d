"""Who may speak to the pods: clients to the VPN ports, anybody to /metrics, the operator to the
remote port, the gateway's own pods to the ring. What clients may reach through a pod is the
concentrator's own business; and what the pods may reach, the store included, is not restricted."""

from __future__ import annotations

from typing import Any

from ferrule_operator.manifests.child import Parent
from ferrule_operator.names import HTTP_PORT, IKE_PORT, NATT_PORT, REMOTE_PORT, RING_PORT
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
    own = {"podSelector": {"matchLabels": selector_labels(parent.name)}}
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
                *([{"ports": [_port("UDP", RING_PORT)], "from": [own]}] if parent.shared else []),
            ],
        },
    }


def _port(protocol: str, number: int) -> dict[str, Any]:
    return {"protocol": protocol, "port": number}
