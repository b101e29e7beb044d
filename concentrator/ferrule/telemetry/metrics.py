"""Prometheus metrics, prefix `ferrule_`, base units, no label that a stranger can grow.

Two ways in: what happens is recorded through the typed methods of `Metrics`; what is (sessions,
pools, SAs, the plane's counters) is read at each scrape from the `Snapshot` of whoever was
attached, so that a gauge never drifts. One process, one registry of its own.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ferrule.accounts.pools import PoolUse
from ferrule.core.reasons import REASONS, Reason, Stage, info

SETUP_BUCKETS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0
)  # fmt: skip
DURATION_BUCKETS: Final = (10.0, 60.0, 300.0, 1800.0, 3600.0, 4 * 3600.0, 8 * 3600.0, 86400.0)
SETUP_STAGES: Final = ("phase1", "phase2", "l2tp", "auth", "ipcp", "total")
AUTH_METHODS: Final = ("mschapv2", "mschapv1", "chap", "pap")
WEAK_WORDS: Final = ("modp1024", "md5")  # in the names of suites
SUITES_MAX: Final = 64
USERS_MAX: Final = 1000  # with a series of their own: they exist, but a label must stay bounded
OTHER: Final = "other"

_SETUP_REASON_STAGES: Final = frozenset(Stage) - {Stage.DATAGRAM, Stage.ESP, Stage.FORWARD}


class PlaneTotals(Protocol):
    """What is read of a data plane: totals since its start, drops by reason."""

    datagrams_in: int
    datagrams_out: int
    octets_in: int
    octets_out: int
    esp_in: int
    esp_out: int
    keepalives_in: int
    packets_up: int
    packets_down: int
    octets_up: int
    octets_down: int
    drops: dict[str, int]


@dataclass(slots=True)
class Snapshot:
    """How things are at a scrape. By port: `receive_buffers`, octets that the kernel granted;
    `overflowed`, datagrams that it dropped since the start, most often because those were full."""

    sessions: int = 0
    setting_up: int = 0
    clients: int = 0
    half_open: int = 0
    users: int = 0
    ready: bool = True
    isakmp_sas: Mapping[str, int] = field(default_factory=dict)  # by suite
    ipsec_sas: Mapping[str, int] = field(default_factory=dict)
    user_sessions: Mapping[str, int] = field(default_factory=dict)  # of those who are on
    pools: Sequence[PoolUse] = ()
    receive_buffers: Mapping[str, int] = field(default_factory=dict)
    overflowed: Mapping[str, int] = field(default_factory=dict)
    plane: PlaneTotals | None = None


class Metrics:
    """The recording side. Serve `registry`."""

    def __init__(self, version: str, started: float) -> None:
        """`started` in Unix seconds."""
        # Else a second series for each counter, which nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._drops: Tally[str] = Tally()
        self._read: Callable[[], Snapshot] | None = None
        self.registry.register(_State(self))
        self._counters()
        Gauge(
            "ferrule_build_info", "The running version.", ["version"], registry=self.registry
        ).labels(version).set(1)
        Gauge("ferrule_start_time_seconds", "Unix time of the start.", registry=self.registry).set(
            started
        )
        self._fill_labels()

    def _counters(self) -> None:
        registry = self.registry

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"ferrule_{name}", text, labels, registry=registry)

        self._setup_seconds = Histogram(
            "ferrule_setup_seconds",
            "Time that each stage of a set-up took; total: first IKE message to IPCP open.",
            ["stage"],
            buckets=SETUP_BUCKETS,
            registry=registry,
        )
        self._session_seconds = Histogram(
            "ferrule_session_duration_seconds",
            "How long sessions lasted, counted at their end.",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._setups = counter("setups_total", "Set-ups that came to an end.", "outcome")
        self._failures = counter(
            "failures_total", "Set-ups that failed, and why.", "stage", "reason"
        )
        self._ended = counter("sessions_ended_total", "Sessions that ended, and why.", "reason")
        self._auth = counter(
            "auth_total", "Authentications; outcome is ok or the reason.", "method", "outcome"
        )
        self._sas_up = counter("sas_established_total", "SAs established.", "kind", "suite")
        self._sas_down = counter("sas_ended_total", "SAs that ended, and why.", "kind", "reason")
        self._rekeys = counter("rekeys_total", "SAs established in place of another.", "kind")
        self._moved = counter("clients_moved_total", "Clients whose address changed.")
        self._reloads = counter("config_reloads_total", "Configuration reloads.", "outcome")
        self._bugs = counter("bugs_total", "Exceptions that are bugs; each cost one client.")
        self._reloaded_at = Gauge(
            "ferrule_config_last_reload_timestamp_seconds",
            "Unix time at which the running configuration was taken over.",
            registry=registry,
        )
        self._reload_worked = Gauge(
            "ferrule_config_last_reload_successful",
            "0 while a newer configuration than the running one was refused.",
            registry=registry,
        )
        self._weak_allowed = Gauge(
            "ferrule_weak_crypto_allowed",
            "1 for each weak algorithm that the configuration accepts.",
            ["algorithm"],
            registry=registry,
        )

    def _fill_labels(self) -> None:
        """Series from the start on, so that the first increase is seen by rate()."""
        for stage in SETUP_STAGES:
            self._setup_seconds.labels(stage)
        for reason, row in REASONS.items():
            if row.stage in _SETUP_REASON_STAGES:
                self._failures.labels(row.stage.value, reason.value)
            if row.stage is Stage.SESSION:
                self._ended.labels(reason.value)
        for outcome in ("up", "failed"):
            self._setups.labels(outcome)
        for method in AUTH_METHODS:
            self._auth.labels(method, "ok")
            self._auth.labels(method, Reason.WRONG_PASSWORD.value)
        for outcome in ("ok", "failed"):
            self._reloads.labels(outcome)
        for kind in ("isakmp", "ipsec"):
            self._rekeys.labels(kind)

    # --- what is

    def attach(self, read: Callable[[], Snapshot]) -> None:
        """`read` is called at each scrape."""
        self._read = read

    def snapshot(self) -> Snapshot | None:
        return self._read() if self._read is not None else None

    def drops(self) -> dict[str, int]:
        """Drops recorded here, by reason; the plane counts its own."""
        return dict(self._drops)

    # --- what happens

    def dropped(self, reason: Reason) -> None:
        """Cheap: strangers can cause it at line rate."""
        self._drops[reason.value] += 1

    def stage_done(self, stage: str, seconds: float) -> None:
        self._setup_seconds.labels(_one_of(stage, SETUP_STAGES)).observe(seconds)

    def session_up(self) -> None:
        self._setups.labels("up").inc()

    def session_ended(self, reason: Reason, seconds: float) -> None:
        """`seconds`: how long it was up."""
        self._ended.labels(reason.value).inc()
        self._session_seconds.observe(max(0.0, seconds))

    def setup_failed(self, reason: Reason) -> None:
        self._setups.labels("failed").inc()
        self._failures.labels(info(reason).stage.value, reason.value).inc()

    def auth_tried(self, method: str, reason: Reason | None) -> None:
        """`reason` None: the password was right."""
        outcome = "ok" if reason is None else reason.value
        self._auth.labels(_one_of(method, AUTH_METHODS), outcome).inc()

    def isakmp_sa_up(self, suite: str, *, rekey: bool = False) -> None:
        self._sa_up("isakmp", suite, rekey)

    def ipsec_sa_up(self, suite: str, *, rekey: bool) -> None:
        self._sa_up("ipsec", suite, rekey)

    def _sa_up(self, kind: str, suite: str, rekey: bool) -> None:
        self._sas_up.labels(kind, suite).inc()
        if rekey:
            self._rekeys.labels(kind).inc()

    def sa_down(self, kind: str, reason: Reason) -> None:
        """`kind` is "isakmp" or "ipsec"."""
        self._sas_down.labels(_one_of(kind, ("isakmp", "ipsec")), reason.value).inc()

    def client_moved(self) -> None:
        self._moved.inc()

    def bug(self) -> None:
        self._bugs.inc()

    def config_loaded(self, weak: Iterable[str], wall_now: float) -> None:
        """At the start, and with `reloaded` after each reload that worked. `weak`: allowWeak."""
        self._weak_allowed.clear()
        for word in weak:
            self._weak_allowed.labels(word).set(1)
        self._reloaded_at.set(wall_now)
        self._reload_worked.set(1)

    def reloaded(self, *, ok: bool) -> None:
        self._reloads.labels("ok" if ok else "failed").inc()
        self._reload_worked.set(int(ok))


class _State(Collector):
    """The scraping side: a snapshot and the plane's counters as metric families."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Names for the registry's check, without a snapshot."""
        return self._families(Snapshot(plane=_NOTHING))

    def collect(self) -> Iterable[Metric]:
        snapshot = self._metrics.snapshot()
        return self._families(snapshot) if snapshot is not None else ()

    def _families(self, now: Snapshot) -> Iterable[Metric]:
        for name, text, value in (
            ("sessions", "Sessions with an address.", now.sessions),
            ("sessions_setting_up", "L2TP sessions without an address yet.", now.setting_up),
            ("clients", "Remote hosts with an ISAKMP or IPsec SA.", now.clients),
            ("half_open", "Phase 1 exchanges under way.", now.half_open),
            ("users", "Accounts in the configuration.", now.users),
            ("ready", "1 when ports and TUN are open.", int(now.ready)),
        ):
            yield _gauge(name, text, (), {(): value})
        for name, text, by_suite in (
            ("isakmp_sas", "ISAKMP SAs.", now.isakmp_sas),
            ("ipsec_sas", "Pairs of IPsec SAs.", now.ipsec_sas),
        ):
            yield _gauge(name, text, ("suite",), _bounded(by_suite))
        yield _gauge(
            "weak_crypto_sas",
            "Live SAs that use a weak algorithm.",
            ("algorithm",),
            {(word,): count_weak(word, now.isakmp_sas, now.ipsec_sas) for word in WEAK_WORDS},
        )
        yield _gauge(
            "user_sessions",
            f"Sessions of each user who is on; of the first {USERS_MAX} by name.",
            ("user",),
            {(user,): count for user, count in sorted(now.user_sessions.items())[:USERS_MAX]},
        )
        yield from _pools(now.pools)
        yield _gauge(
            "receive_buffer_bytes",
            "SO_RCVBUF that the kernel granted.",
            ("port",),
            {(port,): octets for port, octets in now.receive_buffers.items()},
        )
        yield _counter(
            "receive_buffer_dropped",
            "Datagrams that the kernel dropped before we could read them.",
            ("port",),
            {(port,): count for port, count in now.overflowed.items()},
        )
        if now.plane is not None:
            yield from _plane(now.plane)
        drops = Tally(dict.fromkeys((reason.value for reason in Reason), 0))
        drops.update(self._metrics.drops())
        drops.update(now.plane.drops if now.plane is not None else {})
        yield _counter(
            "dropped",
            "Packets and messages dropped or refused, by reason.",
            ("reason",),
            {(reason,): count for reason, count in drops.items()},
        )


def _pools(pools: Sequence[PoolUse]) -> Iterable[Metric]:
    states: dict[tuple[str, ...], int] = {}
    for use in pools:
        states[(use.name, "free")] = use.free
        states[(use.name, "leased")] = use.leased
    yield _gauge("pool_addresses", "Addresses by state.", ("pool", "state"), states)
    yield _gauge(
        "pool_size",
        "Addresses that may be leased to anybody.",
        ("pool",),
        {(use.name,): use.size for use in pools},
    )


def _plane(plane: PlaneTotals) -> Iterable[Metric]:
    rows: tuple[tuple[str, str, dict[tuple[str, ...], int]], ...] = (
        (
            "traffic_bytes",
            "Inner IP traffic; up is from clients.",
            {("up",): plane.octets_up, ("down",): plane.octets_down},
        ),
        (
            "traffic_packets",
            "Inner IP packets; up is from clients.",
            {("up",): plane.packets_up, ("down",): plane.packets_down},
        ),
        (
            "udp_bytes",
            "UDP payload on the outer ports.",
            {("in",): plane.octets_in, ("out",): plane.octets_out},
        ),
        (
            "udp_datagrams",
            "Datagrams on the outer ports.",
            {("in",): plane.datagrams_in, ("out",): plane.datagrams_out},
        ),
        ("esp_packets", "ESP packets.", {("in",): plane.esp_in, ("out",): plane.esp_out}),
    )
    for name, text, values in rows:
        yield _counter(name, text, ("direction",), values)
    yield _counter("keepalives", "NAT keep-alives received.", (), {(): plane.keepalives_in})


@dataclass(slots=True)
class _Nothing:
    datagrams_in: int = 0
    datagrams_out: int = 0
    octets_in: int = 0
    octets_out: int = 0
    esp_in: int = 0
    esp_out: int = 0
    keepalives_in: int = 0
    packets_up: int = 0
    packets_down: int = 0
    octets_up: int = 0
    octets_down: int = 0
    drops: dict[str, int] = field(default_factory=dict)


_NOTHING: Final = _Nothing()


def _gauge(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]
) -> Metric:
    family = GaugeMetricFamily(f"ferrule_{name}", text, labels=labels)
    for row, value in values.items():
        family.add_metric(row, value)
    return family


def _counter(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]
) -> Metric:
    family = CounterMetricFamily(f"ferrule_{name}", text, labels=labels)
    for row, value in values.items():
        family.add_metric(row, value)
    return family


def _bounded(by_suite: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    """The most used suites; what is left counts as "other"."""
    rows: dict[tuple[str, ...], int] = {}
    for suite, count in sorted(by_suite.items(), key=lambda item: -item[1]):
        key = (suite,) if len(rows) < SUITES_MAX else (OTHER,)
        rows[key] = rows.get(key, 0) + count
    return rows


def count_weak(word: str, *families: Mapping[str, int]) -> int:
    """SAs, counted by suite, in whose suite the word stands."""
    return sum(
        count for family in families for suite, count in family.items() if word in suite.split("-")
    )


def _one_of(word: str, known: Sequence[str]) -> str:
    return word if word in known else OTHER
