"""The operator's own metrics, prefix `ferrule_operator_`, and the page that shows them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from ferrule import __version__

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OUTCOMES = ("ok", "conflict", "refused", "failed")


class Metrics:
    """One registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Gauge(
            "ferrule_operator_build_info", "The running version.", ["version"], registry=registry
        ).labels(__version__).set(1)
        self._reconciles = Counter(
            "ferrule_operator_reconciles_total",
            "Times that a gateway was brought into line, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "ferrule_operator_reconcile_seconds",
            "How long that took.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._last_success = Gauge(
            "ferrule_operator_last_success_timestamp_seconds",
            "Unix time of the last one that went well.",
            registry=registry,
        )
        self._failing = Gauge(
            "ferrule_operator_failing_gateways",
            "Gateways whose last reconcile failed.",
            registry=registry,
        )
        self._api = Counter(
            "ferrule_operator_api_requests_total",
            "Requests to the API server; code 0 is no answer.",
            ["method", "resource", "code"],
            registry=registry,
        )
        self._pushes = Counter(
            "ferrule_operator_pushes_total",
            "Configurations handed to pods, by outcome.",
            ["outcome"],
            registry=registry,
        )
        self._effective = Histogram(
            "ferrule_operator_effective_seconds",
            "From a change that the operator saw to pods that run on it.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._queue = Gauge(
            "ferrule_operator_queue_length", "Gateways that wait for their turn.", registry=registry
        )
        self._objects = Gauge(
            "ferrule_operator_objects", "Objects in memory.", ["kind"], registry=registry
        )
        self._leader = Gauge(
            "ferrule_operator_leader", "1 while this process acts.", registry=registry
        )
        for outcome in OUTCOMES:
            self._reconciles.labels(outcome)
        for outcome in ("ok", "failed"):
            self._pushes.labels(outcome)

    def reconciled(self, outcome: str, seconds: float) -> None:
        """`outcome` is one of OUTCOMES."""
        self._reconciles.labels(outcome).inc()
        self._seconds.observe(seconds)
        if outcome == "ok":
            self._last_success.set(time.time())

    def api_answered(self, method: str, resource: str, code: int) -> None:
        self._api.labels(method, resource, str(code)).inc()

    def pushed(self, *, ok: bool) -> None:
        self._pushes.labels("ok" if ok else "failed").inc()

    def effective(self, seconds: float) -> None:
        self._effective.observe(seconds)

    def queue_length(self, read: Callable[[], float]) -> None:
        self._queue.set_function(read)

    def objects(self, kind: str, read: Callable[[], float]) -> None:
        self._objects.labels(kind).set_function(read)

    def failing(self, read: Callable[[], float]) -> None:
        self._failing.set_function(read)

    def leading(self, yes: bool) -> None:
        self._leader.set(int(yes))


@contextlib.asynccontextmanager
async def serve_http(
    listen: str, registry: CollectorRegistry, healthy: Callable[[], str]
) -> AsyncIterator[None]:
    """/metrics, /healthz, /readyz on "host:port"; `healthy` says "" or what is wrong."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def healthz(_: web.Request) -> web.Response:
        wrong = healthy()
        return web.Response(text=f"{wrong or 'ok'}\n", status=503 if wrong else 200)

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    try:
        yield
    finally:
        await runner.cleanup()
