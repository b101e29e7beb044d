"""Several members of one cluster in the test's own event loop: real sockets on loopback, the real
shell around each gateway, one store for all; but no TUN and no root.

Behind each lives the host that answers pings, as in `support.loopback`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import IPv4Address
from pathlib import Path as FilePath
from typing import Any

from ferrule.accounts.admission import Accounts
from ferrule.accounts.admission import Settings as AccountsSettings
from ferrule.client.driver import Server
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, parse_ipv4
from ferrule.client.settings import ClientSettings
from ferrule.client.watched_load import WatchedLoad
from ferrule.cluster.sealing import BlobKind, Context
from ferrule.cluster.shards import ShardNames
from ferrule.cluster.timing import Timing
from ferrule.core.ids import Path
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import Site
from ferrule.runtime.config import Config, load
from ferrule.runtime.driver import Driver
from ferrule.runtime.member import Member
from ferrule.runtime.member_config import names_key
from ferrule.runtime.report import TelemetryReport
from ferrule.runtime.udp import UdpPort
from ferrule.store.interface import Store
from support.accounts import pool
from support.pair import INSIDE, client_settings, gateway_settings, user
from support.store import said_all
from support.valkey import free_port

HOST = "127.0.0.1"
QUICK = Timing(heartbeat=0.15, suspect=0.45, fence=0.6, depose=0.7, release=1.0, lost=1.5)
CONFIG = """\
listen: {{ring: "{host}:{port}", member: {name}}}
gateway:
  ipsec: {{psk: a key of both sides}}
  pools: [{{name: default, cidr: 10.64.0.0/16}}]
  store:
    type: Valkey
    url: valkey://127.0.0.1
    key: 0123456789abcdef0123456789abcdef
    namesKey: fedcba9876543210fedcba9876543210
users: []
"""


class One:
    """A member, as `runtime.server.Server` makes it."""

    def __init__(self, config: Config, store: Store, timing: Timing) -> None:
        self.loop = asyncio.get_running_loop()
        self.sent: list[tuple[Path, bytes]] = []
        self.alive = True
        loop = self.loop
        accounts = Accounts(AccountsSettings((user(max_sessions=0),), (pool("10.64.0.0/16"),)))
        site = Site(gateway_settings(), accounts, os.urandom, wall_offset=time.time() - loop.time())
        names = ShardNames(names_key(config), (), os.urandom)
        self.gateway = Gateway(site, names, os.urandom, clustered=True, member=config.listen.member)
        self.report = TelemetryReport(accounts, self.gateway)
        self.driver = Driver(self.gateway, self.report, loop)
        self.member = Member(
            config, store, names, self.gateway, self.driver, self.report, loop, timing=timing
        )
        self.ports = {natt: UdpPort(HOST, 0, natt=natt) for natt in (False, True)}
        self.plane = PythonPlane(
            clock=loop.time,
            punt=self.driver.punt,
            transmit=self._transmit,
            deliver=self._deliver,
            elsewhere=self.member.relay,
        )
        self.driver.attach(self.plane)
        self.report.attach(self.plane, {})
        self._stack = AsyncExitStack()

    @property
    def name(self) -> str:
        return self.member.name

    def context(self, client: Client) -> Context:
        """What the client's check-point is sealed for."""
        claim = self.member.checkpoints.claims[client.shard]
        return Context(client.uid, BlobKind.CHECKPOINT, claim.epoch)

    async def start(self) -> None:
        for port in self.ports.values():
            self.loop.add_reader(port.fileno(), self._read, port)
        await self.member.start(self._stack, self.plane, self._receive, self._send)

    async def kill(self) -> None:
        """From one moment to the next, as far as the others can see."""
        self.alive = False
        self.member.cluster.close()
        self.driver.close()
        for port in self.ports.values():
            self.loop.remove_reader(port.fileno())
            port.close()
        await self._stack.aclose()

    async def stop(self) -> None:
        if self.alive:
            await self.kill()

    def _read(self, port: UdpPort) -> None:
        port.read(self._receive, 64)

    def _receive(self, path: Path, data: bytes) -> None:
        self.plane.receive_datagram(path, data)
        self.driver.drain()

    def _transmit(self, path: Path, data: bytes) -> None:
        if path.via:
            self.member.relay.to_client(path, data)
        else:
            self._send(path, data)

    def _send(self, path: Path, data: bytes) -> None:
        if self.alive:
            self.ports[path.natt].send(path, data)

    def _deliver(self, data: bytes) -> None:
        packet = parse_ipv4(data)
        if packet.protocol != IpProtocol.ICMP:
            return
        echo = parse_icmp(packet.payload)
        if isinstance(echo, Echo) and not echo.reply:
            reply = build_echo(Echo(True, echo.identifier, echo.sequence, echo.data))
            back = Ipv4Packet(packet.destination, packet.source, IpProtocol.ICMP, reply)
            self.plane.transmit_ip(build_ipv4(back))


