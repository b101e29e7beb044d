"""The demo's web server: as many octets as are asked for."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import TestClient, TestServer

from ferrule.runtime.demo_web import OCTETS_MAX, application


@pytest.mark.parametrize("octets", [0, 1, 65_536, 65_537, 1_000_000])
async def test_answers_with_so_many_octets(octets: int) -> None:
    async with TestClient(TestServer(application())) as http:
        response = await http.get(f"/{octets}")
        assert response.status == 200
        assert await response.read() == bytes(octets)


@pytest.mark.parametrize(
    ("path", "status"), [("/", 404), ("/x", 404), ("/-1", 404), (f"/{OCTETS_MAX + 1}", 400)]
)
async def test_refuses_what_is_no_number_or_too_large(path: str, status: int) -> None:
    async with TestClient(TestServer(application())) as http:
        assert (await http.get(path)).status == status
