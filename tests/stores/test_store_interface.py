"""The contract of a store, for each of them: in memory, in memory with a file, in Valkey."""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ferrule.accounts.users import OnLimit
from ferrule.cluster.members import Identity, Record
from ferrule.cluster.sealing import Sealer
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.store.interface import (
    Checkpoint,
    Claim,
    Granted,
    Put,
    PutResult,
    Refused,
    Renewal,
    Replaced,
    Store,
)
from ferrule.store.memory import MemoryStore
from ferrule.store.valkey import ValkeySettings, ValkeyStore
from ferrule.store.valkey_url import parse_url
from support.store import FIRST, epoch_of, found, lease, records_of, request, said_all, who
from support.valkey import ValkeyServer

A, B, C = who("a-0"), who("a-1"), who("a-2")
KINDS = ("memory", "memory with a file", "valkey")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    running = ValkeyServer(tmp_path_factory.mktemp("valkey")).start()
    yield running
    running.stop()


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    match request.param:
        case "memory":
            made = MemoryStore()
        case "valkey":
            running: ValkeyServer = request.getfixturevalue("server")
            gateway = f"vpn/{secrets.token_hex(6)}"
            made = ValkeyStore(gateway, ValkeySettings(parse_url(running.url)))
        case _:
            sealer = Sealer("vpn", [Secret(bytes(32))], random.randbytes)
            made = await MemoryStore.open(tmp_path / "store", sealer, flush_seconds=0.001)
    yield made
    await made.close()


# --- members -----------------------------------------------------------------------------------


async def test_an_empty_store_has_no_epoch(store: Store) -> None:
    view = await store.beat(Record(A, 1, None))
    assert view.epoch is None
    assert view.records == {}, "nobody lists it, so it may not write"


async def test_an_epoch_is_written_once(store: Store) -> None:
    epoch = epoch_of(1, A, B)
    first = await store.change(None, {}, epoch, records_of(epoch))
    assert first.changed
    assert first.epoch == epoch
    assert first.records == records_of(epoch)
    other = epoch_of(1, C)
    late = await store.change(None, {}, other, records_of(other))
    assert not late.changed
    assert late.epoch == epoch


async def test_compare_and_set_on_the_epoch(store: Store) -> None:
    await found(store, A, B)
    second, third = epoch_of(2, A), epoch_of(3, A, C)
    stale = epoch_of(9, A).id
    assert not (await store.change(stale, {}, second, records_of(second))).changed
    assert not (await store.change(None, {}, second, records_of(second))).changed
    assert (await store.change(epoch_of(1).id, {}, second, records_of(second))).changed
    assert (await store.change(second.id, {}, third, records_of(third))).changed
    view = await store.beat(Record(A, 2, third))
    assert view.epoch == third
    assert view.records.keys() == {A, C}, "whoever is not listed is forgotten"


async def test_compare_and_set_on_what_members_last_wrote(store: Store) -> None:
    epoch = (await found(store, A, B)).epoch
    assert epoch is not None
    before = Record(B, 1, epoch).mark
    await store.beat(Record(B, 2, epoch))
    without = epoch_of(2, A)
    late = await store.change(epoch.id, {B: before}, without, records_of(without))
    assert not late.changed, "its heart beat after we looked"
    assert late.records[B].beat == 2
    mark = late.records[B].mark
    assert (await store.change(epoch.id, {B: mark}, without, records_of(without))).changed


async def test_a_record_says_all_that_was_said(store: Store) -> None:
    epoch = (await found(store, A, B)).epoch
    record = Record(A, 7, epoch, {B: 5, who("gone", 2**64 - 1): 2**63})
    view = await store.beat(record)
    assert view.records[A] == record
    assert view.records[B].beat == 1


async def test_a_former_life_writes_nothing(store: Store) -> None:
    await found(store, A)
    again = who("a-0", 2)
    second = epoch_of(2, again)
    await store.change(epoch_of(1).id, {}, second, records_of(second))
    view = await store.beat(Record(A, 99, None))
    assert view.records == records_of(second)


