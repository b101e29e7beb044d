"""The demo's web server "behind" the gateway: GET /N answers with N octets.

Run as a program: `python -m ferrule.runtime.demo_web ADDRESS PORT`, until it is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Final

from aiohttp import web

OCTETS_MAX: Final = 1 << 30
_PIECE: Final = bytes(64 * 1024)


async def answer(request: web.Request) -> web.StreamResponse:
    """As many octets as the path says."""
    text = request.match_info["octets"]
    octets = int(text)
    if octets > OCTETS_MAX:
        raise web.HTTPBadRequest(text=f"{OCTETS_MAX} octets at most\n")
    response = web.StreamResponse(headers={"Content-Length": text})
    await response.prepare(request)
    while octets:
        piece = _PIECE[: min(octets, len(_PIECE))]
        await response.write(piece)
        octets -= len(piece)
    return response


def application() -> web.Application:
    made = web.Application()
    made.router.add_get(r"/{octets:\d{1,10}}", answer)
    return made


async def serve(host: str, port: int) -> None:
    """Serve until cancelled."""
    runner = web.AppRunner(application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
