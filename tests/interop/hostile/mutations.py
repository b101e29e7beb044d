"""Mutants of real messages: changed enough to be wrong, like enough to be read far."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

OCTETS_MAX = 1400
_EDGES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)


def mutant(rng: random.Random, samples: Sequence[bytes]) -> bytes:
    """One to four changes of one of `samples`, which are not empty."""
    data = bytearray(rng.choice(samples))
    for _ in range(rng.randint(1, 4)):
        rng.choice(_CHANGES)(rng, data, samples)
        if not data:
            data += rng.randbytes(1)
    del data[OCTETS_MAX:]
    if rng.random() < 0.5:
        _mend_length(data)
    return bytes(data)


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) * 8)
    data[at >> 3] ^= 1 << (at & 7)


def _edge(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[rng.randrange(len(data))] = rng.choice(_EDGES)


def _early_edge(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """In the first octets lies what steers the parser."""
    data[rng.randrange(min(64, len(data)))] = rng.choice(_EDGES)


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data)) :]


def _append(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    data += rng.randbytes(rng.randint(1, 64))


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = rng.randrange(len(data))
    at = rng.randrange(len(data))
    data[at:at] = data[start : start + rng.randint(1, 64)]


def _splice(rng: random.Random, data: bytearray, samples: Sequence[bytes]) -> None:
    other = rng.choice(samples)
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def _restart(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Another initiator cookie and no responder cookie: an exchange of its own."""
    data[:16] = rng.randbytes(8) + bytes(8)


def _mend_length(data: bytearray) -> None:
    """The length in the ISAKMP header, so that the payloads are looked at."""
    if len(data) >= 28:
        data[24:28] = len(data).to_bytes(4, "big")


_CHANGES: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip,
    _edge,
    _early_edge,
    _early_edge,
    _cut,
    _append,
    _repeat,
    _splice,
    _restart,
)
