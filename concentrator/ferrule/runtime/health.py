"""/metrics, /healthz and /readyz on one small HTTP server.

Healthy: the event loop answers. Ready: ports and TUN are open. Readiness is never withdrawn to
shed load: a Service would cut every live flow at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest


@contextlib.asynccontextmanager
async def serve_http(
    listen: str, registry: CollectorRegistry, ready: Callable[[], str]
) -> AsyncIterator[None]:
    """Serve on `listen` ("host:port"; "" for nowhere). `ready` says "" or what is missing."""
    if not listen:
        yield
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = ready()
        return web.Response(text=f"{missing or 'ok'}\n", status=503 if missing else 200)

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
