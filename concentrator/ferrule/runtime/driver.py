"""Turns the gateway's effects into deeds: one method, one `match`, nothing decided here.

Everything runs on one event loop. Ports and the TUN hand packets to the plane; what the plane
punts waits in a queue until it is done with the packet, then goes through the gateway. A bug (any
exception but those that layers turn into effects) costs the client that met it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

from ferrule.core.credentials import Verdict
from ferrule.core.ids import ClientId
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import IkeDatagram, Plane, Punt, SessionCounters, UnknownSpi
from ferrule.gateway import effects as g
from ferrule.gateway.admission import Leases, LocalLeases
from ferrule.gateway.deeds import perform
from ferrule.gateway.gateway import Gateway

_PUNTS_MAX = 8192  # control traffic of clients
_FENCED_SECONDS = 0.2  # until clients' timers are looked at again
_STRANGERS_MAX = 1024  # IKE datagrams waiting; a stranger can't starve a client


class Report(Protocol):
    """Where the gateway's informational effects go: metrics and logs."""

    def dropped(self, reason: Reason, detail: str) -> None: ...
    def stage_done(self, stage: str, seconds: float) -> None: ...
    def session_up(self, facts: g.SessionFacts) -> None: ...
    def session_ended(
        self, ended: g.SessionEnded, counters: SessionCounters | None, now: float
    ) -> None: ...
    def setup_failed(self, failed: g.SetupFailed) -> None: ...
    def auth_tried(self, tried: g.AuthTried) -> None: ...
    def isakmp_sa_up(self, up: g.IsakmpSaUp) -> None: ...
    def ipsec_sa_up(self, up: g.IpsecSaUp) -> None: ...
    def sa_down(self, down: g.SaDown) -> None: ...
    def client_moved(self, moved: g.ClientMoved) -> None: ...
    def bug(self, where: str) -> None:
        """An exception is being handled: log it with its traceback."""


class Others(Protocol):
    """What there is to mind where other members may have our clients, or we theirs."""

    def may_serve(self) -> bool:
        """False: we are fenced, and our clients stand still."""

    def take_ike(self, punt: IkeDatagram) -> bool:
        """True: it is for another member, and on its way."""

    def commit(self, effects: list[g.GatewayEffect], now: float) -> list[g.GatewayEffect]:
        """What may be done at once. The rest comes by `perform` when it is written down."""


