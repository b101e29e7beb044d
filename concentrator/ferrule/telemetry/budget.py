"""How many log lines a cause may write: strangers can cause failures faster than a disk writes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

LINES_A_SECOND: Final = 5.0
LINES_BURST: Final = 50.0
CAUSES_MAX: Final = 1000


@dataclass(slots=True)
class _Cause:
    tokens: float
    at: float
    suppressed: int = 0


class LineBudget:
    """A token bucket for each cause. Times are seconds of the caller's clock."""

    __slots__ = ("_burst", "_causes", "_rate")

    def __init__(self, rate: float = LINES_A_SECOND, burst: float = LINES_BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._causes: dict[Hashable, _Cause] = {}

    def take(self, cause: Hashable, now: float) -> int | None:
        """None: write nothing. Else write, and say how many lines were left out before it."""
        entry = self._causes.get(cause)
        if entry is None:
            if len(self._causes) >= CAUSES_MAX:
                self._causes.clear()
            entry = self._causes[cause] = _Cause(self._burst, now)
        entry.tokens = min(self._burst, entry.tokens + (now - entry.at) * self._rate)
        entry.at = now
        if entry.tokens < 1:
            entry.suppressed += 1
            return None
        entry.tokens -= 1
        suppressed, entry.suppressed = entry.suppressed, 0
        return suppressed
