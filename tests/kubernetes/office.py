"""The gateway `office` of an installed chart on a real node, and what a person needs to get in."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.rig.namespaces import Namespace
from interop.rig.peers import Client, StrongSwan
from interop.rig.profiles import Profile
from interop.rig.topology import WEB_ADDRESS
from tests.kubernetes.chart.render import CHART
from tests.kubernetes.cluster.api import Api, eventually
from tests.kubernetes.node.cluster import NodeCluster

NAMESPACE = "vpn"
WHERE = ("--namespace", NAMESPACE)
NAME = "office"
POOL = "10.20.0.0/24"
_CONCENTRATOR = ("--container", "concentrator", "--", "ferrule")


@dataclass
class Gateway:
    """A gateway whose pods are ready, and how to get in."""

    node: NodeCluster
    name: str
    address: str

    def secret(self, name: str, key: str) -> str:
        data = self.node.api.get("secret", name, NAMESPACE)["data"]
        return base64.b64decode(data[key]).decode()

    @property
    def psk(self) -> str:
        return self.secret(f"{self.name}-psk", "psk")

    def password(self, user: str) -> str:
        return self.secret(f"vpnuser-{user}", "password")

    def profile(self, user: str) -> Profile:
        return Profile(psk=self.psk, user=user, password=self.password(user), server=self.address)

    def probe(self, place: Namespace, user: str) -> dict[str, Any]:
        """`ferrule probe` from a network namespace, with three pings through the tunnel."""
        psk, password = self.node.folder / "psk", self.node.folder / "password"
        psk.write_text(self.psk)
        password.write_text(self.password(user))
        ferrule = str(Path(sys.executable).with_name("ferrule"))
        said = place.run(
            *(ferrule, "probe", self.address, "--json", "--ping", WEB_ADDRESS),
            *("--psk-file", str(psk), "--user", user, "--password-file", str(password)),
            timeout=60,
        )
        answer = json.loads(said)
        assert isinstance(answer, dict)
        return answer

    def pods(self, *, ready: bool = False) -> list[str]:
        """The pods that the API server knows, or those that are ready and shall stay."""
        selector = f"app.kubernetes.io/instance={self.name}"
        pods = self.node.api.list("pods", NAMESPACE, selector)
        return [pod["metadata"]["name"] for pod in pods if not ready or _serves(pod)]

    def ask(self, pod: str, *question: str) -> Any:
        """What a concentrator itself says: `ferrule sessions`, `ferrule cluster`."""
        said = self.node.api.kubectl("exec", *WHERE, pod, *_CONCENTRATOR, *question, "--json")
        return json.loads(said)

    def sessions(self, pod: str = "") -> list[dict[str, Any]]:
        """The sessions of a pod, of the first if none is named."""
        sessions = self.ask(pod or f"{self.name}-0", "sessions")
        assert isinstance(sessions, list)
        return sessions


def _serves(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def resource(kind: str, name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "ferrule.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def user(name: str, **spec: object) -> dict[str, Any]:
    return resource("VpnUser", name, gatewayRef={"name": NAME}, **spec)


@contextmanager
def installed_chart(node: NodeCluster) -> Iterator[None]:
    """The chart, installed as its README says, with the images of this checkout."""
    node.api.create_namespace(NAMESPACE, {"pod-security.kubernetes.io/enforce": "privileged"})
    where = (*WHERE, "--wait", "--timeout", "90s")
    images = "operator.image.tag=ci,concentrator.image.tag=ci"
    node.api.helm("install", "ferrule", str(CHART), "--set", images, *where)
    try:
        yield
    finally:
        node.api.helm("uninstall", "ferrule", *where)


@contextmanager
def gateway_with_users(node: NodeCluster, **spec: object) -> Iterator[Gateway]:
    """A gateway behind a load balancer, with the users alice and bob; in the end none is left."""
    api = node.api
    api.apply(
        resource(
            "VpnGateway",
            NAME,
            **{
                "exposure": {"type": "LoadBalancer"},
                "pools": [{"name": "default", "cidr": POOL}],
                **spec,
            },
        ),
        user("alice"),
        user("bob"),
        namespace=NAMESPACE,
    )
    # OwnerReferencesPermissionEnforcement refuses owners of a kind that it has not heard of, and
    # it hears of new definitions each half minute; the operator tries again, ever more slowly.
    eventually(lambda: api.get("pod", f"{NAME}-0", NAMESPACE), seconds=70)
    node.await_running(f"{NAME}-0", NAMESPACE)
    address = node.play_load_balancer(NAME, NAMESPACE)
    api.kubectl(
        *("wait", *WHERE, "--for=condition=Ready", "--timeout=60s"),
        *(f"vpngateway/{NAME}", "vpnuser/alice", "vpnuser/bob"),
        timeout=200,
    )
    yield Gateway(node, NAME, address)
    delete_all(api)


def delete_all(api: Api) -> None:
    """Users and gateways, as a person deletes them."""
    api.kubectl("delete", "vpnuser,vpngateway", "--all", *WHERE, "--timeout=60s", timeout=90)


def children(api: Api) -> list[str]:
    """What there is of what the operator made for the gateway and its users."""
    kinds = (
        "pods,statefulsets,services,secrets,networkpolicies,serviceaccounts,poddisruptionbudgets"
    )
    names = [item["metadata"]["name"] for item in api.list(kinds, NAMESPACE)]
    return [name for name in names if name.startswith((NAME, "vpnuser-"))]


def person(node: NodeCluster, name: str) -> Client:
    """A person's machine on the wide-area net: strongSwan, xl2tpd and pppd in user-mode Linux."""
    guest = node.laboratory.add_guest(name)
    guest.await_boot()
    client = Client(guest, StrongSwan(guest))
    client.move(node.laboratory, "wan")
    client.start()
    return client