async def test_records_that_are_there_are_kept_by_a_change(store: Store) -> None:
    epoch = (await found(store, A)).epoch
    await store.beat(Record(A, 5, epoch))
    second = epoch_of(2, A, B)
    view = await store.change(epoch_of(1).id, {}, second, records_of(second))
    assert view.records[A].beat == 5
    assert view.records[B].beat == 1


# --- check-points ------------------------------------------------------------------------------


def put(shard: int, claim: Claim, session: str, blob: bytes | None) -> Put:
    return Put(shard, claim, session, blob)


async def test_check_points_are_kept_by_shard(store: Store) -> None:
    claim = Claim(A, 3)
    assert await store.claim([7, 8], claim) == {7, 8}
    blob = bytes(range(256)) * 4
    results = await store.put(
        [put(7, claim, "one", blob), put(8, claim, "two", b""), put(7, claim, "three", b"\0")]
    )
    assert results == (PutResult.DONE,) * 3
    assert await store.load(7) == {"one": Checkpoint(3, blob), "three": Checkpoint(3, b"\0")}
    assert await store.load(8) == {"two": Checkpoint(3, b"")}
    assert await store.load(9) == {}
    await store.put([put(7, claim, "one", None), put(7, claim, "nobody", None)])
    assert (await store.load(7)).keys() == {"three"}


async def test_a_deposed_owner_changes_nothing(store: Store) -> None:
    old, new = Claim(A, 3), Claim(B, 4)
    await store.claim([7], old)
    await store.put([put(7, old, "one", b"by a")])
    assert await store.claim([7], new) == {7}
    assert await store.load(7) == {"one": Checkpoint(3, b"by a")}
    refused = await store.put([put(7, old, "one", b"late"), put(7, old, "two", b"late")])
    assert refused == (PutResult.DEPOSED, PutResult.DEPOSED)
    assert await store.claim([7], old) == frozenset()
    assert await store.put([put(7, new, "one", b"by b")]) == (PutResult.DONE,)
    assert await store.load(7) == {"one": Checkpoint(4, b"by b")}


async def test_two_claims_of_one_epoch_are_one_too_many(store: Store) -> None:
    await store.claim([7], Claim(A, 3))
    assert await store.claim([7, 8], Claim(B, 3)) == {8}
    assert await store.claim([7], Claim(A, 3)) == {7}, "asking again is no harm"
    assert await store.claim([7], Claim(who("a-0", 2), 3)) == frozenset(), "another life"


async def test_without_a_claim_nothing_is_written(store: Store) -> None:
    assert await store.put([put(7, Claim(A, 3), "one", b"x")]) == (PutResult.UNCLAIMED,)
    assert await store.load(7) == {}
    assert await store.put([]) == ()


async def test_each_of_a_batch_has_its_own_result(store: Store) -> None:
    mine, theirs = Claim(A, 3), Claim(B, 5)
    await store.claim([1], mine)
    await store.claim([2], theirs)
    batch = [put(3, mine, "x", b"x"), put(2, mine, "x", b"x"), put(1, mine, "x", b"x")]
    results = await store.put(batch)
    assert results == (PutResult.UNCLAIMED, PutResult.DEPOSED, PutResult.DONE)


# --- leases ------------------------------------------------------------------------------------


async def granted(store: Store, session: str, user: str = "ada", **fields: object) -> IPv4Address:
    admission = await store.admit(request(session, user, **fields))
    assert isinstance(admission, Granted)
    assert admission.replaced == ()
    return admission.address


async def refusal(store: Store, session: str, user: str = "ada", **fields: object) -> Reason:
    admission = await store.admit(request(session, user, **fields))
    assert isinstance(admission, Refused)
    return admission.reason


async def test_addresses_are_leased_once(store: Store) -> None:
    await found(store, A)
    leased = [await granted(store, f"s{n}", f"user {n}") for n in range(8)]
    assert leased == [FIRST + n for n in range(8)]
    assert await refusal(store, "s8", "user 8") is Reason.POOL_EXHAUSTED


async def test_asking_again_gives_the_same(store: Store) -> None:
    await found(store, A)
    first = await granted(store, "s1")
    assert await granted(store, "s1") == first
    assert await granted(store, "s1", limit=1) == first
    assert await granted(store, "s2") != first


