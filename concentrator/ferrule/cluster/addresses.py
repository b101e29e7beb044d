"""Which member has the session with an inner address: told on the ring, believed for a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from ferrule.cluster.members import MemberName
from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

TELL_SECONDS: Final = 5.0  # all of them again, so often
BELIEVED_SECONDS: Final = 16.0
CHUNK: Final = 256  # addresses in a message
ADDRESS_OCTETS: Final = 4
_GONE, _HERE = 0, 1


class AddressBook:
    """Inner addresses (4 octets) of other members' sessions. The latest word counts."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[MemberName, float]] = {}

    def __contains__(self, address: object) -> bool:
        return address in self._known

    def __len__(self) -> int:
        return len(self._known)

    def find(self, address: bytes) -> MemberName | None:
        found = self._known.get(address)
        return found[0] if found is not None else None

    def counts(self) -> dict[str, int]:
        """How many each member has."""
        return dict(Counter(member for member, _ in self._known.values()))

    def hear(self, member: MemberName, here: bool, addresses: Iterable[bytes], now: float) -> None:
        for address in addresses:
            if here:
                self._known[address] = (member, now)
            elif self.find(address) == member:
                del self._known[address]

    def expire(self, members: Iterable[MemberName], now: float) -> None:
        """Forget who is not a member any more, and what was not said again."""
        left = frozenset(members)
        self._known = {
            address: (member, at)
            for address, (member, at) in self._known.items()
            if member in left and now < at + BELIEVED_SECONDS
        }


def build_addresses(here: bool, addresses: Iterable[bytes]) -> Iterator[bytes]:
    """The bodies of the ADDRESSES messages that say that these are here, or gone."""
    kept = list(addresses)
    for at in range(0, len(kept), CHUNK):
        yield bytes((_HERE if here else _GONE,)) + b"".join(kept[at : at + CHUNK])


def parse_addresses(body: bytes) -> tuple[bool, list[bytes]]:
    """Here or gone, and which. Raises Malformed (RING_MALFORMED)."""
    reader = Reader(body, Reason.RING_MALFORMED)
    word = reader.u8()
    if word not in (_GONE, _HERE) or reader.left % ADDRESS_OCTETS:
        raise Malformed(Reason.RING_MALFORMED, "addresses that are none")
    octets = reader.rest()
    step = ADDRESS_OCTETS
    return word == _HERE, [octets[at : at + step] for at in range(0, len(octets), step)]
