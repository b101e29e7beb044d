"""From `helm install` to a ping through the tunnel, on a real node with our own images.

The chart installs the operator, the operator makes the pods, kube-proxy carries UDP 500 and 4500
to them, and clients outside connect: `ferrule probe`, and strongSwan with xl2tpd and pppd.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from interop.rig.peers import Client
from tests.kubernetes.cluster.api import eventually
from tests.kubernetes.node.cluster import NodeCluster
from tests.kubernetes.office import (
    NAMESPACE,
    POOL,
    Gateway,
    children,
    delete_all,
    gateway_with_users,
    installed_chart,
    person,
    user,
)

REVOKED_SECONDS = 5.0


@pytest.fixture(scope="module")
def gateway(node: NodeCluster) -> Iterator[Gateway]:
    """A gateway of one pod."""
    with installed_chart(node), gateway_with_users(node) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(node: NodeCluster) -> Client:
    """A real client that is not connected."""
    return person(node, "client")


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
    delete_all(node.api)
    eventually(lambda: not children(node.api), seconds=60, what="all children are gone")
