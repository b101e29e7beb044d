"""Requests as the API server gets them, and what its answers become."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from ferrule_operator import api as module
from ferrule_operator.api import Api, ApiError
from ferrule_operator.kinds import GATEWAY, POD, SECRET, STATEFUL_SET
from ferrule_operator.metrics import Metrics
from support.operator import gateway, secret


class Server:
    """Answers from a list, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any, dict[str, str]]] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    def say(self, status: int, body: Any, **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers.append((status, body, named))

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.text()
        kept = {name: request.headers.get(name, "") for name in ("Content-Type", "Authorization")}
        self.requests.append(
            (request.method, str(request.rel_url), kept, json.loads(body) if body else None)
        )
        status, answer, headers = self.answers.pop(0)
        return web.json_response(answer, status=status, headers=headers)


@pytest.fixture
async def server(unused_tcp_port: int) -> AsyncIterator[tuple[Server, Api]]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    configuration = Configuration(host=f"http://127.0.0.1:{unused_tcp_port}")
    configuration.api_key["BearerToken"] = "bearer token"
    api = Api(configuration, Metrics())
    yield server, api
    await api.close()
    await runner.cleanup()


async def test_apply(server: tuple[Server, Api]) -> None:
    one, api = server
    one.say(200, {"kind": "VpnGateway"})
    wanted = gateway()
    assert await api.apply(wanted) == {"kind": "VpnGateway"}
    method, url, headers, body = one.requests[0]
    assert method == "PATCH"
    assert url == (
        "/apis/ferrule.dev/v1alpha1/namespaces/vpn/vpngateways/office"
        "?fieldManager=ferrule-operator&force=true"
    )
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert headers["Authorization"] == "bearer token"
    assert body == wanted


async def test_statuses_and_finalizers(server: tuple[Server, Api]) -> None:
    one, api = server
    live = gateway()
    one.say(200, {})
    await api.patch_status(live, {"sessions": 3, "old": None})
    one.say(200, {})
    await api.set_finalizers(live, [])
    (_, status_url, status_headers, status), (_, _, _, finalizers) = one.requests
    assert status_url.startswith(
        "/apis/ferrule.dev/v1alpha1/namespaces/vpn/vpngateways/office/status"
    )
    assert status_headers["Content-Type"] == "application/merge-patch+json"
    assert status == {"status": {"sessions": 3, "old": None}}
    version = live["metadata"]["resourceVersion"]
    assert finalizers == {"metadata": {"resourceVersion": version, "finalizers": []}}


async def test_deletion_is_of_this_very_object(server: tuple[Server, Api]) -> None:
    one, api = server
    for status in (200, 404, 409):  # gone, or another of the same name: both are fine
        one.say(status, {})
        await api.delete(gateway())
    assert one.requests[0][3]["preconditions"] == {"uid": "VpnGateway-office-uid"}
    one.say(403, {"reason": "Forbidden", "message": "no"})
    with pytest.raises(ApiError, match="403 Forbidden: no"):
        await api.delete(gateway())


async def test_lists_come_in_pages_with_kinds(server: tuple[Server, Api]) -> None:
    one, api = server
    one.say(200, {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}})
    one.say(200, {"items": [{"metadata": {"name": "b"}}], "metadata": {}})
    found = await api.list_all(POD)
    assert [(item["kind"], item["metadata"]["name"]) for item in found] == [
        ("Pod", "a"),
        ("Pod", "b"),
    ]
    first, second = (url for _, url, _, _ in one.requests)
    assert first.startswith("/api/v1/pods?limit=500&labelSelector=")
    assert "continue=next" in second
    one.say(200, {"items": None})
    assert await api.list_all(SECRET, "vpn", "a=b") == []
    assert "fieldSelector=type!%3Dhelm.sh" in one.requests[-1][1]


async def test_what_is_missing_is_none(server: tuple[Server, Api]) -> None:
    one, api = server
    one.say(404, {"reason": "NotFound"})
    assert await api.get(STATEFUL_SET, "vpn", "office") is None
    one.say(404, {})
    assert not await api.serves(GATEWAY)
    one.say(200, {"resources": [{"name": "vpngateways"}]})
    assert await api.serves(GATEWAY)


async def test_the_servers_words_about_a_secret_are_left_out(server: tuple[Server, Api]) -> None:
    one, api = server
    one.say(422, {"reason": "Invalid", "message": 'Invalid value: "hunter2"'})
    with pytest.raises(ApiError) as caught:
        await api.apply(secret("s", {"a": "hunter2"}))
    assert "hunter2" not in str(caught.value)
    assert caught.value.final
    one.say(422, {"reason": "Invalid", "message": "spec.replicas: no"})
    with pytest.raises(ApiError, match=r"spec\.replicas: no"):
        await api.apply(gateway())


async def test_reads_are_tried_again_and_writes_are_not(
    server: tuple[Server, Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_AGAIN_SECONDS", (0.0, 0.0))
    one, api = server
    one.say(429, {}, Retry_After="0")
    one.say(503, {})
    one.say(200, {"kind": "VpnGateway"})
    assert await api.get(GATEWAY, "vpn", "office") == {"kind": "VpnGateway"}
    for _ in range(3):
        one.say(500, {})
    with pytest.raises(ApiError):
        await api.get(GATEWAY, "vpn", "office")
    assert len(one.requests) == 6
    one.say(429, {"reason": "TooManyRequests"}, Retry_After="7")
    with pytest.raises(ApiError) as caught:
        await api.create(secret("s", {}))
    assert caught.value.retry_after == 7.0
    assert len(one.requests) == 7


async def test_no_answer(unused_tcp_port: int) -> None:
    api = Api(Configuration(host=f"http://127.0.0.1:{unused_tcp_port}"), Metrics())
    with pytest.raises(ApiError) as caught:
        await api.create(secret("s", {"a": "hunter2"}))
    await api.close()
    assert caught.value.status == 0
    assert not caught.value.final
    assert "hunter2" not in str(caught.value)
