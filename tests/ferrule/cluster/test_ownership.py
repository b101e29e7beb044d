"""The shard map: the same for everybody, even, and disturbed as little as can be."""

from __future__ import annotations

from ferrule.cluster.members import MemberName
from ferrule.cluster.ownership import ShardMap
from ferrule.cluster.shards import SHARDS

NAMES = [MemberName(f"gate-{number}") for number in range(5)]


def test_the_order_of_members_does_not_matter() -> None:
    assert ShardMap.over(NAMES, 3) == ShardMap.over([*reversed(NAMES), NAMES[0]], 3)


def test_every_shard_has_one_owner_and_the_shares_are_even() -> None:
    shards = ShardMap.over(NAMES, 1)
    shares = [len(shards.shards_of(name)) for name in NAMES]
    assert sum(shares) == SHARDS
    fair = SHARDS / len(NAMES)
    assert all(0.75 * fair < share < 1.25 * fair for share in shares)
    assert all(shards.owner(shard) in NAMES for shard in range(SHARDS))


def test_only_the_shards_of_who_went_move() -> None:
    before, after = ShardMap.over(NAMES, 1), ShardMap.over(NAMES[:-1], 2)
    gone = NAMES[-1]
    for shard in range(SHARDS):
        if before.owner(shard) != gone:
            assert after.owner(shard) == before.owner(shard)
    heirs = [after.owner(shard) for shard in before.shards_of(gone)]
    assert set(heirs) == set(NAMES[:-1])  # spread over all the others


def test_nobody_owns_nothing() -> None:
    empty = ShardMap.over([], 7)
    assert empty.owner(0) is None
    assert not empty.shards_of(NAMES[0])
