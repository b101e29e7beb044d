"""The admin socket: HTTP with JSON over a Unix socket, for whoever may open that file.

`GET /status`, `GET /sessions`, `GET /cluster`, and `POST /kick` with {"session": "3/17/4"},
{"user": "ada"} or {"all": true}.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any, Protocol

import aiohttp
from aiohttp import web


class AdminError(Exception):
    """The admin socket can't be reached, or said no. The message is for a person."""


class Administered(Protocol):
    """What a running concentrator can be asked."""

    def status(self) -> dict[str, Any]: ...
    def sessions(self) -> list[dict[str, Any]]: ...
    def cluster(self) -> dict[str, Any] | None:
        """None: there are no other replicas."""

    async def kick(self, *, session: str = "", user: str = "", everyone: bool = False) -> int:
        """Ends the sessions named; returns how many. Raises ValueError for a bad name."""


def _application(server: Administered) -> web.Application:
    async def status(_: web.Request) -> web.Response:
        return web.json_response(server.status())

    async def sessions(_: web.Request) -> web.Response:
        return web.json_response(server.sessions())

    async def cluster(_: web.Request) -> web.Response:
        known = server.cluster()
        return web.json_response(
            known if known is not None else {"error": "it has a store of its own: no replicas"}
        )

    async def kick(request: web.Request) -> web.Response:
        try:
            wish = await request.json()
            ended = await server.kick(
                session=str(wish.get("session", "")),
                user=str(wish.get("user", "")),
                everyone=wish.get("all") is True,
            )
        except (ValueError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"ended": ended})

    app = web.Application()
    app.router.add_get("/status", status)
    app.router.add_get("/sessions", sessions)
    app.router.add_get("/cluster", cluster)
    app.router.add_post("/kick", kick)
    return app


@contextlib.asynccontextmanager
async def serve_admin(server: Administered, path: str) -> AsyncIterator[None]:
    """Serve on the Unix socket `path`, mode 0600. Raises OSError if it can't be made."""
    if not path:
        yield
        return
    os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
    runner = web.AppRunner(_application(server), access_log=None)
    await runner.setup()
    old_mask = os.umask(0o177)
    try:
        site = web.UnixSite(runner, path)
        await site.start()
    finally:
        os.umask(old_mask)
    try:
        yield
    finally:
        await runner.cleanup()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


async def ask(path: str, method: str, what: str, wish: dict[str, Any] | None = None) -> Any:
    """Ask the concentrator behind the admin socket `path`. Raises `AdminError`."""
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as http,
            http.request(method, f"http://admin{what}", json=wish) as response,
        ):
            answer = json.loads(await response.text())
    except aiohttp.ClientConnectorError as error:
        raise AdminError(_why_closed(path, error.os_error)) from error
    except (aiohttp.ClientError, ValueError, OSError) as error:
        raise AdminError(f"{path}: {error}") from error
    if isinstance(answer, dict) and "error" in answer:
        raise AdminError(str(answer["error"]))
    return answer


def _why_closed(path: str, error: OSError) -> str:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return f"nobody listens on {path}: is the concentrator running?"
        case PermissionError():
            return f"{path} may not be opened by this user"
        case _:
            return f"{path}: {error.strerror}"
