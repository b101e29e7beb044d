"""From `helm install` to a ping through the tunnel, on a real node with our own images.

The chart installs the operator, the operator makes the pods, kube-proxy carries UDP 500 and 4500
to them, and clients outside connect: `ferrule probe`, and strongSwan with xl2tpd and pppd.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from interop.rig.namespaces import Namespace
from interop.rig.peers import Client, StrongSwan
from interop.rig.profiles import Profile
from interop.rig.topology import WEB_ADDRESS
from tests.kubernetes.cluster.api import eventually
from tests.kubernetes.node.cluster import NodeCluster

CHART = Path(__file__).parents[2] / "charts" / "ferrule"
NAMESPACE = "vpn"
POOL = "10.20.0.0/24"
REVOKED_SECONDS = 5.0


@dataclass
class Gateway:
    """A gateway whose pod is ready, and how to get in."""

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

    def sessions(self) -> list[dict[str, Any]]:
        """What the concentrator itself says."""
        said = self.node.api.kubectl(
            *("exec", "--namespace", NAMESPACE, f"{self.name}-0", "--container", "concentrator"),
            *("--", "ferrule", "sessions", "--json"),
        )
        sessions = json.loads(said)
        assert isinstance(sessions, list)
        return sessions


def resource(kind: str, name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "ferrule.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def user(name: str, **spec: object) -> dict[str, Any]:
    return resource("VpnUser", name, gatewayRef={"name": "office"}, **spec)


@pytest.fixture(scope="module")
def release(node: NodeCluster) -> Iterator[None]:
    """The chart, installed as its README says, with the images of this checkout."""
    node.api.create_namespace(NAMESPACE, {"pod-security.kubernetes.io/enforce": "privileged"})
    where = ("--namespace", NAMESPACE, "--wait", "--timeout", "90s")
    images = "operator.image.tag=ci,concentrator.image.tag=ci"
    node.api.helm("install", "ferrule", str(CHART), "--set", images, *where)
    yield
    node.api.helm("uninstall", "ferrule", *where)


@pytest.fixture(scope="module")
def gateway(node: NodeCluster, release: None) -> Iterator[Gateway]:
    """A gateway behind a load balancer, with the users alice and bob."""
    api = node.api
    api.apply(
        resource(
            "VpnGateway",
            "office",
            exposure={"type": "LoadBalancer"},
            pools=[{"name": "default", "cidr": POOL}],
        ),
        user("alice"),
        user("bob"),
        namespace=NAMESPACE,
    )
    eventually(lambda: api.get("pod", "office-0", NAMESPACE), seconds=30)
    node.await_running("office-0", NAMESPACE)
    address = node.play_load_balancer("office", NAMESPACE)
    api.kubectl(
        *("wait", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=60s"),
        *("vpngateway/office", "vpnuser/alice", "vpnuser/bob"),
        timeout=200,
    )
    yield Gateway(node, "office", address)
    api.kubectl("delete", "vpnuser,vpngateway", "--all", "--namespace", NAMESPACE, timeout=90)


@pytest.fixture(scope="module")
def client(node: NodeCluster) -> Client:
    """A person's machine: strongSwan, xl2tpd and pppd in user-mode Linux."""
    guest = node.laboratory.add_guest("client")
    guest.await_boot()
    client = Client(guest, StrongSwan(guest))
    client.move(node.laboratory, "wan")
    client.start()
    return client


def test_the_probe_gets_through(gateway: Gateway, node: NodeCluster) -> None:
    answer = gateway.probe(node.laboratory.nat.namespace, "alice")
    assert answer["ok"] is True


@pytest.mark.parametrize("bridge", ["wan", "lan"])
def test_a_real_client_gets_through(
    gateway: Gateway, node: NodeCluster, client: Client, bridge: str
) -> None:
    node.laboratory.nat.reset()
    client.move(node.laboratory, bridge)
    session = client.connect(gateway.profile("alice"), seconds=30)
    assert ip_address(session.address) in ip_network(POOL)
    (seen,) = gateway.sessions()
    assert (seen["user"], seen["address"]) == ("alice", session.address)
    client.hang_up()
    eventually(lambda: not gateway.sessions(), seconds=10)


def test_a_user_who_is_disabled_is_out_at_once(
    gateway: Gateway, node: NodeCluster, client: Client
) -> None:
    client.connect(gateway.profile("bob"), seconds=30)
    node.api.apply(user("bob", enabled=False), namespace=NAMESPACE)
    eventually(lambda: not client.has_ppp(), seconds=REVOKED_SECONDS)
    assert gateway.sessions() == []


def test_the_resources_tell_who_is_on(gateway: Gateway, node: NodeCluster, client: Client) -> None:
    client.connect(gateway.profile("alice"), seconds=30)

    def told() -> bool:
        office = node.api.get("vpngateway", "office", NAMESPACE)["status"]
        alice = node.api.get("vpnuser", "alice", NAMESPACE)["status"]
        return bool(office["sessions"] == 1 and alice["activeSessions"] == 1)

    eventually(told, seconds=45, what="the status has the session")
    client.hang_up()


def test_deletion_leaves_nothing(gateway: Gateway, node: NodeCluster) -> None:
    api = node.api
    api.kubectl(
        "delete",
        "vpnuser,vpngateway",
        "--all",
        "--namespace",
        NAMESPACE,
        "--timeout=60s",
        timeout=90,
    )
    kinds = "pods,statefulsets,services,secrets,networkpolicies,serviceaccounts"

    def left() -> list[str]:
        names = [item["metadata"]["name"] for item in api.list(kinds, NAMESPACE)]
        return [name for name in names if name.startswith(("office", "vpnuser-"))]

    eventually(lambda: not left(), seconds=60, what="all children are gone")
