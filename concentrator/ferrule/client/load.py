"""Many clients in one process: how fast a server sets them up, and what they cost it.

A `Load` grows step by step (`grow`), keeps its clients busy with pings (`traffic`), and leaves in
good order (`leave`). Each client has ports of its own, as if behind one NAT, and is a complete
`Host`. The figures about the server come from /proc, where its process id is known.
"""

from __future__ import annotations

import asyncio
import os
from bisect import insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from ferrule.client import effects as c
from ferrule.client.driver import Server, Shell
from ferrule.client.errands import Network
from ferrule.client.host import Host
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, parse_ipv4
from ferrule.client.server_process import ServerProcess
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason

_TICK_SECONDS: Final = 0.01
_SEQUENCES: Final = 1 << 16
_LEAVE_SECONDS: Final = 10.0
_PERCENTS: Final = (50, 95, 99, 100)


@dataclass(slots=True)
class Percentiles:
    """Of a list of seconds; 100 is the longest."""

    values: dict[int, float]

    @classmethod
    def of(cls, seconds: list[float]) -> Percentiles:
        """`seconds` is sorted; empty gives no values."""
        if not seconds:
            return cls({})
        last = len(seconds) - 1
        return cls({percent: seconds[round(percent / 100 * last)] for percent in _PERCENTS})


@dataclass(slots=True)
class Growth:
    """What came of one `grow`. Times in seconds; `server_cpu` is None without a process id."""

    wanted: int
    up: int
    seconds: float
    failures: dict[str, int]  # "step: reason" -> count
    steps: dict[str, Percentiles]
    total: Percentiles
    server_cpu: float | None
    server_octets: int | None  # resident, at the end

    @property
    def per_second(self) -> float:
        return self.up / self.seconds if self.seconds else 0.0

    @property
    def per_server_core_second(self) -> float | None:
        return self.up / self.server_cpu if self.server_cpu else None


@dataclass(slots=True)
class Traffic:
    """What came of one `traffic`."""

    clients: int  # that got at least one reply
    sent: int
    received: int
    seconds: float
    round_trip: Percentiles
    server_cpu: float | None


class LoadClient:
    """One client: its host, its sockets, and the pings it waits for."""

    def __init__(self, load: Load, settings: ClientSettings, local_host: str | None) -> None:
        loop = asyncio.get_running_loop()
        self.network: Network | None = None
        self.steps: dict[str, float] = {}
        self.seconds = 0.0
        self._load = load
        self._waiting: dict[int, float] = {}  # sequence number -> sent at
        self._sequence = 0
        self._shell = Shell(load.server, local_host)
        self._host = Host(
            self._shell.adapt(settings),
            self._shell.path,
            entropy=os.urandom,
            clock=loop.time,
            transmit=self._shell.transmit,
            deliver=self._on_packet,
            notify=self._on_news,
        )
        self._clock = loop.time
        self._shell.attach(self)

    @property
    def local_host(self) -> str:
        """Where its datagrams come from."""
        return self._shell.path.local.host

    # --- the shell's engine

    @property
    def deadline(self) -> Deadline | None:
        return self._host.deadline

    def receive_datagram(self, path: Path, data: bytes) -> None:
        self._host.receive_datagram(path, data)

    def expire(self) -> None:
        self._host.expire()

    def refuse(self) -> None:
        """Time-outs deal with it: a server under load may be slow to start."""

    # --- orders

    def start(self) -> None:
        self._host.start()
        self._shell.rearm()

    def close(self) -> None:
        self._host.close(Reason.PEER_CLOSED)
        self._shell.rearm()

    def shut(self) -> None:
        self._shell.close()

    def ping(self, destination: IPv4Address) -> None:
        """One echo request; an unanswered one of the same number is forgotten."""
        assert self.network is not None
        self._sequence = (self._sequence + 1) % _SEQUENCES
        self._waiting[self._sequence] = self._clock()
        echo = build_echo(Echo(False, 1, self._sequence, b""))
        packet = Ipv4Packet(self.network.address, destination, IpProtocol.ICMP, echo)
        self._host.send_ip(build_ipv4(packet))

    # --- news

    def _on_packet(self, data: bytes) -> None:
        try:
            echo = parse_icmp(parse_ipv4(data).payload)
        except ProtocolError:
            return
        if isinstance(echo, Echo) and echo.reply:
            sent = self._waiting.pop(echo.sequence, None)
            if sent is not None:
                self._load.on_reply(self, self._clock() - sent)

    def forget_pings(self) -> None:
        self._waiting.clear()

    def _on_news(self, news: c.News) -> None:
        match news:
            case c.StepDone():
                self.steps[news.step.value] = news.seconds
            case c.Connected():
                self.network = news.network
                self.seconds = news.seconds
                self._load.on_up(self)
            case c.Failed():
                self._load.on_down(self, f"{news.step.value}: {news.reason.value}")
            case c.Ended():
                self._load.on_down(self, f"ended: {news.reason.value}")
            case c.Closed():
                self._load.on_closed(self)
            case c.Dropped():
                pass


