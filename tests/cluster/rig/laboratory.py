"""The interop laboratory with a cluster in the gateway's place.

    guests ── wan ──┐                          ┌─ pods ── [pod-0] [pod-1] [pod-2] ── back ── [web]
    guests ── lan ── [nat] ── wan ── [balancer] ┤                                        │
    [crowd] ── wan ─────────────────────────────└─ pods ── [store]                     [web]

The balancer has the service address and forwards. `crowd` is where hundreds of user-space clients
live, each with an address of its own. `web` reaches the pool by way of any pod.
"""

from __future__ import annotations

from pathlib import Path

from interop.rig.namespaces import Namespace, Namespaces
from interop.rig.topology import SERVER_ADDRESS, WEB_ADDRESS, Laboratory

PODS = 3
POOL = "10.99.0.0/22"
STORE_ADDRESS = "10.66.0.5"
CROWD_NETWORK = "10.78.0.0/16"
_CROWD_ADDRESS = "192.0.2.4"
_BALANCER_INSIDE = "10.66.0.1"


def pod_name(number: int) -> str:
    """As the StatefulSet calls it."""
    return f"pod-{number}"


def pod_address(number: int) -> str:
    """Where the balancer, the ring and the store's answers reach it."""
    return f"10.66.0.{10 + number}"


def back_address(number: int) -> str:
    """Where the network behind reaches it."""
    return f"198.51.100.{10 + number}"


class ClusterLaboratory(Laboratory):
    """`server` is the balancer here; `pods`, `store` and `crowd` are namespaces too."""

    def __init__(self, folder: Path) -> None:
        self.pods: list[Namespace] = []
        super().__init__(folder)

    def _build_inside(self) -> None:
        balancer, switch, join = self.server, self.switch, Namespaces.join
        self.store = self._namespaces.add("store")
        self.crowd = self._namespaces.add("crowd")
        for bridge in ("pods", "back"):
            switch.add_bridge(bridge)
        cables = [
            ("pods", "p-balancer", balancer, "pods", _BALANCER_INSIDE),
            ("pods", "p-store", self.store, "eth0", STORE_ADDRESS),
            ("back", "b-web", self.web, "eth0", WEB_ADDRESS),
            ("wan", "p-crowd", self.crowd, "wan", _CROWD_ADDRESS),
        ]
        for number in range(PODS):
            pod = self._namespaces.add(pod_name(number))
            self.pods.append(pod)
            cables += [
                ("pods", pod_port(number), pod, "eth0", pod_address(number)),
                ("back", f"b-{pod_name(number)}", pod, "back", back_address(number)),
            ]
        for bridge, port, namespace, device, address in cables:
            join(switch, port, namespace, device)
            switch.plug(port, bridge)
            namespace.ip("addr", "add", f"{address}/24", "dev", device)
        for namespace in (*self.pods, self.store):
            namespace.ip("route", "add", "default", "via", _BALANCER_INSIDE)
        self.crowd.ip("route", "add", "default", "via", SERVER_ADDRESS)
        # Every address of the network is the crowd's own: each client binds one.
        self.crowd.ip("route", "add", "local", CROWD_NETWORK, "dev", "lo")
        balancer.ip("route", "add", CROWD_NETWORK, "via", _CROWD_ADDRESS)
        balancer.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def pod_port(number: int) -> str:
    """The switch's port that a pod's cable is plugged into."""
    return f"p-{pod_name(number)}"