async def test_a_user_gets_his_last_address_again(store: Store) -> None:
    await found(store, A)
    first = await granted(store, "s1", "ada")
    await granted(store, "s2", "bob")
    await store.release("s1")
    assert await granted(store, "s3", "eve") not in (first, FIRST + 1)
    assert await granted(store, "s4", "ada") == first


async def test_the_one_released_longest_ago_comes_first(store: Store) -> None:
    await found(store, A)
    for n in range(8):
        await granted(store, f"s{n}", f"user {n}")
    for n in (5, 2, 7):
        await store.release(f"s{n}")
    await store.release("s5")  # twice is no harm
    assert await granted(store, "new", "new") == FIRST + 5
    assert await granted(store, "newer", "newer") == FIRST + 2


@pytest.mark.parametrize(
    ("wish", "gets"), [(FIRST + 3, FIRST + 3), (FIRST + 100, FIRST), (FIRST - 1, FIRST)]
)
async def test_a_wish_is_granted_where_it_may(
    store: Store, wish: IPv4Address, gets: IPv4Address
) -> None:
    await found(store, A)
    assert await granted(store, "s1", requested=wish) == gets


async def test_nobody_gets_the_address_for_which_another_user_will_come_back(store: Store) -> None:
    await found(store, A)
    first = await granted(store, "s1", "ada")
    await store.release("s1")
    assert await granted(store, "s2", "bob", requested=first) != first


async def test_ranges_are_tried_in_order(store: Store) -> None:
    await found(store, A)
    ranges = ((FIRST + 50, FIRST + 50), (FIRST + 20, FIRST + 21))
    got = [await granted(store, f"s{n}", f"user {n}", ranges=ranges) for n in range(3)]
    assert got == [FIRST + 50, FIRST + 20, FIRST + 21]
    assert await refusal(store, "s3", "user 3", ranges=ranges) is Reason.POOL_EXHAUSTED
    assert await refusal(store, "s3", "user 3", ranges=()) is Reason.POOL_EXHAUSTED


async def test_static_addresses(store: Store) -> None:
    await found(store, A)
    static = IPv4Address("10.20.9.9")
    assert await granted(store, "s1", static=static) == static
    assert await granted(store, "s1", static=static) == static
    taken = await refusal(store, "s2", static=static)
    assert taken is Reason.STATIC_ADDRESS_TAKEN
    moved = await store.admit(request("s2", static=static, limit=1))
    assert moved == Granted(static, (Replaced("s1", "a-0"),))


async def test_the_oldest_session_makes_room(store: Store) -> None:
    await found(store, A)
    await granted(store, "young", since_ms=3000, owner="a-1")
    await granted(store, "old", since_ms=1000, owner="a-2")
    await granted(store, "other", "bob", since_ms=0)
    admission = await store.admit(request("new", limit=2, since_ms=4000))
    assert isinstance(admission, Granted)
    assert admission.replaced == (Replaced("old", "a-2"),)
    admission = await store.admit(request("newer", limit=1, since_ms=5000))
    assert isinstance(admission, Granted)
    assert admission.replaced == (Replaced("young", "a-1"), Replaced("new", "a-0"))


async def test_under_reject_new_only_the_same_device_is_replaced(store: Store) -> None:
    await found(store, A)
    await granted(store, "s1", device="laptop")
    await granted(store, "s2", device="phone")
    rule = {"limit": 2, "on_limit": OnLimit.REJECT_NEW}
    assert await refusal(store, "s3", device="tablet", **rule) is Reason.TOO_MANY_SESSIONS
    admission = await store.admit(request("s4", device="phone", **rule))
    assert isinstance(admission, Granted)
    assert admission.replaced == (Replaced("s2", "a-0"),)


async def test_a_full_gateway(store: Store) -> None:
    await found(store, A)
    await granted(store, "s1", "ada", sessions_max=2)
    await granted(store, "s2", "bob", sessions_max=2)
    assert await refusal(store, "s3", "eve", sessions_max=2) is Reason.SESSIONS_LIMIT
    admission = await store.admit(request("s4", "ada", sessions_max=2, limit=1))
    assert isinstance(admission, Granted), "it takes the place of one that ends"


