"""What membership asks the shell to do: a closed union, to be matched with `assert_never`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from ferrule.cluster.members import Epoch, EpochId, Heartbeat, Identity, Member, Record


class Standing(Enum):
    """What a member may do. Only ACTIVE and FROZEN serve, and only until `serves_until`."""

    JOINING = "joining"  # not in an epoch (any more): serves nothing, asks to be let in
    ACTIVE = "active"
    FROZEN = "frozen"  # without the store, with most members: serves on, changes nothing
    FENCED = "fenced"  # without both: serves nothing until it knows that it still may
    LEAVING = "leaving"  # serves nothing, waits for the others to know it
    LEFT = "left"


@dataclass(slots=True)
class SendHeartbeat:
    to: Member
    heartbeat: Heartbeat


@dataclass(slots=True)
class AskBeat:
    """Write the record and read the epoch and all records; answer with `StoreView`."""

    ask: int
    record: Record


@dataclass(slots=True)
class AskChange:
    """Write `epoch` if the store's is still `expected` (None: it has none) and the records of
    `marks` are still those. `records`, one for each member of `epoch`, are written where the store
    has none of that life; all others are deleted. Answer with `StoreView` either way."""

    ask: int
    expected: EpochId | None
    marks: Mapping[Identity, bytes]
    epoch: Epoch
    records: Mapping[Identity, Record]


@dataclass(slots=True)
class EpochChanged:
    """We live in this epoch now. Who owns what: `ownership.ShardMap.over`."""

    epoch: Epoch


@dataclass(slots=True)
class ReleaseShards:
    """Others own these from `epoch` on: stop serving them, hand over or write the last blobs, then
    answer `Released`. Until then nobody else serves them, but for RELEASE_SECONDS at most."""

    epoch: EpochId
    shards: frozenset[int]


@dataclass(slots=True)
class ServeShards:
    """These are ours from now on; whoever had them before does not serve them any more."""

    epoch: EpochId
    shards: frozenset[int]


@dataclass(slots=True)
class StandingChanged:
    standing: Standing
    why: str


@dataclass(slots=True)
class LoseShards:
    """These were ours and are not, without a hand-over: the others went on without us, or the time
    for it was over. Nothing that belongs to them may be sent or written any more."""

    shards: frozenset[int]


@dataclass(slots=True)
class PeerSuspected:
    peer: Identity


@dataclass(slots=True)
class PeerDeposed:
    """By our own proposal, which the store took."""

    peer: Identity


ClusterEffect: TypeAlias = (
    SendHeartbeat
    | AskBeat
    | AskChange
    | EpochChanged
    | ReleaseShards
    | ServeShards
    | StandingChanged
    | LoseShards
    | PeerSuspected
    | PeerDeposed
)


# --- answers -----------------------------------------------------------------------------------


@dataclass(slots=True)
class StoreView:
    """What the store held after the question. `epoch` None: the store is empty."""

    ask: int
    epoch: Epoch | None
    records: Mapping[Identity, Record] = field(default_factory=dict)
    changed: bool = False  # of an AskChange


@dataclass(slots=True)
class Released:
    epoch: EpochId


ClusterAnswer: TypeAlias = StoreView | Released
