"""Work by key, coalesced: a key that waits is not queued twice, one that is worked on comes again.

Failures come back later and later. One asyncio loop; nothing here blocks.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Final, Generic, TypeVar

K = TypeVar("K")

FIRST_BACKOFF: Final = 0.5  # seconds
LAST_BACKOFF: Final = 60.0


class Queue(Generic[K]):
    """`put` from anywhere in the loop; `get` and `done` by workers."""

    def __init__(self) -> None:
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._working: set[K] = set()
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are due or will be, those being worked on not counted."""
        return len(self._due)

    @property
    def failing(self) -> int:
        """Keys whose last turn failed."""
        return len(self._failures)

    def put(self, key: K, delay: float = 0.0) -> None:
        """Work on `key` in `delay` seconds, or earlier if that is planned already."""
        at = asyncio.get_running_loop().time() + delay
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            self._count += 1
            heapq.heappush(self._heap, (at, self._count, key))
            self._wake.set()

    async def get(self) -> K:
        """The next key that is due and that nobody works on. Call `done` after it."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            key, wait = self._next(loop.time())
            if key is not None:
                return key
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    def _next(self, now: float) -> tuple[K | None, float | None]:
        """A key to work on, or how long to wait for one (None: until something is put)."""
        held = []
        found: K | None = None
        wait: float | None = None
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) != at:  # planned for another time since
                heapq.heappop(self._heap)
            elif at > now:
                wait = at - now
                break
            elif key in self._working:
                held.append(heapq.heappop(self._heap))
            else:
                heapq.heappop(self._heap)
                del self._due[key]
                self._working.add(key)
                found = key
                break
        for item in held:
            heapq.heappush(self._heap, item)
        return found, wait

    def done(
        self,
        key: K,
        *,
        failed: bool = False,
        progressed: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """The turn is over. After a failure the key comes again by itself: soon, if the turn got
        something done (`progressed`), else later and later."""
        self._working.discard(key)
        if failed:
            before = 0 if progressed else self._failures.get(key, 0)
            failures = self._failures[key] = before + 1
            delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 10))
            self.put(key, max(delay, retry_after or 0.0))
        else:
            self._failures.pop(key, None)
        self._wake.set()

    def forget(self, key: K) -> None:
        """It will not come again by itself."""
        self._due.pop(key, None)
        self._failures.pop(key, None)
