from __future__ import annotations

import time
from ipaddress import IPv4Address

import pytest

from ferrule.accounts.pools import ANY_ADDRESS, Pools, PoolUse
from ferrule.core.reasons import Reason
from support.accounts import pool


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


def lease(
    pools: Pools, key: object, username: str = "u", requested: str = "", static: str = ""
) -> IPv4Address | Reason:
    return pools.lease(
        key,
        username,
        ip(requested) if requested else ANY_ADDRESS,
        ip(static) if static else None,
        0.0,
    )


def test_network_broadcast_gateway_and_exclusions_are_never_leased() -> None:
    pools = Pools([pool("10.0.0.0/28", exclude=("10.0.0.4-10.0.0.9", "10.0.0.12"))])
    assert pools.gateway_address == ip("10.0.0.1")
    leased = [lease(pools, key, f"u{key}") for key in range(6)]
    assert leased == [ip(f"10.0.0.{n}") for n in (2, 3, 10, 11, 13, 14)]
    assert lease(pools, 6) is Reason.POOL_EXHAUSTED
    assert pools.use() == (PoolUse("default", 6, 6, 0),)


@pytest.mark.parametrize(("cidr", "free"), [("10.0.1.0/32", 1), ("10.0.1.0/31", 2)])
def test_small_further_pools_are_used_whole(cidr: str, free: int) -> None:
    pools = Pools([pool("10.0.0.0/30"), pool(cidr, "small")])
    leased = {lease(pools, key, f"u{key}") for key in range(1 + free)}
    assert len(leased) == 1 + free
    assert lease(pools, "more") is Reason.POOL_EXHAUSTED


def test_pools_are_tried_in_order() -> None:
    pools = Pools([pool("10.9.0.0/30", "b"), pool("10.1.0.0/30", "a")])
    assert pools.gateway_address == ip("10.9.0.1")
    assert lease(pools, 1, "x") == ip("10.9.0.2")
    assert lease(pools, 2, "y") == ip("10.1.0.1")
    assert [use.name for use in pools.use()] == ["b", "a"]


def test_asking_again_changes_nothing() -> None:
    pools = Pools([pool()])
    assert lease(pools, 1) == lease(pools, 1, requested="10.0.0.6") == ip("10.0.0.2")
    assert len(pools) == 1


def test_the_same_address_for_the_same_user_where_it_is_free() -> None:
    pools = Pools([pool()])
    first = lease(pools, 1, "alice")
    lease(pools, 2, "bob")
    pools.release(1)
    assert lease(pools, 3, "carol") != first
    assert lease(pools, 4, "alice") == first
    pools.release(4)
    for key in range(10, 14):
        lease(pools, key, f"u{key}")
    assert pools.holder(ip(str(first))) is not None
    assert lease(pools, 5, "alice") is Reason.POOL_EXHAUSTED


def test_what_was_never_used_comes_first_then_what_was_released_longest_ago() -> None:
    pools = Pools([pool("10.0.0.0/29")])  # .2 to .6
    for key in (1, 2, 3):
        lease(pools, key, f"u{key}")
    pools.release(2)
    pools.release(1)
    assert [lease(pools, k, f"n{k}") for k in (11, 12)] == [ip("10.0.0.5"), ip("10.0.0.6")]
    assert [lease(pools, k, f"n{k}") for k in (13, 14)] == [ip("10.0.0.3"), ip("10.0.0.2")]


@pytest.mark.parametrize(
    ("requested", "granted"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("10.0.0.1", "10.0.0.3"),  # the gateway's
        ("10.0.0.7", "10.0.0.3"),  # broadcast
        ("10.0.0.2", "10.0.0.3"),  # in use
        ("10.0.0.6", "10.0.0.3"),  # static of somebody
        ("192.0.2.1", "10.0.0.3"),  # not ours
    ],
)
def test_a_wish_is_granted_where_that_harms_nobody(requested: str, granted: str) -> None:
    pools = Pools([pool("10.0.0.0/29")], [ip("10.0.0.6")])
    lease(pools, "first", "first")
    assert lease(pools, 1, "u", requested) == ip(granted)


def test_a_wish_for_the_address_that_another_user_had_is_not_granted() -> None:
    pools = Pools([pool("10.0.0.0/28")])
    his = lease(pools, 1, "alice")
    pools.release(1)
    assert lease(pools, 2, "mallory", requested=str(his)) != his
    assert lease(pools, 3, "alice", requested=str(his)) == his