async def test_a_full_pool_gives_the_address_of_the_session_that_ends(store: Store) -> None:
    await found(store, A)
    ranges = ((FIRST, FIRST),)
    await granted(store, "s1", since_ms=1, ranges=ranges)
    admission = await store.admit(request("s2", limit=1, ranges=ranges))
    assert admission == Granted(FIRST, (Replaced("s1", "a-0"),))


async def test_who_is_refused_replaces_nobody(store: Store) -> None:
    await found(store, A)
    await granted(store, "s1", "ada", limit=1)
    static = await granted(store, "s2", "bob")
    taken = await refusal(store, "s3", "ada", limit=1, static=static)
    assert taken is Reason.STATIC_ADDRESS_TAKEN
    assert await store.renew([lease("s1", FIRST)]) == Renewal()
    assert await granted(store, "s1", "ada") == FIRST


# --- rebuilding --------------------------------------------------------------------------------


async def test_nobody_is_admitted_before_all_have_said_what_they_hold(store: Store) -> None:
    assert await refusal(store, "s1") is Reason.STORE_AWAY
    epoch = epoch_of(4, A, B)
    await store.change(None, {}, epoch, records_of(epoch))
    assert await refusal(store, "s1") is Reason.STORE_AWAY
    assert await store.renew([lease("of a", FIRST)]) == Renewal()
    assert not await said_all(store, A)
    assert await refusal(store, "s1") is Reason.STORE_AWAY
    assert await store.renew([lease("of b", FIRST + 1, user="bob")]) == Renewal()
    assert await said_all(store, B)
    assert await granted(store, "s1", "eve") == FIRST + 2


async def test_what_was_renewed_before_the_store_was_emptied_does_not_count(store: Store) -> None:
    assert (await store.renew([])).generation == ""
    await found(store, A)
    first = (await store.renew([lease("s1", FIRST)])).generation
    assert first
    assert not await store.restored(A, "another")
    assert await store.restored(A, first)
    assert (await store.renew([])).generation == first
    later = epoch_of(2, A, B)
    await store.change(epoch_of(1, A).id, {}, later, records_of(later))
    assert (await store.renew([])).generation == first


async def test_a_member_that_is_gone_is_not_waited_for(store: Store) -> None:
    epoch, without = epoch_of(4, A, B), epoch_of(5, A, C)
    await store.change(None, {}, epoch, records_of(epoch))
    assert not await said_all(store, A)
    await store.change(epoch.id, {}, without, records_of(without))
    assert await granted(store, "s1") == FIRST


async def test_the_older_session_keeps_the_address(store: Store) -> None:
    await found(store, A)
    older, younger = lease("old", FIRST, since_ms=1000), lease("young", FIRST, since_ms=2000)
    assert await store.renew([older]) == Renewal()
    assert await store.renew([younger]) == Renewal(lost=("young",))
    assert await store.renew([older]) == Renewal()
    await store.release("old")
    assert await store.renew([younger]) == Renewal()
    oldest = lease("oldest", FIRST, since_ms=500)
    assert await store.renew([oldest]) == Renewal(displaced=(Replaced("young", "a-0"),))
    assert await store.renew([younger]) == Renewal(lost=("young",))


async def test_what_is_over_does_not_come_back_by_a_late_renewal(store: Store) -> None:
    await found(store, A)
    address = await granted(store, "s1", limit=1)
    late = lease("s1", address)
    assert await store.renew([late]) == Renewal()
    await store.release("s1")
    assert await store.renew([late]) == Renewal(lost=("s1",))
    assert await granted(store, "s2", limit=1) == address
    replaced = Granted(address, (Replaced("s2", "a-0"),))  # who may not hear it
    assert await store.admit(request("s3", limit=1)) == replaced
    two, three = lease("s2", address, since_ms=1), lease("s3", address)
    assert await store.renew([two, three]) == Renewal(lost=("s2",))
    replaced = Granted(address, (Replaced("s3", "a-0"),))
    assert await store.admit(request("s2", limit=1)) == replaced  # to ask anew is something else
    assert await store.renew([two, three]) == Renewal(lost=("s3",))


