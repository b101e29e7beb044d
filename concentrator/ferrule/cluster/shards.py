"""Names that carry the route: a shard number in every responder cookie and inbound SPI.

The two names stand in almost every packet of a client and are chosen by us, so they can say which
member owns it. 1024 shards: the first 10 bits of the name are the shard, permuted with a key of
the gateway so that the names do not tell how many members there are; the rest is random.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from ferrule.core.ids import Cookie, Spi
from ferrule.core.secret import Secret
from ferrule.crypto.hashes import hmac
from ferrule.crypto.suites import Hash

SHARDS = 1024
_SPI_RANDOM_BITS = 22
_LOWEST_SPI = 256  # RFC 4303 2.1: 1 to 255 are reserved


class ShardNames:
    """Draws cookies and SPIs of the shards that are ours, and reads the shard off any of them."""

    def __init__(self, key: Secret, shards: tuple[int, ...], entropy: Callable[[int], bytes]):
        """`key` is the gateway's, the same for all its members. `shards` are those we own."""
        self._label_of, self._shard_of = _permutation(key)
        self._shards = shards
        self._entropy = entropy

    @property
    def shards(self) -> tuple[int, ...]:
        """Those that we own now; names of them only are drawn."""
        return self._shards

    @shards.setter
    def shards(self, shards: tuple[int, ...]) -> None:
        self._shards = shards

    def draw_shard(self) -> int:
        """One of ours, by chance: the home of a new client. Raises IndexError if we own none."""
        if not self._shards:
            raise IndexError("no shard is ours")
        return self._shards[int.from_bytes(self._entropy(4), "big") % len(self._shards)]

    def cookie(self, shard: int) -> Cookie:
        """A new responder cookie, 8 octets, of `shard`."""
        drawn = int.from_bytes(self._entropy(8), "big")
        label = self._label_of[shard]
        return Cookie(((label << 54) | (drawn & ((1 << 54) - 1))).to_bytes(8, "big"))

    def spi(self, shard: int, taken: Container[Spi]) -> Spi:
        """A new inbound SPI of `shard` that is not in `taken`."""
        label = self._label_of[shard]
        while True:
            random = int.from_bytes(self._entropy(4), "big") & ((1 << _SPI_RANDOM_BITS) - 1)
            spi = Spi((label << _SPI_RANDOM_BITS) | random)
            if spi >= _LOWEST_SPI and spi not in taken:
                return spi

    def shard_of_spi(self, spi: Spi) -> int:
        return self._shard_of[spi >> _SPI_RANDOM_BITS]

    def shard_of_cookie(self, cookie: Cookie) -> int:
        return self._shard_of[int.from_bytes(cookie[:2], "big") >> 6]


def _permutation(key: Secret) -> tuple[list[int], list[int]]:
    """A keyed permutation of the shard numbers and its inverse."""
    order = sorted(
        range(SHARDS), key=lambda shard: hmac(Hash.SHA2_256, key.reveal(), shard.to_bytes(2, "big"))
    )
    inverse = [0] * SHARDS
    for label, shard in enumerate(order):
        inverse[shard] = label
    return inverse, order
