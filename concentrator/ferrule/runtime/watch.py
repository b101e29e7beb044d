"""Notices that files changed, by asking once a second: mounted Secrets swap symbolic links, which
few notification interfaces follow."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import TypeAlias

_Signature: TypeAlias = tuple[tuple[str, int, int, int] | tuple[str], ...]


def signature(files: Iterable[Path]) -> _Signature:
    """Changes when one of `files` is written, replaced, removed or comes back."""
    return tuple(_of(path) for path in files)


def _of(path: Path) -> tuple[str, int, int, int] | tuple[str]:
    try:
        stat = os.stat(path)
    except OSError:
        return (str(path),)
    return (str(path), stat.st_mtime_ns, stat.st_ino, stat.st_size)


def watch(
    files: Callable[[], Iterable[Path]],
    changed: Callable[[], Awaitable[None]],
    every_seconds: float = 1.0,
) -> Coroutine[None, None, None]:
    """Call `changed` after the files changed and then stood still for one interval. Runs until
    cancelled; `files` is asked each time, for a reload may name others. What changes after this
    call is noticed, however late the coroutine starts to run."""
    return _watch(files, changed, every_seconds, signature(files()))


async def _watch(
    files: Callable[[], Iterable[Path]],
    changed: Callable[[], Awaitable[None]],
    every_seconds: float,
    seen: _Signature,
) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        current = signature(files())
        if current == seen:
            continue
        await asyncio.sleep(every_seconds / 4)
        seen = signature(files())
        if seen == current:
            await changed()
            seen = signature(files())
        else:
            seen = ()