async def test_nobody_else_gets_an_address_before_its_session_has_heard(store: Store) -> None:
    await found(store, A)
    ranges = ((FIRST, FIRST + 1),)
    for session in ("s1", "s2"):
        await granted(store, session, limit=2, ranges=ranges)
    replaced = Granted(FIRST, (Replaced("s1", "a-0"),))
    assert await store.admit(request("s3", limit=2, ranges=ranges)) == replaced
    await store.release("s3")
    assert await refusal(store, "t1", "bob", ranges=ranges) is Reason.POOL_EXHAUSTED
    static = await refusal(store, "t1", "bob", static=FIRST)
    assert static is Reason.STATIC_ADDRESS_TAKEN
    assert await granted(store, "s4", limit=2, ranges=ranges) == FIRST  # it is the same user's
    await store.release("s4")
    assert await store.renew([lease("s1", FIRST)]) == Renewal(lost=("s1",))
    assert await refusal(store, "t1", "bob", ranges=ranges) is Reason.POOL_EXHAUSTED
    await store.release("s1")  # now it has heard
    assert await granted(store, "t1", "bob", ranges=ranges) == FIRST


async def test_a_session_that_ended_is_not_waited_for(store: Store) -> None:
    await found(store, A)
    ranges = ((FIRST, FIRST),)
    await granted(store, "s1", limit=1, ranges=ranges)
    assert isinstance(await store.admit(request("s2", limit=1, ranges=ranges)), Granted)
    await store.release("s2")
    assert await refusal(store, "t1", "bob", ranges=ranges) is Reason.POOL_EXHAUSTED
    await store.release("s1")
    assert await granted(store, "t1", "bob", ranges=ranges) == FIRST


async def test_renewed_leases_count(store: Store) -> None:
    await found(store, A)
    leases = [lease(f"s{n}", FIRST + n, since_ms=1000 + n) for n in range(3)]
    await store.renew(leases)
    admission = await store.admit(request("new", limit=3))
    assert isinstance(admission, Granted)
    assert admission.address == FIRST + 3
    assert admission.replaced == (Replaced("s0", "a-0"),)


async def test_a_lease_moves_with_its_session_to_another_owner(store: Store) -> None:
    await found(store, A)
    address = await granted(store, "s1", owner="a-0", since_ms=1)
    assert await store.renew([lease("s1", address, owner="a-1")]) == Renewal()
    admission = await store.admit(request("s2", limit=1))
    assert isinstance(admission, Granted)
    assert admission.replaced == (Replaced("s1", "a-1"),)


async def test_hundreds_are_renewed_at_once(store: Store) -> None:
    await found(store, A)
    leases = [lease(f"s{n}", FIRST + n, user=f"user {n}") for n in range(450)]
    assert await store.renew(leases) == Renewal()
    assert await store.renew(leases[::-1]) == Renewal()
    ranges = ((FIRST, FIRST + 450),)
    assert await granted(store, "last", "last", ranges=ranges) == FIRST + 450


# --- directory ---------------------------------------------------------------------------------


async def test_the_directory(store: Store) -> None:
    assert await store.directory() == {}
    await store.publish({"s1": b"sealed \xff", "s2": b""})
    await store.publish({"s1": b"again"})
    assert await store.directory() == {"s1": b"again", "s2": b""}
    await store.withdraw("s1")
    await store.withdraw("nobody")
    assert await store.directory() == {"s2": b""}


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada", "DOMAIN\\ada", "ада", 'a"b', "{x}", "a b\n", "é" * 60])
async def test_names_may_be_anything(store: Store, name: str) -> None:
    await found(store, A)
    address = await granted(store, name, name, device=name, since_ms=1)
    await granted(store, "other", "other")
    await store.release("other")
    admission = await store.admit(request("new", name, device=name, limit=1, owner=name))
    assert isinstance(admission, Granted)
    assert admission.replaced == (Replaced(name, "a-0"),)
    assert admission.address == address
    await store.publish({name: b"x"})
    assert await store.directory() == {name: b"x"}
    claim = Claim(Identity(A.name, 1), 1)
    await store.claim([1], claim)
    await store.put([put(1, claim, name, b"x")])
    assert (await store.load(1)).keys() == {name}
