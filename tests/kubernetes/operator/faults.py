"""A way to the API server on which things go wrong: errors, delays, broken connections."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import ssl
import threading
import warnings
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp import web

from tests.kubernetes.cluster.network import free_port

REASONS = {
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
}
# To which requests an API server may say so.
_ALL = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE"})
METHODS = {404: _ALL - {"GET"}, 409: _ALL - {"GET"}, 410: frozenset({"GET"}), 429: _ALL, 500: _ALL}


class Faults:
    """Chances, each from 0 to 1, for a request; `only`: methods that meet them."""

    def __init__(self) -> None:
        self.statuses: dict[int, float] = {}
        self.delay_seconds = 0.0
        self.broken = 0.0  # the answer is lost, the request was carried out
        self.silent = False  # a new watch opens, and never says anything
        self.only: frozenset[str] = _ALL
        self.met: Counter[str] = Counter()

    def clear(self) -> None:
        self.statuses, self.delay_seconds, self.broken = {}, 0.0, 0.0
        self.silent = False


class FaultyWay:
    """A proxy on loopback, in a thread. `drop_watches` ends every stream that is open."""

    def __init__(self, server: str, kubeconfig: Path, seed: int = 7) -> None:
        self.faults = Faults()
        self.port = free_port()
        self._server = server
        content = json.loads(kubeconfig.read_text(encoding="utf-8"))
        self._token = content["users"][0]["user"]["token"]
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._streams: set[asyncio.Task[Any]] = set()

    def kubeconfig(self, folder: Path) -> Path:
        """For a client that is to come this way."""
        path = folder / "faulty.kubeconfig"
        server = f"http://127.0.0.1:{self.port}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": self._token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def drop_watches(self) -> None:
        def drop() -> None:
            for task in self._streams:
                task.cancel()

        self._loop.call_soon_threadsafe(drop)

    def __enter__(self) -> FaultyWay:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        with warnings.catch_warnings():  # connections that were broken on purpose
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    async def _start(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        self._http = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _stop(self) -> None:
        for task in self._streams:
            task.cancel()
        await self._runner.cleanup()
        await self._http.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        faults = self.faults
        watching = request.query.get("watch") == "true"
        if request.method in faults.only and not watching:
            if faults.delay_seconds:
                await asyncio.sleep(self._random.uniform(0, faults.delay_seconds))
            for status, chance in faults.statuses.items():
                if request.method in METHODS[status] and self._random.random() < chance:
                    faults.met[str(status)] += 1
                    return _refusal(status)
        if watching and faults.silent:
            return await self._say_nothing(request)
        url = f"{self._server}{request.rel_url}"
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("host", "content-length", "accept-encoding")
        }
        body = await request.read()
        task = asyncio.current_task()
        assert task is not None
        async with self._http.request(
            request.method, url, data=body or None, headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:  # fmt: skip
            if watching and answer.status == 200:
                return await self._stream(request, answer, task)
            octets = await answer.read()
        if request.method in faults.only and self._random.random() < faults.broken:
            faults.met["broken"] += 1
            assert request.transport is not None
            request.transport.abort()
        kept = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
        return web.Response(status=answer.status, body=octets, headers=kept)

    async def _say_nothing(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            await asyncio.Event().wait()
        finally:
            self._streams.discard(task)
        return response

    async def _stream(
        self, request: web.Request, answer: aiohttp.ClientResponse, task: asyncio.Task[Any]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._streams.add(task)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        finally:
            self._streams.discard(task)
        return response


def _refusal(status: int) -> web.Response:
    body = {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
        "reason": REASONS[status], "message": "a fault that a test made",
    }  # fmt: skip
    headers = {"Retry-After": "1"} if status == 429 else {}
    return web.json_response(body, status=status, headers=headers)
