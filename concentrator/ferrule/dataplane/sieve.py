"""Tells an honest IKE message from a flood of forged ones: the honest peer says it again.

IKEv1 has no cookie challenge, and the sender of message 1 can be anybody. While first messages
come faster than `calm_rate`, only those are let through whose (peer address, initiator cookie)
was seen before: every client repeats its first message within seconds, a forger with random
addresses does not come back. Later messages go through a sieve of their own, by host and both
cookies. What was seen is kept in two generations of a Bloom filter: 1 MiB, whatever the rate;
about 1 in 170 of 20,000 forgeries a second slips through by chance.
"""

from __future__ import annotations

from typing import Final

BITS: Final = 1 << 22  # of each generation
GENERATION_SECONDS: Final = 8.0  # a client's first repetition comes after 1 (Windows) to 4 s
_MASK: Final = BITS - 1
_NOTHING: Final = bytes(BITS >> 3)


class Sieve:
    """`passes` costs about a microsecond and never allocates per sender; without a flood there are
    no filters."""

    __slots__ = ("_calm_rate", "_count", "_current", "_former", "_second", "_turned_at", "flooded")

    def __init__(self, calm_rate: int, now: float) -> None:
        """`calm_rate`: messages a second that all pass."""
        self._calm_rate = calm_rate
        self._second = now
        self._count = 0
        self.flooded = False
        self._current: bytearray | None = None
        self._former: bytes | bytearray = _NOTHING
        self._turned_at = now

    def passes(self, sender: object, now: float) -> bool:
        """May the message of `sender` (hashable) go on? In a flood, remembers it either way."""
        if now - self._second >= 1.0:
            self._on_second(now)
        self._count += 1
        if not self.flooded and self._count <= self._calm_rate:
            return True
        self.flooded = True
        current = self._current
        if current is None or now - self._turned_at >= GENERATION_SECONDS:
            current = self._turn(now)
        # Keyed by the process: a stranger can't choose colliding senders.
        drawn = hash((sender, "ferrule"))
        first, second = drawn & _MASK, (drawn >> 22) & _MASK
        seen = _has(current, first, second) or _has(self._former, first, second)
        current[first >> 3] |= 1 << (first & 7)
        current[second >> 3] |= 1 << (second & 7)
        return seen

    def _on_second(self, now: float) -> None:
        """Judge the second that is over. If more have passed, nothing came in the last of them."""
        self.flooded = self._count > self._calm_rate and now - self._second < 2.0
        self._second, self._count = now, 0
        if not self.flooded and now - self._turned_at >= 2 * GENERATION_SECONDS:
            self._current, self._former = None, _NOTHING

    def _turn(self, now: float) -> bytearray:
        """A new generation; the one before last is forgotten."""
        recent = now - self._turned_at < 2 * GENERATION_SECONDS
        self._former = self._current if recent and self._current is not None else _NOTHING
        self._current = bytearray(BITS >> 3)
        self._turned_at = now
        return self._current


def _has(bits: bytes | bytearray, first: int, second: int) -> bool:
    return bool(bits[first >> 3] >> (first & 7) & 1 and bits[second >> 3] >> (second & 7) & 1)
