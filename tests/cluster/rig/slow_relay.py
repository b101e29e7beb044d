"""Runs before a server: passes TCP on, each piece so much later.

python -m cluster.rig.slow_relay LISTEN_PORT SERVER_PORT SECONDS
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_PIECE = 1 << 16


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """In order, `seconds` later, without one piece waiting for the other."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            at, piece = await queue.get()
            await asyncio.sleep(at - loop.time())
            if not piece:
                writer.close()
                return
            writer.write(piece)

    delivering = asyncio.ensure_future(deliver())
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            queue.put_nowait((loop.time() + seconds, piece))
    queue.put_nowait((loop.time(), b""))
    await delivering


async def main(listen: int, server: int, seconds: float) -> None:
    """Until it is killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", server)
        await asyncio.gather(_pass_on(reader, forth, 0.0), _pass_on(back, writer, seconds))

    async with await asyncio.start_server(serve, "0.0.0.0", listen) as serving:
        await serving.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
