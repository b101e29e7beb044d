"""Growing delays after wrong passwords, for each pair of user and source address.

Never for a source alone, since a hotel is one source, and never for a user alone, since anyone
could then lock out anyone. A try is charged when it starts, so that many at once gain nothing; a
success clears the pair. Both tables are bounded, and a flood of single failures with made-up
names cannot push a pair out that is already being delayed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FREE_FAILURES: Final = 5  # tries before the first delay
FIRST_DELAY_SECONDS: Final = 2.0
LONGEST_DELAY_SECONDS: Final = 300.0
FORGET_SECONDS: Final = 3600.0  # without a failure
PAIRS_MAX: Final = 10_000  # in each of the two tables


@dataclass(slots=True)
class _Pair:
    failures: int = 0
    last: float = 0.0
    until: float = 0.0


class Lockout:
    """Counts tries of (user, source). Times are seconds of the caller's monotonic clock."""

    __slots__ = ("_counting", "_delayed", "_pairs_max")

    def __init__(self, pairs_max: int = PAIRS_MAX) -> None:
        self._pairs_max = pairs_max
        self._counting: OrderedDict[tuple[str, str], _Pair] = OrderedDict()
        self._delayed: OrderedDict[tuple[str, str], _Pair] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counting) + len(self._delayed)

    def seconds_left(self, username: str, source: str, now: float) -> float:
        """How long this pair still has to wait; 0.0 if it may try now."""
        pair = self._delayed.get((username, source))
        return max(0.0, pair.until - now) if pair is not None else 0.0

    def charge(self, username: str, source: str, now: float) -> None:
        """A try starts, and counts as failed until `clear` or `refund` says otherwise."""
        key = (username, source)
        pair = self._delayed.pop(key, None) or self._counting.pop(key, None) or _Pair()
        if now - pair.last >= FORGET_SECONDS:
            pair.failures = 0
        pair.failures += 1
        pair.last = now
        pair.until = now + delay_seconds(pair.failures)
        table = self._counting if pair.failures < FREE_FAILURES else self._delayed
        table[key] = pair
        if len(table) > self._pairs_max:
            table.popitem(last=False)

    def refund(self, username: str, source: str) -> None:
        """The try tested no password: it does not count."""
        key = (username, source)
        pair = self._delayed.get(key) or self._counting.get(key)
        if pair is None:
            return
        pair.failures -= 1
        pair.until = 0.0
        if pair.failures < FREE_FAILURES and self._delayed.pop(key, None) is not None:
            self._counting[key] = pair
        if pair.failures <= 0:
            self._counting.pop(key, None)

    def clear(self, username: str, source: str) -> None:
        """The password was right."""
        self._counting.pop((username, source), None)
        self._delayed.pop((username, source), None)


def delay_seconds(failures: int) -> float:
    """The wait after so many failures: none, then 2 s, doubling up to five minutes."""
    if failures < FREE_FAILURES:
        return 0.0
    doublings = min(failures - FREE_FAILURES, 16)
    return min(FIRST_DELAY_SECONDS * (1 << doublings), LONGEST_DELAY_SECONDS)
