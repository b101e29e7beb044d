"""Work in another network namespace without leaving one's own: a thread that moves in, and a door.

Sockets belong to the namespace in which they were made, so a thread in the namespace can serve
connections that come in on a socket from outside.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


def _enter(network: Path) -> None:
    """Move the calling thread, and only it."""
    with network.open("rb") as file:
        if _libc.setns(file.fileno(), _CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(network))


def within(network: Path | None, function: Callable[[], _T]) -> _T:
    """Call the function in the namespace, or here when there is none; returns what it returns."""
    if network is None:
        return function()
    with concurrent.futures.ThreadPoolExecutor(1, initializer=_enter, initargs=(network,)) as pool:
        return pool.submit(function).result()


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


class Door:
    """A port on loopback here that leads to a TCP address in the namespace."""

    def __init__(self, network: Path, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        # The loop itself forgets a task whose near side has said all: somebody must hold it.
        self._carriers: set[asyncio.Task[None] | None] = set()
        self._shut: concurrent.futures.Future[Callable[[], object]] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(network,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Shut it, with all connections that go through it."""
        self._shut.result(10)()
        self._thread.join(10)

    def _run(self, network: Path) -> None:
        _enter(network)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._carry, sock=self._listener):
            self._shut.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()
        # What was accepted in the last moment begins now, so that it is cancelled like the others.
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrier = asyncio.current_task()
        self._carriers.add(carrier)
        try:
            await self._carry_on(reader, writer)
        finally:
            self._carriers.discard(carrier)

    async def _carry_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            writer.transport.abort()
            far_writer.transport.abort()
            # The loop may end with this task: an aborted transport lets go of its socket later.
            await asyncio.gather(
                writer.wait_closed(), far_writer.wait_closed(), return_exceptions=True
            )


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry octets one way until the end, which is carried too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
