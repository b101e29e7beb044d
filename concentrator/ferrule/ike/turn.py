"""One call of a verb of the endpoint: what the handlers read, and the effects that they leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ferrule.core.ids import Cookie, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.ike.admission import Admission
from ferrule.ike.effects import IkeDropped, IkeEffect, IkeFailed, SendIke
from ferrule.ike.header import Header
from ferrule.ike.payloads import Contents
from ferrule.ike.policy import IkePolicy
from ferrule.ike.sa_table import SaTable

SPI_TRIES: Final = 100


@dataclass(slots=True, eq=False)
class Turn:
    """`now` in seconds of the caller's clock."""

    policy: IkePolicy
    entropy: Callable[[int], bytes]
    choose_cookie: Callable[[Path], Cookie]
    choose_spi: Callable[[IsakmpSaId], Spi]
    table: SaTable
    admission: Admission
    now: float
    effects: list[IkeEffect] = field(default_factory=list)

    def send(self, path: Path, message: bytes) -> None:
        self.effects.append(SendIke(path, message))

    def drop(self, path: Path, reason: Reason, detail: str = "") -> None:
        self.effects.append(IkeDropped(path, reason, detail))

    def fail(self, path: Path, reason: Reason, detail: str = "") -> None:
        self.effects.append(IkeFailed(path, reason, detail))

    def fresh_id(self) -> int:
        """A random message id, never 0, which is phase 1's (RFC 2408 3.1)."""
        return int.from_bytes(self.entropy(4), "big") or 1

    def fresh_spi(self, isakmp_sa: IsakmpSaId) -> Spi:
        """An inbound SPI that no SA has, for a Quick Mode under `isakmp_sa`."""
        for _ in range(SPI_TRIES):
            spi = self.choose_spi(isakmp_sa)
            if spi not in self.table.ipsec:
                return spi
        raise ValueError("the chooser of SPIs repeats itself")


@dataclass(slots=True, eq=False)
class Received:
    """A message that was read, and decrypted if it was encrypted."""

    path: Path
    header: Header
    message: bytes
    contents: Contents
    plaintext: bytes  # of the body; padding included if it was encrypted
    next_iv: bytes = b""  # the last ciphertext block
