"""What a fuzz target is, and the registry of all of them.

A target takes octets from a stranger and may raise nothing but what its layer raises for the peer's
faults. It asserts more where it can: that what was parsed is built the same, that limits hold.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ferrule.core.errors import ProtocolError

Run: TypeAlias = Callable[[bytes], object]


@dataclass(frozen=True, slots=True)
class Target:
    """`octets_max` bounds the inputs that the fuzzer tries."""

    name: str
    run: Run
    tolerated: tuple[type[Exception], ...]
    octets_max: int

    def __call__(self, data: bytes) -> None:
        with contextlib.suppress(*self.tolerated):
            self.run(data)


TARGETS: Final[dict[str, Target]] = {}


def target(*also_tolerated: type[Exception], octets_max: int = 2048) -> Callable[[Run], Run]:
    """Registers a function under its own name. It may raise ProtocolError and `also_tolerated`."""

    def register(run: Run) -> Run:
        name = run.__name__
        if name in TARGETS:
            raise ValueError(f"two targets are called {name}")
        TARGETS[name] = Target(name, run, (ProtocolError, *also_tolerated), octets_max)
        return run

    return register


# --- what inputs of machines look like, and where their randomness comes from ------------------


def records(data: bytes) -> Iterator[bytes]:
    """The input of a machine: messages, each behind its length in two octets."""
    at = 0
    while at + 2 <= len(data):
        octets = int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : at + 2 + octets]
        at += 2 + octets


def join_records(*messages: bytes) -> bytes:
    """The input that `records` takes apart."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


class Entropy:
    """Octets that are the same in every run: an input that crashes today crashes tomorrow."""

    def __init__(self, seed: bytes = b"fuzz") -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, octets: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(self._seed + self._count.to_bytes(4, "big")).digest(octets)