class Members:
    """In the order in which they were made."""

    def __init__(self, folder: FilePath, store: Callable[[], Store], timing: Timing) -> None:
        self.all: list[One] = []
        self._folder = folder
        self._store = store
        self._timing = timing

    def __getitem__(self, at: int) -> One:
        return self.all[at]

    async def add(self, name: str) -> One:
        file = self._folder / f"{name}.yaml"
        file.write_text(CONFIG.format(host=HOST, port=free_port(), name=name))
        one = One(load(file), self._store(), self._timing)
        self.all.append(one)
        await one.start()
        return one

    @property
    def alive(self) -> list[One]:
        return [one for one in self.all if one.alive]

    def settled(self, *without: One) -> bool:
        """Each shard is served, by one of those alive, with all its clients there."""
        held = [
            shard
            for one in self.alive
            if one not in without and one.member.may_serve()
            for shard in one.member.cluster.held
            if one.member.ready(shard)
        ]
        return sorted(held) == list(range(1024))

    async def until_settled(self, *without: One, seconds: float = 15.0) -> None:
        await until(lambda: self.settled(*without), seconds)


class Balancer:
    """Before the members, as a Service is: each flow of a client goes to one member, and keeps its
    address when that changes."""

    def __init__(self, ike: One, natt: One) -> None:
        self._loop = asyncio.get_running_loop()
        self._to = {False: ike, True: natt}
        self._ports = {natt: self._bound() for natt in (False, True)}
        self._flows: dict[tuple[Any, bool], tuple[socket.socket, list[One]]] = {}
        for natt, port in self._ports.items():
            self._loop.add_reader(port.fileno(), self._read, port, natt)

    @property
    def server(self) -> Server:
        return Server(HOST, *(self._ports[natt].getsockname()[1] for natt in (False, True)))

    @property
    def members(self) -> list[One]:
        """To whom flows go, as far as they live."""
        targets = [*self._to.values(), *(target[0] for _, target in self._flows.values())]
        return [one for one in targets if one.alive]

    def use(self, ike: One, natt: One) -> None:
        """For new flows."""
        self._to = {False: ike, True: natt}

    def move(self, one: One, to: One) -> None:
        """Its flows, and those to come."""
        self._to = {natt: to if now is one else now for natt, now in self._to.items()}
        for _, target in self._flows.values():
            if target[0] is one:
                target[0] = to

    def close(self) -> None:
        for port in (*self._ports.values(), *(flow for flow, _ in self._flows.values())):
            self._loop.remove_reader(port.fileno())
            port.close()

    @staticmethod
    def _bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.bind((HOST, 0))
        return made

    def _read(self, port: socket.socket, natt: bool) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, client = port.recvfrom(65535)
                key = (client, natt)
                if key not in self._flows:
                    flow = self._bound()
                    self._flows[key] = (flow, [self._to[natt]])
                    self._loop.add_reader(flow.fileno(), self._back, flow, port, client)
                flow, target = self._flows[key]
                if target[0].alive:
                    flow.sendto(data, (HOST, target[0].ports[natt].local.port))

    def _back(self, flow: socket.socket, port: socket.socket, client: Any) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                data, source = flow.recvfrom(65535)
                ours = {one.ports[n].local.port for one in self._members(flow) for n in one.ports}
                if source[1] in ours:  # conntrack passes nothing of anybody else
                    port.sendto(data, client)

    def _members(self, flow: socket.socket) -> list[One]:
        return [target[0] for known, target in self._flows.values() if known is flow]


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def members(
    folder: FilePath,
    store: Callable[[], Store],
    names: Sequence[str] = ("a-0", "a-1", "a-2"),
    timing: Timing = QUICK,
) -> AsyncIterator[Members]:
    """All of them started, and settled."""
    made = Members(folder, store, timing)
    try:
        for name in names:
            await made.add(name)
        await until(lambda: all(len(_epoch(one)) == len(names) for one in made.all), 20.0)
        await made.until_settled()
        first = made[0].member
        while not await said_all(first.store, first.cluster.identity):  # and so have the others
            await asyncio.sleep(0.05)
        yield made
    finally:
        with contextlib.suppress(TimeoutError):
            for one in made.all:
                await one.stop()


def _epoch(one: One) -> tuple[object, ...]:
    newest = one.member.cluster.newest
    return newest.members if newest is not None else ()


def settings_of(number: int) -> ClientSettings:
    return client_settings(offer_identification=str(IPv4Address("10.1.0.1") + number))


@contextlib.asynccontextmanager
async def crowd(
    ike: One, natt: One, count: int = 3, most_seconds: float = 20.0
) -> AsyncIterator[tuple[Balancer, WatchedLoad]]:
    """Clients who are on, and ping."""
    balancer = Balancer(ike, natt)
    load = WatchedLoad(balancer.server, settings_of)
    pinging = asyncio.ensure_future(load.ping(INSIDE))
    try:
        grown = await load.grow(count, most_seconds=most_seconds)
        assert grown.up == count, grown
        load.start_traffic(20.0)
        yield balancer, load
    finally:
        pinging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pinging
        await load.leave()
        with contextlib.suppress(TimeoutError):  # their goodbyes are on the way
            await until(lambda: not any(one.gateway.clients for one in balancer.members), 2.0)
        balancer.close()
