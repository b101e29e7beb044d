"""The operator's page of metrics, and its health."""

from __future__ import annotations

import aiohttp

from ferrule_operator.metrics import Metrics, serve_http


async def test_the_page(unused_tcp_port: int) -> None:
    metrics = Metrics()
    wrong = [""]
    metrics.queue_length(lambda: 3)
    metrics.reconciled("ok", 0.2)
    metrics.api_answered("GET", "secrets", 200)
    metrics.leading(True)
    base = f"http://127.0.0.1:{unused_tcp_port}"
    async with (
        serve_http(f"127.0.0.1:{unused_tcp_port}", metrics.registry, lambda: wrong[0]),
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{base}/metrics") as page:
            text = await page.text()
        assert "ferrule_operator_queue_length 3.0" in text
        assert 'ferrule_operator_reconciles_total{outcome="ok"} 1.0' in text
        assert 'resource="secrets"} 1.0' in text
        async with http.get(f"{base}/healthz") as page:
            assert (page.status, await page.text()) == (200, "ok\n")
        wrong[0] = "vpn/office takes too long"
        async with http.get(f"{base}/healthz") as page:
            assert (page.status, await page.text()) == (503, "vpn/office takes too long\n")
        async with http.get(f"{base}/readyz") as page:
            assert page.status == 200


def test_names_begin_alike_and_have_base_units() -> None:
    for family in Metrics().registry.collect():
        if family.name.startswith(("process_", "python_")):
            continue
        assert family.name.startswith("ferrule_operator_")
        assert not family.name.endswith(("_ms", "_minutes"))
