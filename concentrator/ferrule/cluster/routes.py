"""Where a packet goes that carries no shard of its own: what members learn about clients' ways.

A first message names no shard; who has talked lately to this very address and port through us has
the client. A cookie that is in another shard than its client's home has a forward, kept by the
owner of the cookie's shard. Packets of shards that are on their way to us wait a moment.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from ferrule.cluster.members import MemberName
from ferrule.cluster.shards import SHARDS
from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address, Cookie
from ferrule.core.reasons import Reason
from ferrule.crypto.hashes import digest
from ferrule.crypto.suites import Hash

PEERS_MAX: Final = 65_536
PEER_SECONDS: Final = 300.0
WAITING_MAX: Final = 256
WAITING_SECONDS: Final = 1.0
_LATEST: Final = 1 << 40  # Unix seconds; what is later is no time of ours
FORWARD_SECONDS: Final = 90_000.0  # a day, the longest life of an ISAKMP SA, and some
FORWARDS_MAX: Final = 1_000_000
COOKIE_OCTETS: Final = 8

T = TypeVar("T")


class RecentPeers:
    """The member that has the client at an address, learnt from its answers through us."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[Address, tuple[MemberName, float]] = OrderedDict()

    def note(self, peer: Address, member: MemberName, now: float) -> None:
        self._known[peer] = (member, now)
        self._known.move_to_end(peer)
        if len(self._known) > PEERS_MAX:
            self._known.popitem(last=False)

    def find(self, peer: Address, now: float) -> MemberName | None:
        found = self._known.get(peer)
        return found[0] if found is not None and now < found[1] + PEER_SECONDS else None

    def forget(self, peer: Address) -> None:
        self._known.pop(peer, None)


@dataclass(frozen=True, slots=True)
class Forward:
    """`until` is Unix time."""

    home: int
    until: float


class Forwards:
    """Of cookies whose client's home is another shard than their own."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Cookie, Forward] = {}

    def __len__(self) -> int:
        return len(self._known)

    def put(self, cookie: Cookie, forward: Forward) -> None:
        """A later one wins. The oldest makes room where there are too many."""
        known = self._known.pop(cookie, forward)
        self._known[cookie] = forward if known.until <= forward.until else known
        if len(self._known) > FORWARDS_MAX:
            del self._known[next(iter(self._known))]

    def drop(self, cookie: Cookie) -> None:
        self._known.pop(cookie, None)

    def home(self, cookie: Cookie, wall: float) -> int | None:
        found = self._known.get(cookie)
        return found.home if found is not None and wall < found.until else None

    def forget(self, shards: Iterable[int], shard_of: Callable[[Cookie], int]) -> None:
        """Of cookies in `shards`: another member keeps them now."""
        lost = frozenset(shards)
        for cookie in [known for known in self._known if shard_of(known) in lost]:
            del self._known[cookie]

    def expire(self, wall: float) -> list[Cookie]:
        """Forget those whose ISAKMP SA is over by now."""
        over = [cookie for cookie, known in self._known.items() if known.until <= wall]
        for cookie in over:
            del self._known[cookie]
        return over


def build_forward(forward: Forward) -> bytes:
    return forward.home.to_bytes(2, "big") + int(forward.until).to_bytes(8, "big")


def parse_forward(octets: bytes) -> Forward:
    """Raises Malformed (RING_MALFORMED)."""
    reader = Reader(octets, Reason.RING_MALFORMED)
    home, until = reader.u16(), int.from_bytes(reader.take(8), "big")
    reader.finish()
    if home >= SHARDS or until >= _LATEST:
        raise Malformed(Reason.RING_MALFORMED, f"shard {home} until {until}")
    return Forward(home, float(until))


class Waiting(Generic[T]):
    """What waits for its shard to be ours: a moment, and never much."""

    __slots__ = ("_count", "_kept")

    def __init__(self) -> None:
        self._kept: OrderedDict[int, deque[tuple[float, T]]] = OrderedDict()
        self._count = 0

    @property
    def shards(self) -> tuple[int, ...]:
        """For which something waits, longest first."""
        return tuple(self._kept)

    def keep(self, shard: int, item: T, now: float) -> bool:
        """False: there is no room."""
        self._expire(now)
        if self._count >= WAITING_MAX:
            return False
        self._kept.setdefault(shard, deque()).append((now, item))
        self._count += 1
        return True

    def take(self, shard: int, now: float) -> list[T]:
        """What waited for the shard, and is not too old."""
        kept = self._kept.pop(shard, None) or ()
        self._count -= len(kept)
        return [item for at, item in kept if now < at + WAITING_SECONDS]

    def _expire(self, now: float) -> None:
        for shard in list(self._kept):
            kept = self._kept[shard]
            while kept and kept[0][0] + WAITING_SECONDS <= now:
                kept.popleft()
                self._count -= 1
            if not kept:
                del self._kept[shard]


def rendezvous(key: bytes, members: Iterable[MemberName]) -> MemberName | None:
    """One of `members`, the same for the same key wherever it is asked."""
    return max(
        members,
        key=lambda member: digest(Hash.SHA2_256, key + b"\0" + member.encode()),
        default=None,
    )
