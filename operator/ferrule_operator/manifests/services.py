"""The two Services: the public one for clients, the headless one for the pods' names."""

from __future__ import annotations

from typing import Any

from ferrule_operator.manifests.child import Parent
from ferrule_operator.models.gateway import Exposure
from ferrule_operator.names import HTTP_PORT, RING_PORT, pods_service
from ferrule_operator.objects import Object, selector_labels

AFFINITY_SECONDS = 10800


def public_service(parent: Parent) -> Object | None:
    """UDP 500 and 4500 for clients; None where the nodes' own ports serve them."""
    exposure = parent.spec.exposure
    if exposure.type == "HostPort":
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": parent.metadata(parent.name, exposure.annotations),
        "spec": {
            "type": exposure.type,
            "selector": selector_labels(parent.name),
            "ports": [
                _port("ike", 500, exposure),
                _port("natt", 4500, exposure),
            ],
            # Not needed for a client to work, but it spares packets a way between pods.
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}},
            **_outside(exposure),
        },
    }


def _port(name: str, number: int, exposure: Exposure) -> dict[str, Any]:
    port: dict[str, Any] = {"name": name, "protocol": "UDP", "port": number, "targetPort": name}
    if exposure.type == "NodePort" and exposure.node_ports is not None:
        wanted = getattr(exposure.node_ports, name)
        if wanted is not None:
            port["nodePort"] = wanted
    return port


def _outside(exposure: Exposure) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if exposure.type in ("LoadBalancer", "NodePort"):
        fields["externalTrafficPolicy"] = exposure.external_traffic_policy
    if exposure.type == "LoadBalancer":
        if exposure.load_balancer_class:
            fields["loadBalancerClass"] = exposure.load_balancer_class
        if exposure.source_ranges:
            fields["loadBalancerSourceRanges"] = [str(net) for net in exposure.source_ranges]
    return fields


def headless_service(parent: Parent) -> Object:
    """Names such as GATEWAY-0.GATEWAY-pods, from a pod's first moment on."""
    ports: list[dict[str, Any]] = [
        {"name": "http", "protocol": "TCP", "port": HTTP_PORT, "targetPort": "http"}
    ]
    if parent.shared:
        ports.append({"name": "ring", "protocol": "UDP", "port": RING_PORT, "targetPort": "ring"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": parent.metadata(pods_service(parent.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector_labels(parent.name),
            "ports": ports,
        },
    }
