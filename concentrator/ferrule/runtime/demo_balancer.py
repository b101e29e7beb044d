"""The demo's load balancer: passes UDP on, and sends 500 and 4500 of one client to different pods.

In user space, so that it needs no program of the system. A flow (a client's address and port, a
port of ours) has a socket of its own, as in a NAT; it keeps that when its pod changes.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ferrule.core.ids import Address

PORTS: Final = (500, 4500)
_BATCH: Final = 32
_DATAGRAM_MAX: Final = 65_535

_Key: TypeAlias = tuple[Address, int]


@dataclass(slots=True)
class _Flow:
    key: _Key
    pod: str
    socket: socket.socket


class DemoBalancer:
    """Use it from within the running loop; `close` it at the end."""

    def __init__(self, host: str, pods: Iterable[str]) -> None:
        """`pods` are addresses. Raises OSError."""
        self.passed: Counter[str] = Counter()  # datagrams to each pod
        self._loop = asyncio.get_running_loop()
        self._host = host
        self._pods = list(pods)
        self._flows: dict[_Key, _Flow] = {}
        self._services = {port: _bound(host, port) for port in PORTS}
        for port, service in self._services.items():
            self._loop.add_reader(service.fileno(), self._read_service, port, service)

    def close(self) -> None:
        for service in self._services.values():
            self._loop.remove_reader(service.fileno())
            service.close()
        for flow in self._flows.values():
            self._loop.remove_reader(flow.socket.fileno())
            flow.socket.close()
        self._flows = {}

    def use(self, pods: Iterable[str], *, move: Iterable[str] = ()) -> None:
        """New flows go to `pods`; flows of the pods in `move` find another at once."""
        self._pods = list(pods)
        gone = set(move)
        for flow in self._flows.values():
            if flow.pod in gone:
                flow.pod = self._choose(flow.key)

    def pod_of(self, host: str, port: int) -> str:
        """Where a client's packets to our `port` go; "" if it has sent none."""
        for (client, service), flow in self._flows.items():
            if client.host == host and service == port:
                return flow.pod
        return ""

    def _choose(self, key: _Key) -> str:
        client, port = key
        at = int.from_bytes(socket.inet_aton(client.host), "big") + PORTS.index(port)
        return self._pods[at % len(self._pods)]

    def _read_service(self, port: int, service: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                data, (host, source) = service.recvfrom(_DATAGRAM_MAX)
            except OSError:
                return
            key = (Address(host, source), port)
            flow = self._flows.get(key)
            if flow is None:
                flow = self._flows[key] = _Flow(key, self._choose(key), _bound(self._host, 0))
                self._loop.add_reader(flow.socket.fileno(), self._read_flow, flow)
            self.passed[flow.pod] += 1
            _send(flow.socket, data, (flow.pod, port))

    def _read_flow(self, flow: _Flow) -> None:
        client, port = flow.key
        for _ in range(_BATCH):
            try:
                data = flow.socket.recv(_DATAGRAM_MAX)
            except OSError:
                return
            _send(self._services[port], data, client)


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _send(out: socket.socket, data: bytes, to: tuple[str, int]) -> None:
    try:
        out.sendto(data, to)
    except OSError:
        return  # a full buffer, or an ICMP error of before: networks lose packets
