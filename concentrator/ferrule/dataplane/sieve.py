"""Tells an honest first message from a flood of forged ones: the honest peer says it again.

IKEv1 has no cookie challenge, and the sender of message 1 can be anybody. While first messages
come faster than `calm_rate`, only those are let through whose (peer address, initiator cookie)
was seen before: every client repeats its first message within seconds, a forger with random
addresses does not come back. What was seen is kept in two generations of a Bloom filter: 1 MiB,
whatever the rate; about 1 in 170 of 20,000 forgeries a second slips through by chance.
"""

from __future__ import annotations

from typing import Final

BITS: Final = 1 << 22  # of each generation
GENERATION_SECONDS: Final = 8.0  # a client's first repetition comes after 1 (Windows) to 4 s
_MASK: Final = BITS - 1


class Sieve:
    """`passes` costs about a microsecond and never allocates per sender."""

    __slots__ = ("_calm_rate", "_count", "_current", "_former", "_second", "_turned_at", "flooded")

    def __init__(self, calm_rate: int, now: float) -> None:
        """`calm_rate`: first messages a second that all pass."""
        self._calm_rate = calm_rate
        self._second = now
        self._count = 0
        self.flooded = False
        self._current = bytearray(BITS >> 3)
        self._former = bytearray(BITS >> 3)
        self._turned_at = now

    def passes(self, sender: object, now: float) -> bool:
        """May the first message of `sender` (hashable) go on? Remembers it either way."""
        if now - self._second >= 1.0:
            self.flooded = self._count > self._calm_rate
            self._second, self._count = now, 0
        self._count += 1
        if not self.flooded and self._count <= self._calm_rate:
            return True
        self.flooded = True
        if now - self._turned_at >= GENERATION_SECONDS:
            self._former, self._current = self._current, bytearray(BITS >> 3)
            if now - self._turned_at >= 2 * GENERATION_SECONDS:
                self._former = bytearray(BITS >> 3)
            self._turned_at = now
        # Keyed by the process: a stranger can't choose colliding senders.
        drawn = hash((sender, "ferrule"))
        first, second = drawn & _MASK, (drawn >> 22) & _MASK
        seen = self._has(self._current, first, second) or self._has(self._former, first, second)
        self._current[first >> 3] |= 1 << (first & 7)
        self._current[second >> 3] |= 1 << (second & 7)
        return seen

    @staticmethod
    def _has(bits: bytearray, first: int, second: int) -> bool:
        return bool(bits[first >> 3] >> (first & 7) & 1 and bits[second >> 3] >> (second & 7) & 1)