class Driver:
    """Owns the punt queue and the one timer; knows nothing of sockets. `leases` says who may come
    in: this process alone, unless another is put there. `others` is None without any."""

    def __init__(
        self,
        gateway: Gateway,
        report: Report,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.leases: Leases = LocalLeases(gateway)
        self.others: Others | None = None
        self._gateway = gateway
        self._report = report
        self._loop = loop
        self._plane: Plane | None = None
        self._punts: deque[Punt] = deque()
        self._strangers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._checks = ThreadPoolExecutor(max_workers=1, thread_name_prefix="password")

    def attach(self, plane: Plane) -> None:
        self._plane = plane

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._checks.shutdown(wait=False, cancel_futures=True)

    # --- in

    def punt(self, punt: Punt) -> None:
        """The plane's sink. A full queue drops the newest."""
        if isinstance(punt, IkeDatagram):
            if self._strangers >= _STRANGERS_MAX:
                self._report.dropped(Reason.PUNT_QUEUE_FULL, "IKE")
                return
            self._strangers += 1
        elif len(self._punts) >= _PUNTS_MAX + _STRANGERS_MAX:
            self._report.dropped(Reason.PUNT_QUEUE_FULL, type(punt).__name__)
            return
        self._punts.append(punt)

    @property
    def pending(self) -> bool:
        """Something waits for `drain`."""
        return bool(self._punts)

    def drain(self) -> None:
        """Work off the queue; call it after each datagram that the plane punted."""
        while self._punts:
            punt = self._punts.popleft()
            if isinstance(punt, IkeDatagram):
                self._strangers -= 1
            if self.others is not None and self._is_not_ours(punt, self.others):
                continue
            client = None if isinstance(punt, IkeDatagram | UnknownSpi) else punt.client
            self._guarded(partial(self._gateway.receive, punt), type(punt).__name__, client)
        self._arm()

    def _is_not_ours(self, punt: Punt, others: Others) -> bool:
        if isinstance(punt, IkeDatagram):
            try:
                return others.take_ike(punt)
            except Exception:  # noqa: BLE001 - a bug costs this message
                self._report.bug("relay")
                return True
        if others.may_serve():
            return False
        self._report.dropped(Reason.FENCED, type(punt).__name__)
        return True

    def command(
        self,
        verb: Callable[[float], Iterable[g.GatewayEffect]],
        client: ClientId | None = None,
    ) -> None:
        """Run a verb of the gateway from outside (admin, reload, shutdown). A bug in it costs
        `client`, if it is about one."""
        self.run(verb, client)
        self.drain()

    def run(
        self, verb: Callable[[float], Iterable[g.GatewayEffect]], client: ClientId | None
    ) -> None:
        """The same in the middle of something: the queue is not worked off."""
        self._guarded(verb, "command", client)
        self._arm()

    def bug(self, where: str) -> None:
        self._report.bug(where)

    def _guarded(
        self,
        verb: Callable[[float], Iterable[g.GatewayEffect]],
        what: str,
        client: ClientId | None,
    ) -> None:
        now = self._loop.time()
        try:
            self._execute(verb(now), now)
        except Exception:  # noqa: BLE001 - a bug costs one client, never the process
            self._report.bug(what)
            if client is not None:
                self._execute(self._gateway.abandon(client, now), now)

    def _arm(self) -> None:
        deadline = self._gateway.deadline
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self.others is not None and not self.others.may_serve():
            self._timer = self._loop.call_later(_FENCED_SECONDS, self._on_timer)
            return
        for client in self._gateway.due(self._loop.time()):
            self._guarded(partial(self._gateway.expire, client), "timer", client)
        self.drain()

    # --- out

    def perform(self, effects: Iterable[g.GatewayEffect]) -> None:
        """What `Others.commit` kept back, now."""
        assert self._plane is not None
        for effect in effects:
            perform(self._plane, effect)  # type: ignore[arg-type]

    def _execute(self, effects: Iterable[g.GatewayEffect], now: float) -> None:
        plane, report = self._plane, self._report
        if self.others is not None:
            effects = self.others.commit(list(effects), now)
        assert plane is not None
        for effect in effects:
            match effect:
                case g.AskActivity():
                    self._answer_activity(effect, now)
                case g.RunCheck():
                    self._run_check(effect)
                case g.AskAdmission():
                    self._execute(self.leases.ask(effect, now), now)
                case g.ReleaseLease():
                    self.leases.release(effect)
                case g.Dropped():
                    report.dropped(effect.reason, effect.detail)
                case g.StageDone():
                    report.stage_done(effect.stage, effect.seconds)
                case g.SessionUp():
                    report.session_up(effect.facts)
                case g.SessionEnded():
                    facts = effect.facts
                    counters = plane.session_counters(facts.client, facts.tunnel, facts.session)
                    report.session_ended(effect, counters, now)
                case g.SetupFailed():
                    report.setup_failed(effect)
                case g.AuthTried():
                    report.auth_tried(effect)
                case g.IsakmpSaUp():
                    report.isakmp_sa_up(effect)
                case g.IpsecSaUp():
                    report.ipsec_sa_up(effect)
                case g.SaDown():
                    report.sa_down(effect)
                case g.ClientMoved():
                    report.client_moved(effect)
                case _:
                    perform(plane, effect)

    def _answer_activity(self, ask: g.AskActivity, now: float) -> None:
        assert self._plane is not None
        counters = self._plane.session_counters(ask.client, ask.tunnel, ask.session)
        if counters is None:
            return
        activity = g.Activity(
            ask.client, ask.tunnel, ask.session, counters.last_up, counters.last_data
        )
        self._execute(self._gateway.answer(activity, now), now)

    def _run_check(self, effect: g.RunCheck) -> None:
        future = self._loop.run_in_executor(self._checks, effect.check.run)

        def done(finished: asyncio.Future[Verdict]) -> None:
            if finished.cancelled():
                return

            def reply(now: float) -> list[g.GatewayEffect]:
                verdict = finished.result()  # raises what the check raised
                answer = g.CheckDone(
                    effect.client, effect.tunnel, effect.session, effect.ask, verdict
                )
                return self._gateway.answer(answer, now)

            self._guarded(reply, "password check", effect.client)
            self.drain()

        future.add_done_callback(done)
