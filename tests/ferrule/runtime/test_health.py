"""/metrics, /healthz, /readyz over real HTTP."""

from __future__ import annotations

import socket

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from ferrule.runtime.health import serve_http


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_the_three_pages() -> None:
    registry = CollectorRegistry()
    Counter("ferrule_test", "x", registry=registry).inc(3)
    missing = "starting"
    port = free_port()
    async with (
        serve_http(f"127.0.0.1:{port}", registry, lambda: missing),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        async with http.get("/metrics") as page:
            assert page.status == 200
            assert page.content_type == "text/plain"
            assert "ferrule_test_total 3.0" in await page.text()
        async with http.get("/healthz") as page:
            assert (page.status, await page.text()) == (200, "ok\n")
        async with http.get("/readyz") as page:
            assert (page.status, await page.text()) == (503, "starting\n")
        missing = ""
        async with http.get("/readyz") as page:
            assert (page.status, await page.text()) == (200, "ok\n")
        async with http.get("/secrets") as page:
            assert page.status == 404


async def test_off_listens_nowhere() -> None:
    async with serve_http("", CollectorRegistry(), lambda: ""):
        pass
