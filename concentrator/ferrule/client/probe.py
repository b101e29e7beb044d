"""A probe without sockets: one host, its errands one after the other, and the report on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ferrule.client import effects as c
from ferrule.client.effects import Step
from ferrule.client.errands import (
    Errand,
    ErrandDone,
    ErrandEffect,
    ErrandFailed,
    Network,
    SendPacket,
)
from ferrule.client.host import Host
from ferrule.client.initiator import Life
from ferrule.client.ipv4 import parse_ipv4
from ferrule.client.report import ProbeReport, StepReport, Trouble
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason


class Probe:
    """`watch` is called with each step as it is done, for a live display."""

    def __init__(
        self,
        settings: ClientSettings,
        path: Path,
        errands: Iterable[Errand],
        *,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float],
        transmit: Callable[[Path, bytes], None],
        watch: Callable[[StepReport | Trouble], None] = lambda _: None,
    ) -> None:
        self.report = ProbeReport(str(path.peer))
        self.done = False
        self._errands = deque(errands)
        self._errand: Errand | None = None
        self._network: Network | None = None
        self._clock = clock
        self._watch = watch
        self._arrived: deque[bytes] = deque()  # IP packets, for after the plane's call
        self._news: deque[c.News] = deque()
        self._host = Host(
            settings,
            path,
            entropy=entropy,
            clock=clock,
            transmit=transmit,
            deliver=self._arrived.append,
            notify=self._news.append,
        )

    @property
    def heard(self) -> bool:
        """Did anything at all come from the server?"""
        return self._host.heard

    @property
    def step(self) -> Step:
        """The step that is under way."""
        return self._host.step if self._errand is None else Step(self._errand.name)

    @property
    def deadline(self) -> Deadline | None:
        errand = None if self._errand is None else self._errand.deadline
        host = self._host.deadline
        if errand is None or host is None:
            return errand or host
        return min(errand, host)

    def start(self) -> None:
        self._host.start()
        self._settle()

    def receive_datagram(self, path: Path, data: bytes) -> None:
        self._host.receive_datagram(path, data)
        self._settle()

    def expire(self) -> None:
        now = self._clock()
        due = self._host.deadline
        if due is not None and due.at <= now:
            self._host.expire()
        if self._errand is not None:
            due = self._errand.deadline
            if due is not None and due.at <= now:
                self._carry_out(self._errand.expire(now))
        self._settle()

    def interrupt(self, trouble: Trouble | None = None) -> None:
        """Leave in good order, whatever is under way. `done` comes true soon."""
        if trouble is not None and self.report.trouble is None:
            self._on_trouble(trouble)
        self._leave()
        self._settle()

    # --- what comes of it

    def _settle(self) -> None:
        """Work off news and packets; each may lead to more of either."""
        while self._news or self._arrived:
            while self._news:
                self._on_news(self._news.popleft())
            if self._arrived:
                self._on_packet(self._arrived.popleft())

    def _on_news(self, news: c.News) -> None:
        match news:
            case c.StepDone():
                self._on_step(StepReport(news.step, news.seconds, news.facts))
            case c.Connected():
                self.report.seconds = news.seconds
                self._network = news.network
                self._next_errand()
            case c.Failed():
                self._on_trouble(Trouble(news.step, news.reason, news.detail))
            case c.Ended():
                step = Step.IPCP if self._errand is None else Step(self._errand.name)
                self._on_trouble(Trouble(step, news.reason, news.detail))
                self._errand = None
            case c.Closed():
                self.done = True
            case c.Dropped():
                pass

    def _on_step(self, step: StepReport) -> None:
        self.report.steps.append(step)
        self._watch(step)

    def _on_trouble(self, trouble: Trouble) -> None:
        self.report.trouble = trouble
        self._watch(trouble)

    def _on_packet(self, data: bytes) -> None:
        if self._errand is None:
            return
        try:
            packet = parse_ipv4(data)
        except ProtocolError:
            return
        if self._network is not None and packet.destination == self._network.address:
            self._carry_out(self._errand.receive(packet, self._clock()))

    # --- errands

    def _next_errand(self) -> None:
        if not self._errands:
            self._leave()
            return
        assert self._network is not None
        self._errand = self._errands.popleft()
        self._carry_out(self._errand.start(self._network, self._clock()))

    def _carry_out(self, effects: list[ErrandEffect]) -> None:
        errand = self._errand
        for effect in effects:
            match effect:
                case SendPacket():
                    self._host.send_ip(effect.packet)
                case ErrandDone():
                    assert errand is not None
                    self._on_step(StepReport(Step(errand.name), effect.seconds, effect.facts))
                    self._drop_errand()
                    self._next_errand()
                case ErrandFailed():
                    assert errand is not None
                    trouble = Trouble(Step(errand.name), effect.reason, effect.detail)
                    self._on_trouble(trouble)
                    self._leave()

    def _drop_errand(self) -> None:
        errand, self._errand = self._errand, None
        if errand is not None:
            for effect in errand.close(self._clock()):
                if isinstance(effect, SendPacket):
                    self._host.send_ip(effect.packet)

    def _leave(self) -> None:
        self._errands.clear()
        self._drop_errand()
        if self._host.life is not Life.CLOSED:
            self._host.close(Reason.PEER_CLOSED)
