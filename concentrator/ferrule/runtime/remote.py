"""The remote port: an operator asks how things are, and hands in new configurations.

One HTTP request, POST /, with a sealed question and a sealed reply (`sealing.py`). Questions are
{"want": "status"} and {"want": "configure", "files": {NAME: TEXT}}; both are answered by the
status, the second after the files have been taken over, or with "problem". It exists because a
kubelet brings a mounted Secret up to date a minute late, and a revoked user must be out at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

from aiohttp import web

from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.runtime.sealing import QUESTION, SealBroken, Sealer, reply_purpose

OCTETS_MAX: Final = 32 << 20
AT_ONCE: Final = 4  # a stranger may make us read, and no more


class Steered(Protocol):
    """What a running concentrator does for whoever holds the key."""

    def remote_status(self) -> dict[str, Any]: ...
    async def configure(self, files: dict[str, str]) -> str:
        """Take the files over; returns what is wrong with them, "" for nothing."""


def _application(server: Steered, key: Callable[[], Secret]) -> web.Application:
    places = asyncio.Semaphore(AT_ONCE)

    async def answer(request: web.Request) -> web.Response:
        async with places:
            question = await request.read()
            sealer = Sealer(key())
            try:
                wish = sealer.open(question, QUESTION)
            except SealBroken:
                return web.Response(status=403)
            problem = await _obey(server, wish)
        status = {**server.remote_status(), "problem": problem}
        return web.Response(body=sealer.seal(status, reply_purpose(question)))

    app = web.Application(client_max_size=OCTETS_MAX)
    app.router.add_post("/", answer)
    return app


async def _obey(server: Steered, wish: dict[str, Any]) -> str:
    files = wish.get("files")
    match wish.get("want"):
        case "status":
            return ""
        case "configure" if isinstance(files, dict) and _are_texts(files):
            return await server.configure(files)
        case _:
            return "this version does not know that question"


def _are_texts(files: dict[Any, Any]) -> bool:
    return all(isinstance(part, str) for pair in files.items() for part in pair)


@contextlib.asynccontextmanager
async def serve_remote(
    server: Steered, listen: Address, key: Callable[[], Secret]
) -> AsyncIterator[None]:
    """Serve on a TCP port; `key` is asked for at each question. Raises OSError."""
    runner = web.AppRunner(_application(server, key), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, listen.host, listen.port).start()
    try:
        yield
    finally:
        await runner.cleanup()