def test_static_addresses() -> None:
    pools = Pools(
        [pool("10.0.0.0/29", exclude=("10.0.0.4-10.0.0.6",))], [ip("10.0.0.5"), ip("10.0.0.3")]
    )
    assert lease(pools, 1, "s", static="10.0.0.5") == ip("10.0.0.5")
    assert lease(pools, 1, "s", static="10.0.0.5") == ip("10.0.0.5")
    assert lease(pools, 2, "s", static="10.0.0.5") is Reason.STATIC_ADDRESS_TAKEN
    assert lease(pools, 3, "d") == ip("10.0.0.2")
    assert lease(pools, 4, "e") is Reason.POOL_EXHAUSTED
    assert pools.use() == (PoolUse("default", 1, 2, 0),)
    pools.release(1)
    assert lease(pools, 2, "s", static="10.0.0.5") == ip("10.0.0.5")


def test_a_lease_moves_when_its_user_became_static() -> None:
    pools = Pools([pool("10.0.0.0/29")])
    assert lease(pools, 1, "s") == ip("10.0.0.2")
    lease(pools, 2, "t")
    assert lease(pools, 1, "s", static="10.0.0.3") is Reason.STATIC_ADDRESS_TAKEN
    held = pools.lease_of(1)
    assert held is not None
    assert held.address == ip("10.0.0.2")
    assert lease(pools, 1, "s", static="10.0.0.6") == ip("10.0.0.6")
    assert len(pools) == 2


def test_release_is_idempotent_and_frees_only_its_own() -> None:
    pools = Pools([pool()])
    pools.release("never")
    lease(pools, 1, "alice")
    pools.release(1)
    again = lease(pools, 2, "alice")
    pools.release(1)
    assert pools.holder(ip(str(again))) == 2


def test_reload_keeps_leases_and_gives_back_what_left_the_pools() -> None:
    pools = Pools([pool("10.0.0.0/29")])
    for key in (1, 2):
        lease(pools, key, f"u{key}")
    pools.replace([pool("10.0.0.0/30"), pool("10.8.0.0/30", "new")], [ip("10.0.0.2")])
    assert pools.lease_of(2) is not None
    assert pools.use() == (PoolUse("default", 0, 2, 0), PoolUse("new", 2, 0, 2))
    assert lease(pools, 3, "u3") == ip("10.8.0.1")
    pools.release(1)
    pools.release(2)
    assert lease(pools, 4, "u4") == ip("10.8.0.2")
    assert lease(pools, 5, "u5") is Reason.POOL_EXHAUSTED
    pools.replace([pool("10.0.0.0/29")], [])
    leased = {lease(pools, key, f"v{key}") for key in range(10, 15)}
    assert leased == {ip(f"10.0.0.{n}") for n in range(2, 7)}
    assert lease(pools, 15, "v15") is Reason.POOL_EXHAUSTED


def test_a_wrong_reload_changes_nothing() -> None:
    pools = Pools([pool("10.0.0.0/29")])
    for specs in ([], [pool("10.1.0.0/16"), pool("10.1.2.0/24", "b")]):
        with pytest.raises(ValueError, match="pool"):
            pools.replace(specs, [ip("10.0.0.2")])
    assert lease(pools, 1) == ip("10.0.0.2")


def test_the_memory_of_users_is_bounded() -> None:
    pools = Pools([pool("10.0.0.0/16")], remembered_max=10)
    for key in range(1000):
        lease(pools, key, f"u{key}")
        pools.release(key)
    assert len(pools._last_address) == len(pools._last_user) == 10


def test_a_slash_16_with_thousands_of_statics_stays_quick() -> None:
    static = [ip("10.0.128.0") + 2 * i for i in range(5000)]
    pools = Pools([pool("10.0.0.0/16")], static)
    size = pools.use()[0].size
    assert size == 65536 - 3 - 5000
    started = time.perf_counter()
    for key in range(size):
        assert isinstance(lease(pools, key, f"u{key}"), IPv4Address)
    assert lease(pools, "more", "more") is Reason.POOL_EXHAUSTED
    for key in range(0, size, 7):
        pools.release(key)
        assert isinstance(lease(pools, ("again", key), f"v{key}"), IPv4Address)
    assert time.perf_counter() - started < 20  # quadratic would take many minutes
