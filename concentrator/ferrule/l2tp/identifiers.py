"""Tunnel and session ids of ours: 16 bits, random, never 0, unique among those in use.

Random, because a late message for an id that was used before must not find its successor.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final

_TRIES: Final = 16


def choose_id(entropy: Callable[[int], bytes], taken: Container[int]) -> int:
    """An id that `taken` does not hold; at most a few hundred are ever taken."""
    candidate = 0
    for _ in range(_TRIES):
        candidate = int.from_bytes(entropy(2), "big")
        if candidate and candidate not in taken:
            return candidate
    while not candidate or candidate in taken:  # entropy repeats itself: walk on from there
        candidate = (candidate + 1) & 0xFFFF
    return candidate
