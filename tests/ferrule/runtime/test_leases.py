"""Places and addresses from a shared store: two members, real PPP, virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from ferrule.accounts.users import OnLimit
from ferrule.core.reasons import Reason
from support.accounts import user
from support.leases import MemberNode, Peer, World

FIXED = IPv4Address("10.0.0.9")


class Stage:
    """Worlds that are closed at the end."""

    def __init__(self) -> None:
        self.worlds: list[World] = []

    def __call__(self, *users: Any, **fields: Any) -> World:
        world = World(*users, **fields)
        self.worlds.append(world)
        return world


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    for world in made.worlds:
        world.close()


def log_in(member: MemberNode, username: str = "alice", host: str = "198.51.100.7") -> Peer:
    """A new host calls; a second passes."""
    peer = member.call(member.new_client(host), username)
    member.world.settle()
    return peer


def test_one_set_of_addresses_for_both_members(stage: Stage) -> None:
    world = stage()
    one, two = world.members.values()
    peers = [log_in(one), log_in(two), log_in(one, "bob"), log_in(two, "bob")]
    assert all(peer.up for peer in peers)
    assert len({peer.address for peer in peers}) == 4
    assert world.leased() == world.held()
    assert set(world.leased().values()) == {peer.address for peer in peers}
    for peer in peers:
        peer.member.hang_up(peer)
    world.settle()
    assert world.leased() == {} == world.held()


def test_the_store_learns_no_names(stage: Stage) -> None:
    world = stage()
    (one, _) = world.members.values()
    log_in(one, host="198.51.100.77")
    (lease,) = world.store.leases.leases.values()
    assert "alice" not in repr(lease)
    assert "198.51.100.77" not in repr(lease)
    assert lease.since_ms == pytest.approx(1_750_000_002_000, abs=1_000)


def test_a_limit_holds_across_members_and_the_oldest_goes(stage: Stage) -> None:
    world = stage()
    one, two = world.members.values()
    first, second = log_in(one), log_in(two)
    assert first.up
    third = log_in(two)
    assert third.up
    assert not first.up  # on the other member
    assert second.up
    assert [e.reason for e in one.report.ends] == [Reason.REPLACED_SESSION]
    fourth = log_in(two)
    assert not second.up  # on this one
    assert third.up
    assert fourth.up
    assert world.leased() == world.held()
    assert len(world.held()) == 2


def test_who_may_not_replace_is_refused(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=1, on_limit=OnLimit.REJECT_NEW))
    one, two = world.members.values()
    first = log_in(one)
    other = log_in(two, host="203.0.113.1")
    assert not other.up
    assert two.report.tries[-1].reason is Reason.TOO_MANY_SESSIONS
    again = log_in(two)  # the same device comes back, at another member
    assert again.up
    assert not first.up
    assert world.leased() == world.held()


def test_a_full_gateway_and_a_used_up_pool(stage: Stage) -> None:
    full = stage(sessions_max=2, sessions_per_user=0)
    one, two = full.members.values()
    assert log_in(one).up
    assert log_in(two).up
    assert not log_in(one).up
    assert one.report.tries[-1].reason is Reason.SESSIONS_LIMIT

    small = stage(cidr="10.0.0.0/30", sessions_per_user=0)
    one, two = small.members.values()
    assert log_in(one).up
    late = log_in(two)
    assert not late.up
    assert two.report.tries[-1].reason is None  # the password was right
    assert two.report.failures[-1].reason is Reason.POOL_EXHAUSTED
    small.run(5.0)
    assert small.leased() == small.held()


def test_a_static_address_moves_to_the_newest(stage: Stage) -> None:
    world = stage(user("alice", static_ip=FIXED))
    one, two = world.members.values()
    peers = [log_in(member) for member in (one, two, two, one, two)]
    assert [peer.up for peer in peers] == [False] * 4 + [True]
    assert peers[-1].address == FIXED
    world.run(100.0)
    assert peers[-1].up
    assert world.leased() == world.held()


def test_a_host_that_forgot_its_tunnel_ends_its_former_session(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=5))
    one, _ = world.members.values()
    client = one.new_client("198.51.100.7")
    first = one.call(client, "alice")
    world.settle()
    second = one.call(client, "alice")
    world.settle()
    assert not first.up
    assert second.up
    assert second.address == first.address
    assert world.leased() == world.held()


def test_two_tunnels_of_one_host_that_ask_at_once(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=5))
    one, _ = world.members.values()
    one.store.delay = 0.5
    client = one.new_client("198.51.100.7")
    first = one.call(client, "alice")
    world.run(0.5)
    second = one.call(client, "alice")
    world.run(3.0)
    assert (first.up, second.up) == (False, True)
    world.run(40.0)
    assert world.leased() == world.held()


# --- the store is away


def test_without_the_store_nobody_new_comes_in_and_the_rest_stays(stage: Stage) -> None:
    world = stage()
    one, two = world.members.values()
    first = log_in(one)
    one.store.up = two.store.up = False
    late = log_in(two, "bob")
    assert not late.up
    assert two.report.tries[-1].reason is Reason.STORE_AWAY
    world.run(300.0)
    assert first.up
    one.store.up = two.store.up = True
    world.run(35.0)
    assert first.up
    assert log_in(two, "bob").up
    assert world.leased() == world.held()


def test_a_store_that_does_not_answer_in_time_counts_as_away(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    one.store.delay = 60.0
    late = one.call(one.new_client("198.51.100.7"), "alice")
    world.run(4.0)
    assert not late.up
    assert one.report.tries[-1].reason is Reason.STORE_AWAY
    one.store.delay = 0.0
    world.run(200.0)
    assert log_in(one).up
    assert world.leased() == world.held()


def test_a_user_at_his_limit_takes_over_what_he_had_here(stage: Stage) -> None:
    world = stage(user("alice", static_ip=FIXED), user("bob", max_sessions=2))
    one, two = world.members.values()
    log_in(one)
    bob = log_in(one, "bob")
    one.store.up = two.store.up = False
    world.run(31.0)  # it is known by now that the store is away
    again = log_in(one)
    assert again.up
    assert again.address == FIXED
    assert not log_in(two).up  # there nobody knows that the other one would end
    assert bob.up
    other = log_in(one, "bob")  # bob could be on twice: nothing says that he is
    assert not other.up
    assert bob.up
    one.store.up = two.store.up = True
    world.run(35.0)
    assert again.up
    assert world.leased() == world.held()
    assert len(world.leased()) == 2
    assert log_in(two).up  # and the address moves again
    assert not again.up


def test_an_heir_ends_when_the_store_wants_the_end_of_whom_it_followed(stage: Stage) -> None:
    world = stage(user("alice", static_ip=FIXED))
    one, two = world.members.values()
    log_in(one)
    one.store.up = False
    world.run(31.0)
    assert log_in(one).up
    heir = log_in(one)  # of the heir
    assert heir.up
    elsewhere = log_in(two)  # the store knows of the first session only
    assert elsewhere.up
    assert not heir.up
    one.store.up = True
    world.run(35.0)
    assert elsewhere.up
    assert world.leased() == world.held()
    assert one.leases._heirs == {}


def test_where_the_last_answer_is_missing_nothing_is_inherited(stage: Stage) -> None:
    world = stage(user("alice", static_ip=FIXED))
    one, _ = world.members.values()
    old = log_in(one)
    one.store.lost = True
    assert not log_in(one).up  # the store may have given the address to this one
    one.store.up = False
    world.run(5.0)
    assert not log_in(one).up
    assert old.up
    one.store.up, one.store.lost = True, False
    world.run(35.0)
    assert log_in(one).up
    assert not old.up
    assert world.leased() == world.held()


def test_an_address_is_nobodys_until_its_session_has_heard_that_it_is_over(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=2), user("eve", max_sessions=0), cidr="10.0.0.0/29")
    one, two = world.members.values()
    old = [log_in(two), log_in(two)]
    one.store.lost = True
    assert not log_in(one).up  # the store has let it in, and nobody knows whom it replaced
    one.store.lost = False
    for _ in range(6):
        log_in(one, "eve")
    assert all(peer.up for peer in old)  # and none of them has eve's address: `look` would say so
    world.run(31.0)
    assert [peer.up for peer in old] == [False, True]
    assert log_in(one, "eve").up
    assert world.leased() == world.held()


def test_nothing_is_renewed_by_who_may_not_serve(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    log_in(one)
    one.leases._may_serve = lambda: False
    one.store.calls.clear()
    world.run(40.0)
    assert "renew" not in one.store.calls
    one.leases._may_serve = lambda: True
    world.run(3.0)
    assert "renew" in one.store.calls


def test_the_same_session_that_authenticates_again_is_not_refused(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    peer = log_in(one)
    address = peer.address
    one.store.up = False
    before = len(one.report.tries)
    one.dial_again(peer)
    world.run(5.0)
    assert len(one.report.tries) == before + 1
    assert one.report.tries[-1].reason is None
    assert peer.up
    assert peer.address == address


def test_an_answer_that_got_lost_leaves_nothing_behind(stage: Stage) -> None:
    world = stage()
    one, two = world.members.values()
    one.store.lost = True
    assert not log_in(one).up
    assert len(world.leased()) == 1
    one.store.lost = False
    world.run(3.0)
    assert world.leased() == {}
    assert log_in(two).up


def test_who_hangs_up_while_the_store_thinks_leaves_nothing_behind(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    one.store.delay = 0.5
    peer = one.call(one.new_client("198.51.100.7"), "alice")
    world.run(0.3)
    one.driver.command(lambda now: one.gateway.close_session(peer.key, Reason.ADMIN_KICK, now))
    world.run(5.0)
    assert world.leased() == {} == world.held()


def test_a_user_who_is_removed_while_the_store_thinks_is_refused(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    one.store.delay = 0.5
    one.call(one.new_client("198.51.100.7"), "alice")
    world.run(0.3)
    world.settings.users = (user("bob"),)
    one.accounts.replace(world.settings, 0.0)
    world.run(5.0)
    assert one.report.tries[-1].reason is Reason.USER_REMOVED
    assert world.leased() == {} == world.held()


class Broken:
    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


def test_a_bug_costs_a_session_and_not_the_leases(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = stage()
    one, _ = world.members.values()
    first = log_in(one)
    bugs: list[str] = []
    monkeypatch.setattr(one.report, "bug", bugs.append)
    with monkeypatch.context() as broken:
        broken.setattr(one.leases, "_store", Broken())
        assert not log_in(one, "bob").up
        assert one.report.tries[-1].reason is Reason.STORE_AWAY
        world.run(40.0)
    assert bugs[0] == "admission"
    assert set(bugs[1:]) == {"leases"}
    world.run(35.0)
    assert first.up
    assert world.leased() == world.held()


# --- the store is emptied, members come and go


def test_an_emptied_store_is_filled_before_anybody_is_let_in(stage: Stage) -> None:
    world = stage()
    one, two = world.members.values()
    first, second = log_in(one), log_in(two, "bob")
    two.awake.clear()
    world.empty_store()
    world.run(2.0)
    assert len(world.leased()) == 1
    late = log_in(one, "eve")
    world.run(4.0)
    assert not late.up
    assert one.report.tries[-1].reason is Reason.STORE_AWAY
    patient = log_in(one, "alice")
    assert not patient.up
    two.wake()
    world.run(2.0)
    assert patient.up
    assert world.leased() == world.held()
    third = log_in(one, "eve")
    assert third.up
    assert len({first.address, second.address, patient.address, third.address}) == 4


def test_what_a_dead_member_had_is_free_after_a_while(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=1, on_limit=OnLimit.REJECT_NEW), user("bob"))
    one, two = world.members.values()
    log_in(one)
    log_in(two, "bob")
    world.kill(one.name)
    assert not log_in(two, host="203.0.113.1").up
    world.run(95.0)
    assert log_in(two, host="203.0.113.1").up
    assert world.leased() == world.held()


def test_a_client_that_moves_takes_its_lease_along(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=1))
    one, two = world.members.values()
    peer = log_in(one)
    client = one.gateway.clients[peer.key.client]
    since = next(iter(world.store.leases.leases.values())).since_ms
    world.move(client, one, two)
    world.run(100.0)
    assert peer.up
    assert world.leased() == world.held()
    (lease,) = world.store.leases.leases.values()
    assert lease.owner == str(two.identity)
    assert lease.since_ms == since
    newer = log_in(one)
    assert newer.up
    assert not peer.up
    two.hang_up(peer)
    world.run(2.0)
    assert world.leased() == world.held()


def test_a_session_that_was_told_to_end_while_it_moved_ends_on_arrival(stage: Stage) -> None:
    world = stage(user("alice", max_sessions=1))
    one, two = world.members.values()
    peer = log_in(one)
    client = one.gateway.clients[peer.key.client]
    two.awake.clear()  # it adopts a moment later
    world.move(client, one, two)
    newer = log_in(one)  # the store says that `one` has it, which is no longer so
    assert newer.up
    two.wake()
    world.settle()
    assert not peer.up
    assert newer.up
    world.run(35.0)
    assert newer.up
    assert world.leased() == world.held()


def test_a_session_that_moves_while_it_asks_again_keeps_its_lease(stage: Stage) -> None:
    world = stage()
    one, two = world.members.values()
    peer = log_in(one)
    one.store.delay = 0.5
    one.dial_again(peer)
    world.run(0.3)
    world.move(one.gateway.clients[peer.key.client], one, two)
    world.run(3.0)
    (held,) = world.held().values()
    assert world.leased() == world.held()
    assert held == peer.address


def test_an_end_that_gets_lost_is_found_out_by_renewal(stage: Stage) -> None:
    world = stage(user("alice", static_ip=FIXED))
    one, two = world.members.values()
    old = log_in(one)
    world.ring_up = False
    new = log_in(two)
    assert new.up
    assert old.up
    world.run(31.0)
    assert not old.up
    assert new.up
    assert world.leased() == world.held()


def test_a_member_that_is_cut_off_from_the_store_keeps_its_addresses(stage: Stage) -> None:
    world = stage(cidr="10.0.0.0/29", sessions_per_user=0)
    one, two = world.members.values()
    kept = [log_in(one), log_in(one)]
    one.store.up = False
    others = []
    for _ in range(8):
        others.append(log_in(two, "bob"))
        world.run(30.0)  # the store is in use all the time
    assert all(peer.up for peer in kept)
    assert sum(peer.up for peer in others) == 3
    one.store.up = True
    world.run(35.0)
    assert all(peer.up for peer in kept)
    assert world.leased() == world.held()


def test_close_tells_the_store_what_is_over(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    log_in(one)
    one.task.cancel()
    one.driver.command(lambda now: one.gateway.close(Reason.SERVER_SHUTDOWN, now))
    world.loop.run_until_complete(one.leases.close())
    assert world.leased() == {}


def test_close_does_not_wait_for_ever(stage: Stage) -> None:
    world = stage()
    one, _ = world.members.values()
    log_in(one)
    one.store.delay = 60.0
    one.driver.command(lambda now: one.gateway.close(Reason.SERVER_SHUTDOWN, now))
    before = world.loop.time()
    world.loop.run_until_complete(one.leases.close())
    assert world.loop.time() - before < 3.0
