"""Who owns a shard: rendezvous hashing over the members of an epoch.

Every member computes the same map from the same names, without a word between them. When a member
comes or goes, only the shards that it gains or leaves behind move (one in n of all), and they
spread evenly over the others. A map is only as good as its epoch: see `membership.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ferrule.cluster.members import MemberName
from ferrule.cluster.shards import SHARDS
from ferrule.crypto.hashes import digest
from ferrule.crypto.suites import Hash

_WEIGHT_OCTETS: Final = 8
_WEIGHTS_A_DIGEST: Final = 32 // _WEIGHT_OCTETS


@lru_cache(maxsize=256)
def _weights(member: MemberName) -> tuple[int, ...]:
    """How much each shard likes the member."""
    name = member.encode()
    octets = b"".join(
        digest(Hash.SHA2_256, b"ferrule shard\0" + block.to_bytes(2, "big") + name)
        for block in range(SHARDS // _WEIGHTS_A_DIGEST)
    )
    return tuple(
        int.from_bytes(octets[at : at + _WEIGHT_OCTETS], "big")
        for at in range(0, SHARDS * _WEIGHT_OCTETS, _WEIGHT_OCTETS)
    )


@dataclass(frozen=True, slots=True)
class ShardMap:
    """The owner of each shard under an epoch; empty if nobody may own one."""

    epoch: int
    owners: tuple[MemberName, ...]

    @classmethod
    def over(cls, members: Iterable[MemberName], epoch: int) -> ShardMap:
        """The map over `members`, in whatever order they come."""
        return cls(epoch, _owners(tuple(sorted(set(members)))))

    def owner(self, shard: int) -> MemberName | None:
        return self.owners[shard] if self.owners else None

    def shards_of(self, member: MemberName) -> frozenset[int]:
        return frozenset(shard for shard, owner in enumerate(self.owners) if owner == member)


@lru_cache(maxsize=64)
def _owners(members: tuple[MemberName, ...]) -> tuple[MemberName, ...]:
    if not members:
        return ()
    best, owners = list(_weights(members[0])), [members[0]] * SHARDS
    for member in members[1:]:
        for shard, weight in enumerate(_weights(member)):
            if weight > best[shard]:
                best[shard], owners[shard] = weight, member
    return tuple(owners)
