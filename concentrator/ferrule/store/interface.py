"""What the store does: members and epochs, check-points, leases, a directory. All soft state.

Every operation may be repeated: after `StoreAway` nobody knows whether it was carried out, and
asking again gives the same. Nothing is written by whoever has lost the right to: members compare
and set on the epoch, check-points on the shard's claim, leases on who holds the address. What is
secret comes sealed (`cluster.sealing`), names of users and devices as pseudonyms; the store reads
neither. One object serves one gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import Final, Protocol, TypeAlias

from ferrule.accounts.users import OnLimit
from ferrule.cluster.members import Epoch, EpochId, Identity, Record
from ferrule.core.reasons import Reason

LEASE_SECONDS: Final = 90.0  # renewed every 30 s
OVER_SECONDS: Final = 600.0  # a session that is over does not come back
DIRECTORY_SECONDS: Final = 180.0  # published every 60 s
CHECKPOINT_SECONDS: Final = 86_400.0  # of a shard that nobody writes to any more


class StoreAway(Exception):
    """No answer in time, or none that can be used. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Members:
    """`epoch` None: the store is empty. `changed`: the change that was asked for is done."""

    epoch: Epoch | None
    records: Mapping[Identity, Record]
    changed: bool = False


# --- check-points ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Who may write a shard's check-points: the owner of this epoch. Later epochs win."""

    owner: Identity
    epoch: int


@dataclass(frozen=True, slots=True)
class Put:
    """A check-point to be written, or deleted where `blob` is None."""

    shard: int
    claim: Claim
    session: str
    blob: bytes | None


class PutResult(Enum):
    DONE = "done"
    UNCLAIMED = "unclaimed"  # the store was emptied: claim again, and write everything
    DEPOSED = "deposed"  # another claim stands: nothing was written


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`epoch` is that of the claim under which it was written, and sealed."""

    epoch: int
    blob: bytes


# --- leases ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """A session that counts, with its address. `since_ms` is Unix time: the older session wins.
    `owner` is the identity of a member, as text."""

    session: str
    user: str
    device: str
    since_ms: int
    owner: str
    address: IPv4Address


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """May this session start, and with which address?

    `limit` and `sessions_max`: 0 is no limit. `ranges` are the addresses that may be given to
    anybody, first and last included, in the order of preference. `device` tells a user's devices
    apart: under `reject-new` a session of the same device is replaced all the same."""

    session: str
    user: str
    device: str
    since_ms: int
    owner: str
    limit: int
    on_limit: OnLimit
    sessions_max: int
    static: IPv4Address | None
    requested: IPv4Address | None
    ranges: tuple[tuple[IPv4Address, IPv4Address], ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """A session that counts no more; `owner` is the member that ends it."""

    session: str
    owner: str


@dataclass(frozen=True, slots=True)
class Granted:
    address: IPv4Address
    replaced: tuple[Replaced, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """TOO_MANY_SESSIONS, SESSIONS_LIMIT, POOL_EXHAUSTED, STATIC_ADDRESS_TAKEN; STORE_AWAY while
    members have yet to say which leases they have, after the store was emptied."""

    reason: Reason


Admission: TypeAlias = Granted | Refused


@dataclass(frozen=True, slots=True)
class Renewal:
    """`lost` are sessions that must end: their address is an older session's, or they were released
    or replaced in the last OVER_SECONDS. `displaced` are younger sessions that had to make room
    for one of ours. `generation` is another one each time that the store was emptied; "" before it
    has an epoch again, and where it was emptied meanwhile."""

    lost: tuple[str, ...] = ()
    displaced: tuple[Replaced, ...] = field(default=())
    generation: str = field(default="", compare=False)


class Store(Protocol):
    """Everything raises StoreAway, and nothing else for what the network or a server may do."""

    # members and epochs

    async def beat(self, record: Record) -> Members:
        """Write the record of a member that the epoch lists; of others, do nothing. Read all."""
        ...

    async def change(
        self,
        expected: EpochId | None,
        marks: Mapping[Identity, bytes],
        epoch: Epoch,
        records: Mapping[Identity, Record],
    ) -> Members:
        """See `cluster.effects.AskChange`. On an empty store the listed members have to say what
        leases they hold (`restored`) before anybody is admitted."""
        ...

    # check-points

    async def claim(self, shards: Iterable[int], claim: Claim) -> frozenset[int]:
        """The shards for which the claim stands now: no later one does."""
        ...

    async def put(self, batch: Sequence[Put]) -> tuple[PutResult, ...]:
        """One result for each, in order. DONE: as durable as this store is."""
        ...

    async def load(self, shard: int) -> Mapping[str, Checkpoint]:
        """All check-points of the shard, by session."""
        ...

    # leases

    async def admit(self, request: LeaseRequest) -> Admission:
        """Check the limits and lease an address, in one step. For a session that has a lease: the
        same again. What was not renewed is free, unless its owner is listed in the epoch and has
        not said `restored` either: then it lives, and does not reach the store."""
        ...

    async def renew(self, leases: Sequence[Lease]) -> Renewal:
        """These sessions go on, with LEASE_SECONDS more. A lease that the store does not have is
        put back; where two want one address, the older session keeps it. Without any leases it
        still tells the generation."""
        ...

    async def restored(self, member: Identity, generation: str) -> bool:
        """This member has renewed all leases that it has, and each renewal was of this generation;
        of another one, nothing happens. True: every member has, since the store was empty."""
        ...

    async def release(self, session: str) -> None:
        """The session is over. Nothing happens if it has no lease."""
        ...

    # directory

    async def publish(self, entries: Mapping[str, bytes]) -> None:
        """What is to be known of these sessions, for DIRECTORY_SECONDS."""
        ...

    async def withdraw(self, session: str) -> None: ...

    async def directory(self) -> Mapping[str, bytes]:
        """Whatever was published and neither withdrawn nor forgotten since."""
        ...

    async def close(self) -> None:
        """Finish what has been accepted, and let go. Does not raise."""
        ...
