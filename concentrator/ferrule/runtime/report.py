"""What the gateway tells, as metrics and log lines. Strangers' causes are counted, and logged only
within a budget of lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Mapping

import structlog

from ferrule import __version__
from ferrule.accounts.admission import Accounts
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import Plane, SessionCounters
from ferrule.gateway import effects as g
from ferrule.gateway.gateway import Gateway
from ferrule.telemetry import canonical
from ferrule.telemetry.budget import LineBudget
from ferrule.telemetry.canonical import SessionRecord
from ferrule.telemetry.metrics import WEAK_WORDS, Metrics, Snapshot, count_weak


class TelemetryReport:
    """The driver's `Report`."""

    def __init__(self, accounts: Accounts, gateway: Gateway) -> None:
        self._accounts = accounts
        self._gateway = gateway
        self._plane: Plane | None = None
        self._receive_buffers: Mapping[str, int] = {}
        self._overflowed: Callable[[], Mapping[str, int]] = dict
        self._log = structlog.get_logger("ferrule")
        self._lines = LineBudget()
        self.ready = False
        self.connected: dict[str, float] = {}  # when each user came on last, in Unix seconds
        self.metrics = Metrics(__version__, time.time())
        self.metrics.attach(self._snapshot)

    def attach(
        self,
        plane: Plane,
        receive_buffers: Mapping[str, int],
        overflowed: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """By port: `receive_buffers`, octets that the kernel granted; `overflowed`, datagrams that
        it dropped so far."""
        self._plane = plane
        self._receive_buffers = receive_buffers
        self._overflowed = overflowed

    def _snapshot(self) -> Snapshot:
        gateway = self._gateway
        on = Counter(
            call.facts.username for call in gateway.sessions() if call.facts.up_at is not None
        )
        up = on.total()
        ike = gateway.ike.sas()
        return Snapshot(
            sessions=up,
            setting_up=gateway.site.calls - up,
            clients=len(gateway.clients),
            half_open=sum(sa.state != "up" for sa in ike),
            users=len(self._accounts.users),
            ready=self.ready,
            isakmp_sas=Counter(sa.suite for sa in ike if sa.state == "up"),
            ipsec_sas=Counter(
                str(pair.suite)
                for client in gateway.clients.values()
                for pair in client.ipsec_sas.values()
            ),
            user_sessions=on,
            pools=self._accounts.pool_use(),
            receive_buffers=self._receive_buffers,
            overflowed=self._overflowed(),
            plane=self._plane.counters() if self._plane is not None else None,
        )

    def weak_sas(self) -> dict[str, int]:
        """Live SAs by the weak algorithm that they use."""
        now = self._snapshot()
        return {word: count_weak(word, now.isakmp_sas, now.ipsec_sas) for word in WEAK_WORDS}

    def forget(self, known: Container[str]) -> None:
        """Keep of `connected` only users that are `known`."""
        for name in [name for name in self.connected if name not in known]:
            del self.connected[name]

    # --- the driver's Report

    def dropped(self, reason: Reason, detail: str) -> None:
        self.metrics.dropped(reason)
        self._log.debug("dropped", reason=reason.value, detail=detail)

    def stage_done(self, stage: str, seconds: float) -> None:
        self.metrics.stage_done(stage, seconds)

    def session_up(self, facts: g.SessionFacts) -> None:
        self.metrics.session_up()
        self.connected[facts.username] = round(time.time(), 3)
        self._log.info("session up", **canonical.session_up(_record(facts)))

    def session_ended(
        self, ended: g.SessionEnded, counters: SessionCounters | None, now: float
    ) -> None:
        record = _record(ended.facts)
        record.seconds = now - (ended.facts.up_at or now)
        if counters is not None:
            record.octets_up = counters.octets_up
            record.octets_down = counters.octets_down
            record.packets_up = counters.packets_up
            record.packets_down = counters.packets_down
        self.metrics.session_ended(ended.reason, record.seconds)
        line = canonical.session_ended(record, ended.reason, ended.detail)
        self._log.info("session ended", **line)

    def setup_failed(self, failed: g.SetupFailed) -> None:
        self.metrics.setup_failed(failed.reason)
        suppressed = self._lines.take(failed.reason, time.monotonic())
        if suppressed is None:
            return
        record = SessionRecord(
            peer=str(failed.path.peer),
            identity=failed.identity,
            username=failed.username,
            client_name=failed.client_name,
        )
        line = canonical.setup_failed(record, failed.reason, failed.detail)
        if suppressed:
            line["lines_left_out"] = suppressed
        self._log.warning("set-up failed", **line)

    def auth_tried(self, tried: g.AuthTried) -> None:
        self.metrics.auth_tried(tried.method, tried.reason)

    def isakmp_sa_up(self, up: g.IsakmpSaUp) -> None:
        self.metrics.isakmp_sa_up(up.suite, rekey=up.rekey)
        self._log.debug(
            "ISAKMP SA up",
            peer=str(up.path.peer),
            identity=up.identity,
            suite=up.suite,
            vendor_ids=list(up.vendor_ids),
            rekey=up.rekey,
        )

    def ipsec_sa_up(self, up: g.IpsecSaUp) -> None:
        self.metrics.ipsec_sa_up(up.suite, rekey=up.rekey)
        self._log.debug(
            "IPsec SA up", spi=f"{up.inbound_spi:08x}", suite=up.suite, pfs=up.pfs, rekey=up.rekey
        )

    def sa_down(self, down: g.SaDown) -> None:
        self.metrics.sa_down(down.kind, down.reason)
        self._log.debug("SA down", kind=down.kind, reason=down.reason.value)

    def client_moved(self, moved: g.ClientMoved) -> None:
        self.metrics.client_moved()
        self._log.debug("client moved", client=moved.client, peer=str(moved.path.peer))

    def bug(self, where: str) -> None:
        self.metrics.bug()
        if self._lines.take("bug", time.monotonic()) is not None:
            self._log.exception("a bug, please report it", where=where)


def _record(facts: g.SessionFacts) -> SessionRecord:
    return SessionRecord(
        peer=str(facts.path.peer),
        identity=facts.identity,
        username=facts.username,
        address=str(facts.address) if facts.address else "",
        auth_method=facts.auth_method,
        phase1_suite=facts.phase1_suite,
        phase2_suite=facts.phase2_suite,
        client_name=facts.client_name,
        session="/".join(map(str, (facts.client, facts.tunnel, facts.session))),
        stages=facts.stages,
    )
