"""Timers as data: named deadlines of one machine, and a queue over many machines.

Times are seconds of a monotonic clock that the caller reads; nothing in here does.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar


class Deadline(NamedTuple):
    """When, and which timer."""

    at: float
    name: str


class Deadlines:
    """The few named timers of one machine. Setting a name again moves it."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def set(self, name: str, at: float) -> None:
        self._at[name] = at

    def clear(self, name: str) -> None:
        self._at.pop(name, None)

    def clear_all(self) -> None:
        self._at.clear()

    def get(self, name: str) -> float | None:
        return self._at.get(name)

    @property
    def next(self) -> Deadline | None:
        """The earliest deadline, or None."""
        if not self._at:
            return None
        name = min(self._at, key=self._at.__getitem__)
        return Deadline(self._at[name], name)

    def pop_expired(self, now: float) -> list[str]:
        """The names that are due at `now`, earliest first; they are cleared."""
        due = sorted((at, name) for name, at in self._at.items() if at <= now)
        for _, name in due:
            del self._at[name]
        return [name for _, name in due]


K = TypeVar("K", bound=Hashable)


class DeadlineQueue(Generic[K]):
    """The next deadline of each of many machines. Set, clear and pop cost O(log n), amortised."""

    __slots__ = ("_at", "_heap", "_serial")

    def __init__(self) -> None:
        self._at: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at: float | None) -> None:
        """Move the deadline of `key` to `at`; None clears it."""
        current = self._at.get(key)
        if at is None:
            if current is not None:
                del self._at[key]
            return
        if current is not None and current[0] == at:
            return
        self._serial += 1
        self._at[key] = (at, self._serial)
        heapq.heappush(self._heap, (at, self._serial, key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._at):
            self._heap = [(t, serial, k) for k, (t, serial) in self._at.items()]
            heapq.heapify(self._heap)

    @property
    def next(self) -> float | None:
        """The earliest deadline, or None."""
        heap = self._heap
        while heap:
            at, serial, key = heap[0]
            if self._at.get(key) == (at, serial):
                return at
            heapq.heappop(heap)
        return None

    def pop_expired(self, now: float) -> list[K]:
        """The keys that are due at `now`, earliest first; they are cleared."""
        due: list[K] = []
        while (at := self.next) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            due.append(key)
        return due
