"""The node of the rig: real pods of our image, and UDP through Services of every exposure.

A cloud's load balancer is played: the rig writes an address into the Service's status.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from interop.rig.namespaces import Namespaces
from interop.rig.topology import NAT_ADDRESS
from tests.kubernetes.cluster.api import eventually
from tests.kubernetes.cluster.binaries import versions
from tests.kubernetes.cluster.network import within
from tests.kubernetes.node.cluster import NODE, NODE_ADDRESS, NodeCluster
from tests.kubernetes.node.machine import Machine

IMAGE = "localhost/ferrule/concentrator:ci"
PORT = 10500

# Says from which address a datagram came.
ECHO = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", {PORT}))
print("listening", flush=True)
while True:
    data, sender = s.recvfrom(2048)
    s.sendto(sender[0].encode(), sender)
"""


def pod_spec(*command: str, **more: object) -> dict[str, Any]:
    """A pod with nothing that it could do harm with."""
    container = {
        "name": "main",
        "image": IMAGE,
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
        **more,
    }
    return {
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsUser": 65532,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def pod(name: str, spec: Mapping[str, object]) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(spec)}


def service(name: str, **spec: object) -> dict[str, Any]:
    ports = [{"name": "ike", "protocol": "UDP", "port": 500, "targetPort": PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports, **spec},
    }


def ask(network: Path, address: str, port: int) -> str:
    """Ask the echo from a network namespace; kube-proxy may be a moment behind."""

    def once() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.5)
            try:
                client.sendto(b"where from?", (address, port))
                return client.recv(2048).decode()
            except OSError:  # dropped or refused: no endpoint yet
                time.sleep(0.2)
                return ""

    return within(
        network, lambda: eventually(once, seconds=30, what=f"an answer from {address}:{port}")
    )


@pytest.fixture
def outside(node: NodeCluster) -> Path:
    """The network namespace of a client on the wide-area net."""
    return node.network_of(node.laboratory.nat.namespace)


@pytest.fixture
def echo(node: NodeCluster, node_namespace: str) -> str:
    """A namespace with a pod called echo that answers on UDP 10500."""
    node.api.apply(pod("echo", pod_spec("python3", "-c", ECHO)), namespace=node_namespace)
    node.await_running("echo", node_namespace)
    eventually(lambda: "listening" in node.api.kubectl("logs", "echo", "-n", node_namespace))
    return node_namespace


def test_the_node_is_what_we_built(node: NodeCluster) -> None:
    information = node.api.get("node", NODE)["status"]["nodeInfo"]
    assert information["kubeletVersion"] == f"v{versions()['KUBERNETES']}"
    assert information["containerRuntimeVersion"].startswith("containerd://")


def test_a_pod_has_no_privilege(node: NodeCluster, echo: str) -> None:
    said = node.api.kubectl("exec", "-n", echo, "echo", "--", "cat", "/proc/1/status")
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["65532"] * 4
    assert {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_both_runtimes_run_pods(node: NodeCluster, node_namespace: str, runtime: str) -> None:
    api = node.api
    api.apply(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": runtime},
            "handler": runtime,
        }
    )
    spec = pod_spec("python3", "-c", ECHO)
    api.apply(pod("a", {**spec, "runtimeClassName": runtime}), namespace=node_namespace)
    node.await_running("a", node_namespace)


class TestServices:
    def test_inside_by_cluster_address(self, node: NodeCluster, echo: str) -> None:
        node.api.apply(service("echo"), namespace=echo)
        address = node.api.get("service", "echo", echo)["spec"]["clusterIP"]
        assert ask(node.machine.network, address, 500)

    def test_outside_by_node_port(self, node: NodeCluster, echo: str, outside: Path) -> None:
        node.api.apply(
            service("echo", type="NodePort", externalTrafficPolicy="Local"), namespace=echo
        )
        port = node.api.get("service", "echo", echo)["spec"]["ports"][0]["nodePort"]
        assert ask(outside, NODE_ADDRESS, port) == NAT_ADDRESS

    def test_outside_by_load_balancer(self, node: NodeCluster, echo: str, outside: Path) -> None:
        node.api.apply(
            service("echo", type="LoadBalancer", externalTrafficPolicy="Local"), namespace=echo
        )
        address = node.play_load_balancer("echo", echo)
        assert ask(outside, address, 500) == NAT_ADDRESS


def test_names_are_resolved(node: NodeCluster, node_namespace: str) -> None:
    """Of Services, and of the single pods of a StatefulSet behind a headless one."""
    api = node.api
    metadata = {"labels": {"app": "ring"}}
    api.apply(
        service("ring", clusterIP="None"),
        service("entry"),
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "ring"},
            "spec": {
                "replicas": 2,
                "serviceName": "ring",
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": metadata["labels"]},
                "template": {"metadata": metadata, "spec": pod_spec("python3", "-c", ECHO)},
            },
        },
        namespace=node_namespace,
    )
    for name in ("ring-0", "ring-1"):
        node.await_running(name, node_namespace)

    def resolved(name: str) -> str:
        program = f"import socket; print(socket.gethostbyname({name!r}))"
        return api.kubectl(
            "exec", "-n", node_namespace, "ring-0", "--", "python3", "-c", program
        ).strip()

    address = api.get("pod", "ring-1", node_namespace)["status"]["podIP"]
    assert eventually(lambda: resolved("ring-1.ring"), seconds=30) == address
    entry = api.get("service", "entry", node_namespace)["spec"]["clusterIP"]
    assert resolved(f"entry.{node_namespace}.svc.cluster.local") == entry


class TestMachine:
    @pytest.fixture
    def network(self) -> Iterator[Path]:
        namespaces = Namespaces()
        yield Path("/run/netns") / namespaces.add("machine").name
        namespaces.close()

    def test_leaves_nothing(self, tmp_path: Path, network: Path) -> None:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        machine = Machine(tmp_path, network)
        first = machine.command()[1].removeprefix("--target=")
        machine.start("sleep", ["sh", "-c", "setsid sleep 600 & sleep 600"])
        eventually(lambda: machine.run("pgrep", "-fc", "sleep 600").strip() >= "2")
        machine.close()
        assert not Path("/proc", first).exists()
        assert not list(Path("/sys/fs/cgroup").glob(f"**/{machine.cgroup}"))
        assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == mounts

    def test_the_machines_own_settings_stay(self, tmp_path: Path, network: Path) -> None:
        setting = Path("/proc/sys/kernel/panic")
        before = setting.read_text()
        machine = Machine(tmp_path, network)
        try:
            machine.run("sh", "-c", "echo 77 >/proc/sys/kernel/panic")
            assert machine.run("cat", "/proc/sys/kernel/panic").strip() == "77"
            assert setting.read_text() == before
        finally:
            machine.close()
