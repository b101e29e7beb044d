"""A client that stays connected, for the demo: errands one after another, when they are asked for.

The probe does its errands and leaves; this one waits until it is told, or until the server ends
the session.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

from ferrule.client import effects as c
from ferrule.client.driver import Server, Shell
from ferrule.client.errands import (
    Errand,
    ErrandDone,
    ErrandEffect,
    ErrandFailed,
    Network,
    SendPacket,
)
from ferrule.client.host import Host
from ferrule.client.ipv4 import parse_ipv4
from ferrule.client.report import Trouble
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason


class ClientError(Exception):
    """The set-up, or an errand, failed."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"{trouble.step.value}: {trouble.reason.value} {trouble.detail}".strip())
        self.trouble = trouble


class DemoClient:
    """One client with its sockets. Use it from within the running loop; `close` it at the end."""

    def __init__(
        self,
        server: Server,
        settings: ClientSettings,
        watch: Callable[[c.StepDone], None],
        local_host: str | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._watch = watch
        self._news: deque[c.News] = deque()
        self._arrived: deque[bytes] = deque()
        self._errand: Errand | None = None
        self._connected: asyncio.Future[c.Connected] = loop.create_future()
        self._result: asyncio.Future[ErrandDone] | None = None
        self._closed = asyncio.Event()
        self.network: Network | None = None
        self.ended: asyncio.Future[Reason] = loop.create_future()
        self._shell = Shell(server, local_host)
        self._host = Host(
            self._shell.adapt(settings),
            self._shell.path,
            entropy=os.urandom,
            clock=self._clock,
            transmit=self._shell.transmit,
            deliver=self._arrived.append,
            notify=self._news.append,
        )
        self._shell.attach(self)

    @property
    def octets_received(self) -> int:
        """Octets of IP packets that came through the tunnel."""
        return self._host.counters().octets_up

    @property
    def local(self) -> str:
        """Where our datagrams come from."""
        return str(self._shell.path.local)

    async def connect(self) -> c.Connected:
        """Raises ClientError."""
        self._host.start()
        self._settle()
        return await self._connected

    async def carry_out(self, errand: Errand) -> ErrandDone:
        """One at a time; it may be cancelled. Raises ClientError."""
        assert self.network is not None
        assert self._result is None
        self._result = asyncio.get_running_loop().create_future()
        self._errand = errand
        try:
            self._on_errand(errand.start(self.network, self._clock()))
            self._settle()
            return await self._result
        finally:
            self._on_errand(errand.close(self._clock()))
            self._errand = self._result = None
            self._settle()

    async def close(self) -> None:
        """Say goodbye, and wait until it was heard."""
        if not self._closed.is_set():
            self._host.close(Reason.PEER_CLOSED)
            self._settle()
            await self._closed.wait()
        self._shell.close()
        self.ended.cancel()

    # --- what the shell drives

    @property
    def deadline(self) -> Deadline | None:
        errand = None if self._errand is None else self._errand.deadline
        return min((d for d in (errand, self._host.deadline) if d is not None), default=None)

    def receive_datagram(self, path: Path, data: bytes) -> None:
        self._host.receive_datagram(path, data)
        self._settle()

    def expire(self) -> None:
        now = self._clock()
        if _is_due(self._host.deadline, now):
            self._host.expire()
        if self._errand is not None and _is_due(self._errand.deadline, now):
            self._on_errand(self._errand.expire(now))
        self._settle()

    def refuse(self) -> None:
        """The server's port is closed: it is on its way up, or down. Time-outs deal with it."""

    # --- what comes of it

    def _settle(self) -> None:
        while self._news or self._arrived:
            while self._news:
                self._on_news(self._news.popleft())
            if self._arrived:
                self._on_packet(self._arrived.popleft())
        self._shell.rearm()

    def _on_news(self, news: c.News) -> None:
        match news:
            case c.StepDone():
                self._watch(news)
            case c.Connected():
                self.network = news.network
                self._connected.set_result(news)
            case c.Failed():
                self._fail(Trouble(news.step, news.reason, news.detail))
            case c.Ended():
                self._fail(Trouble(self._host.step, news.reason, news.detail))
                self.ended.set_result(news.reason)
            case c.Closed():
                self._closed.set()
            case c.Dropped():
                pass

    def _fail(self, trouble: Trouble) -> None:
        for future in (self._connected, self._result):
            if future is not None and not future.done():
                future.set_exception(ClientError(trouble))

    def _on_packet(self, data: bytes) -> None:
        if self._errand is None or self.network is None:
            return
        try:
            packet = parse_ipv4(data)
        except ProtocolError:
            return
        if packet.destination == self.network.address:
            self._on_errand(self._errand.receive(packet, self._clock()))

    def _on_errand(self, effects: list[ErrandEffect]) -> None:
        assert self._errand is not None
        for effect in effects:
            match effect:
                case SendPacket():
                    self._host.send_ip(effect.packet)
                case ErrandDone():
                    if self._result is not None and not self._result.done():
                        self._result.set_result(effect)
                case ErrandFailed():
                    self._fail(Trouble(c.Step(self._errand.name), effect.reason, effect.detail))


def _is_due(deadline: Deadline | None, now: float) -> bool:
    return deadline is not None and deadline.at <= now