@dataclass(slots=True)
class _Round:
    """The tally of one `grow`."""

    up: list[LoadClient] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    steps: dict[str, list[float]] = field(default_factory=dict)
    totals: list[float] = field(default_factory=list)


class Load:
    """`make_settings(number)` gives each client its identity and its user; `local_host(number)`
    the address that it binds, None for the system's choice."""

    def __init__(
        self,
        server: Server,
        make_settings: Callable[[int], ClientSettings],
        *,
        local_host: Callable[[int], str | None] = lambda _: None,
        process: ServerProcess | None = None,
    ) -> None:
        self.server = server
        self.ups: set[LoadClient] = set()
        self.ended: Counter[str] = Counter()  # of those that were up
        self._make_settings = make_settings
        self._local_host = local_host
        self._process = process
        self._made = 0
        self._setting_up: set[LoadClient] = set()
        self._leaving: set[LoadClient] = set()
        self._round = _Round()
        self._changed = asyncio.Event()
        self._round_trips: list[float] = []
        self._answered: set[LoadClient] = set()

    # --- what the clients say

    def on_up(self, client: LoadClient) -> None:
        self._setting_up.discard(client)
        self.ups.add(client)
        tally = self._round
        tally.up.append(client)
        insort(tally.totals, client.seconds)
        for step, seconds in client.steps.items():
            insort(tally.steps.setdefault(step, []), seconds)
        self._changed.set()

    def on_down(self, client: LoadClient, why: str) -> None:
        if client in self.ups:
            self.ups.discard(client)
            self.ended[why] += 1
        else:
            self._setting_up.discard(client)
            self._round.failures[why] += 1
        self._leaving.add(client)
        self._changed.set()

    def on_closed(self, client: LoadClient) -> None:
        self._leaving.discard(client)
        client.shut()
        self._changed.set()

    def on_reply(self, client: LoadClient, seconds: float) -> None:
        self._round_trips.append(seconds)
        self._answered.add(client)

    # --- orders

    async def grow(self, count: int, *, at_once: int = 32, most_seconds: float = 300.0) -> Growth:
        """Set up `count` more clients, `at_once` of them at any time."""
        loop = asyncio.get_running_loop()
        self._round = _Round()
        started, cpu = loop.time(), self._cpu()
        left = count
        while (left or self._setting_up) and loop.time() - started < most_seconds:
            while left and len(self._setting_up) < at_once:
                left -= 1
                self._start_one()
            self._changed.clear()
            try:
                async with asyncio.timeout(1.0):
                    await self._changed.wait()
            except TimeoutError:
                continue
        tally = self._round
        seconds = loop.time() - started
        if left or self._setting_up:
            tally.failures["not done in time"] += left + len(self._setting_up)
        return Growth(
            wanted=count,
            up=len(tally.up),
            seconds=seconds,
            failures=dict(tally.failures),
            steps={step: Percentiles.of(times) for step, times in tally.steps.items()},
            total=Percentiles.of(tally.totals),
            server_cpu=self._cpu_since(cpu),
            server_octets=None if self._process is None else self._process.resident_octets(),
        )

    def _start_one(self) -> None:
        number = self._made
        self._made += 1
        client = LoadClient(self, self._make_settings(number), self._local_host(number))
        self._setting_up.add(client)
        client.start()

    async def traffic(
        self, destination: IPv4Address, *, seconds: float, pings_per_second: float
    ) -> Traffic:
        """Every client pings `destination` that often, spread evenly over time."""
        loop = asyncio.get_running_loop()
        clients = list(self.ups)
        for client in clients:
            client.forget_pings()
        self._round_trips, self._answered = [], set()
        started, cpu = loop.time(), self._cpu()
        sent = 0
        while (passed := loop.time() - started) < seconds:
            due = int(passed * pings_per_second * len(clients))
            while sent < due:
                client = clients[sent % len(clients)]
                if client in self.ups:
                    client.ping(destination)
                sent += 1
            await asyncio.sleep(_TICK_SECONDS)
        passed = loop.time() - started
        await asyncio.sleep(min(1.0, seconds))  # for the last replies
        return Traffic(
            clients=len(self._answered),
            sent=sent,
            received=len(self._round_trips),
            seconds=passed,
            round_trip=Percentiles.of(sorted(self._round_trips)),
            server_cpu=self._cpu_since(cpu),
        )

    async def leave(self, *, at_once: int = 64) -> float:
        """Close every client in good order; returns how many seconds that took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        for client in self._setting_up:
            self._leaving.add(client)
            client.close()
        self._setting_up.clear()
        while self.ups or self._leaving:
            while self.ups and len(self._leaving) < at_once:
                client = self.ups.pop()
                self._leaving.add(client)
                client.close()
            self._changed.clear()
            if not self._leaving:
                continue
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                break
        for client in self._leaving:
            client.shut()
        self._leaving.clear()
        return loop.time() - started

    def _cpu(self) -> float | None:
        return None if self._process is None else self._process.cpu_seconds()

    def _cpu_since(self, before: float | None) -> float | None:
        after = self._cpu()
        return None if before is None or after is None else after - before
