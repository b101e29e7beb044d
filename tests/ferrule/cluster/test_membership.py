"""Membership: its table, and the histories that it was made for, each by name."""

from __future__ import annotations

import random
from itertools import combinations
from math import inf
from typing import Any

import pytest

from ferrule.cluster.effects import (
    AskChange,
    EpochChanged,
    LoseShards,
    PeerDeposed,
    PeerSuspected,
    Released,
    ReleaseShards,
    SendHeartbeat,
    ServeShards,
    Standing,
    StandingChanged,
    StoreView,
)
from ferrule.cluster.members import Epoch, EpochId, Heartbeat, Member, MemberName
from ferrule.cluster.membership import TABLE, Membership
from ferrule.cluster.membership_states import Trigger
from ferrule.cluster.suspicion import Suspicion
from ferrule.core.ids import Address
from ferrule.core.tables import Verdict
from support.cluster import NAMES, Node, Violation, World, identity

A, B, C, D, E = NAMES


def world(count: int, seed: int = 1, make: Any = Membership) -> World:
    """So many members that are in."""
    made = World(seed, make)
    for name in NAMES[:count]:
        made.start(name)
    made.run(12.0)
    assert made.settled()
    return made


def standings(made: World) -> dict[MemberName, Standing]:
    return {name: node.membership.standing for name, node in made.nodes.items()}


def served(made: World) -> dict[MemberName, int]:
    return {node.name: len(held) for node, held in made.serving()}


def isolate(made: World, *names: MemberName) -> None:
    """From all other members; the store is not the ring."""
    made.cut = {frozenset(p) for p in combinations(NAMES, 2) if len(set(names) & set(p)) == 1}


def seen(node: Node, kind: type) -> list[Any]:
    return [effect for effect in node.log if isinstance(effect, kind)]


def everything_served_after(made: World, limit: float) -> float:
    """Seconds until each shard has an owner that serves it."""
    start = made.now
    while sum(len(held) for _, held in made.serving()) < 1024:
        made.run(0.05)
        assert made.now < start + limit
    return made.now - start


# --- the table ---------------------------------------------------------------------------------


def in_standing(standing: Standing) -> Membership:
    member = Membership(A, Address("192.0.2.1", 4501), random.Random(1).randbytes, 0.0)
    if standing is Standing.JOINING:
        return member
    me = Member(member.identity, Address("192.0.2.1", 4501))
    epoch = Epoch(EpochId(3, 3), (me,))
    member.expire(0.0)
    member.answer(StoreView(1, epoch), 0.1)
    assert member.epoch == epoch
    member.standing = standing
    return member


@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_trigger_in_every_standing(standing: Standing, trigger: Trigger) -> None:
    member = in_standing(standing)
    epoch = {
        Trigger.LISTED: member.epoch,
        Trigger.UNLISTED: Epoch(EpochId(9, 9), (Member(identity(B), Address("192.0.2.2", 4501)),)),
        Trigger.BEHIND: Epoch(EpochId(1, 1), ()),
    }.get(trigger)
    cell = TABLE.lookup(standing, trigger)
    if trigger is Trigger.LISTED and standing is Standing.JOINING:
        epoch = Epoch(EpochId(4, 4), (Member(member.identity, Address("192.0.2.1", 4501)),))
    effects = member._run(trigger, StoreView(1, epoch), 0.2)
    if isinstance(cell, Verdict):
        assert effects == []
        assert member.standing is standing
    else:
        assert member.standing is (cell.next or standing)
        said = [e.standing for e in effects if isinstance(e, StandingChanged)]
        assert said == ([cell.next] if cell.next not in (None, standing) else [])


def test_only_who_may_serve_serves() -> None:
    for standing in Standing:
        member = in_standing(standing)
        member.held, member.awaited = frozenset({7}), frozenset()
        may = standing in (Standing.ACTIVE, Standing.FROZEN)
        # No beat of it was answered in this epoch: alone the standing gives no right.
        assert not member.serves(7, 0.2)
        member.answer(StoreView(2, member.epoch), 0.2)
        if standing is not Standing.LEFT:
            assert member.serves(7, 0.3) is (may or standing is Standing.FENCED)
        assert not member.serves(8, 0.3)
        assert not member.serves(7, 0.1), "the clock went back"


# --- coming and going --------------------------------------------------------------------------


def test_the_first_member_waits_before_it_believes_that_the_store_is_empty() -> None:
    made = World()
    node = made.start(A)
    made.run(4.0)
    assert node.membership.epoch is None
    made.run(2.0)
    assert made.settled()


def test_who_is_alone_need_not_wait() -> None:
    made = World(make=lambda *args, **kwargs: Membership(*args, alone=True, **kwargs))
    made.start(A)
    made.run(0.2)
    assert made.settled()


def test_members_share_the_shards() -> None:
    made = world(5)
    assert sum(served(made).values()) == 1024
    assert min(served(made).values()) > 140
    assert len({node.membership.epoch.id for node in made.nodes.values()}) == 1  # type: ignore[union-attr]


def test_a_new_member_waits_until_the_others_let_go() -> None:
    made = world(2)
    node = made.start(C)
    while node.membership.epoch is None:
        made.run(0.01)
    assert node.membership.held == frozenset()
    made.run(1.5)
    assert made.settled()
    for name in (A, B):
        (release,) = seen(made.nodes[name], ReleaseShards)[-1:]
        assert release.shards
        assert not release.shards & made.nodes[name].membership.held
    assert seen(node, ServeShards)


def test_a_hand_over_that_hangs_does_not_hold_the_others_up() -> None:
    made = world(1)
    node = made.nodes[A]
    made._release = lambda *_: None  # type: ignore[method-assign]
    made.start(B)
    made.run(6.0)
    assert made.settled()
    (lost,) = seen(node, LoseShards)
    assert lost.shards == seen(node, ReleaseShards)[-1].shards


def test_a_released_answer_for_another_epoch_does_nothing() -> None:
    made = world(2)
    node = made.nodes[A]
    assert node.membership.answer(Released(EpochId(99, 99)), made.clock(node)) == []


def test_draining_gives_everything_away_and_stays_in() -> None:
    made = world(3)
    made.drain(B)
    made.run(1.0)
    assert served(made).keys() == {A, C}
    assert sum(served(made).values()) == 1024
    assert made.nodes[B].membership.standing is Standing.ACTIVE
    assert not seen(made.nodes[B], LoseShards)


def test_where_all_drain_one_keeps_everything() -> None:
    made = world(3)
    for name in (A, B, C):
        made.drain(name)
    made.run(2.0)
    assert list(served(made).values()) == [1024]
    (last,) = served(made)
    for name in {A, B, C} - {last}:
        made.close(name)
    made.run(2.0)
    assert served(made) == {last: 1024}
    made.start(D)
    made.run(5.0)
    assert served(made) == {D: 1024}  # it drains all the same, when somebody comes


def test_leaving_is_quick_for_the_others() -> None:
    made = world(3)
    made.close(B)
    assert B not in served(made)
    assert everything_served_after(made, 2.0) < 1.5
    assert standings(made)[B] is Standing.LEFT
    assert made.nodes[B].membership.deadline is None
    assert made.nodes[B].membership.expire(made.clock(made.nodes[B])) == []


def test_leaving_without_a_store_ends_too() -> None:
    made = world(1)
    made.store_up = False
    made.close(A)
    made.run(5.0)
    assert standings(made)[A] is Standing.LEFT


def test_a_restarted_container_takes_its_own_place() -> None:
    made = world(3)
    epoch = made.nodes[A].membership.epoch
    made.start(B, predecessor_gone=True)
    made.run(1.5)
    assert made.settled()
    assert made.members.epoch is not None
    assert epoch is not None
    assert made.members.epoch.id.number == epoch.id.number + 1


def test_a_restarted_pod_waits_until_its_former_life_is_certainly_over() -> None:
    made = world(1)
    made.start(A)
    made.run(4.0)
    assert not made.serving()
    made.run(3.0)
    assert made.settled()


# --- death -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5])
def test_from_death_to_the_new_owner_it_takes_less_than_five_seconds(count: int) -> None:
    times = []
    for seed in range(8):
        made = world(count, seed)
        made.run(made.random.uniform(0.0, 2.0))
        made.kill(A)
        times.append(everything_served_after(made, 10.0))
    assert min(times) > 3.0
    assert max(times) < 4.8


def test_two_die_at_once() -> None:
    made = world(5)
    made.kill(A)
    made.kill(B)
    assert everything_served_after(made, 10.0) < 4.8
    deposed = {e.peer.name for node in made.nodes.values() for e in seen(node, PeerDeposed)}
    assert deposed == {A, B}


def test_the_dead_are_suspected_first() -> None:
    made = world(3)
    made.kill(A)
    made.run(3.5)
    assert all([e.peer.name for e in seen(made.nodes[n], PeerSuspected)] == [A] for n in (B, C))
    assert not seen(made.nodes[B], PeerDeposed)


def test_when_most_die_the_rest_waits_for_them() -> None:
    """They might be on the other side of a cut, and serving."""
    made = world(5)
    for name in (A, B, C, D):
        made.kill(name)
    made.run(30.0)
    assert served(made).keys() == {E}
    assert served(made)[E] < 400
    for name in (A, B, C, D):
        made.start(name)
    made.run(12.0)
    assert made.settled()


# --- pauses, clocks ----------------------------------------------------------------------------


def test_two_seconds_of_sleep_change_nothing() -> None:
    made = world(3)
    made.pause(A, 2.0)
    made.run(10.0)
    assert made.settled()
    assert not any(seen(node, PeerDeposed) for node in made.nodes.values())


@pytest.mark.parametrize("seconds", [4.0, 6.0, 20.0])
def test_whoever_slept_too_long_serves_nothing_before_it_has_asked(seconds: float) -> None:
    for seed in range(5):
        made = world(3, seed)
        made.run(made.random.uniform(0.0, 1.0))
        made.pause(A, seconds)
        made.run(seconds - 1e-4)
        made.now += 2e-4  # awake, and none of its timers has run
        assert not made.nodes[A].membership.serves_until > made.clock(made.nodes[A])
        made.run(15.0)
        assert made.settled()


def test_a_clock_that_goes_back_gives_no_time() -> None:
    made = world(2)
    isolate(made, A)
    made.store_cut = {A}
    made.run(3.5)
    made.jump(A, -2.0)
    assert A not in served(made)
    made.run(2.0)
    assert A not in served(made)


def test_a_clock_that_leaps_ahead_deposes_nobody() -> None:
    made = world(3)
    made.jump(A, 30.0)
    made.run(10.0)
    assert made.settled()
    assert not any(seen(node, PeerDeposed) for node in made.nodes.values())


# --- the store away ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_minute_without_the_store_costs_no_shard(count: int) -> None:
    made = world(count)
    before = {name: node.membership.held for name, node in made.nodes.items()}
    made.store_up = False
    made.run(60.0)
    assert sum(served(made).values()) == 1024
    assert set(standings(made).values()) == {Standing.FROZEN}
    made.store_up = True
    made.run(3.0)
    assert made.settled()
    assert {name: node.membership.held for name, node in made.nodes.items()} == before


def test_without_the_store_nobody_is_deposed_and_nobody_let_in() -> None:
    made = world(4)
    made.store_up = False
    made.run(5.0)
    made.kill(A)
    made.start(E)
    made.run(20.0)
    assert served(made).keys() == {B, C, D}
    assert not any(seen(node, PeerDeposed) for node in made.nodes.values())
    made.store_up = True
    assert everything_served_after(made, 10.0) < 6.0


def test_a_slow_store_is_no_reason_for_anything() -> None:
    made = world(3)
    made.store_delay = 0.5
    made.run(30.0)
    assert made.settled()
    made.kill(A)
    assert everything_served_after(made, 10.0) < 8.0


def test_neither_store_nor_most_peers() -> None:
    made = world(5)
    isolate(made, A, B)
    made.store_cut = set(NAMES)
    made.run(5.0)
    assert served(made).keys() == {C, D, E}
    assert standings(made)[A] is standings(made)[B] is Standing.FENCED
    made.heal()
    made.run(3.0)
    assert made.settled()


def test_who_reaches_the_store_serves_whatever_the_ring_does() -> None:
    made = world(4)
    made.cut = {frozenset(pair) for pair in combinations(NAMES, 2)}
    made.run(20.0)
    assert made.settled()
    assert not any(seen(node, PeerDeposed) for node in made.nodes.values())


def test_the_store_and_a_member_fail_together() -> None:
    """As they do when they are on one node: two of three are enough to go on."""
    made = world(3)
    made.store_up = False
    made.kill(A)
    made.run(30.0)
    assert served(made).keys() == {B, C}
    assert set(standings(made).values()) == {Standing.FROZEN}
    made.store_up = True
    assert everything_served_after(made, 10.0) < 6.0


def half_cut_off(make: Any) -> World:
    """A reaches neither the store nor B, but C and D: they are most. B reaches the store."""
    made = world(4, make=make)
    made.store_cut = {A}
    made.cut = {frozenset((A, B))}
    made.run(15.0)
    return made


def test_who_is_heard_by_most_is_not_deposed_by_one() -> None:
    made = half_cut_off(Membership)
    assert sum(served(made).values()) == 1024
    assert standings(made)[A] is Standing.FROZEN


def test_the_bug_of_not_asking_the_others_would_be_seen() -> None:
    class Hasty(Suspicion):
        def _denied_since(self, *_: object) -> float:
            return 0.0

    class Alone(Membership):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self._suspicion = Hasty(self.timing, self._now)

    with pytest.raises(Violation, match="serve"):
        half_cut_off(Alone)


def test_the_bug_of_not_fencing_would_be_seen() -> None:
    class Unfenced(Membership):
        @property
        def serves_until(self) -> float:
            return inf if self.epoch is not None else -inf

    made = world(3, make=Unfenced)
    made.pause(A, 20.0)
    with pytest.raises(Violation, match="serve"):
        made.run(25.0)


# --- a store that forgets ----------------------------------------------------------------------


def test_an_emptied_store_is_filled_by_those_who_serve() -> None:
    made = world(3)
    before = served(made)
    made.store_up = False
    made.run(10.0)
    made.empty_store()
    made.store_up = True
    made.run(2.5)
    assert made.settled()
    assert served(made) == before
    assert made.members.ready
    assert not any(seen(node, LoseShards) for node in made.nodes.values())


def test_a_store_that_lost_its_last_epoch_gets_a_newer_one() -> None:
    made = world(2)
    kept = made.members.epoch, dict(made.members.records)
    made.start(C)
    made.run(3.0)
    made.members.epoch, made.members.records = kept  # a replica took over that had not heard of it
    made.run(12.0)
    assert made.settled()
    assert served(made).keys() == {A, B, C}


def test_when_all_slept_while_the_store_was_emptied_they_begin_anew() -> None:
    made = world(3)
    for name in NAMES[:3]:
        made.pause(name, 20.0)
    made.empty_store()
    made.run(19.0)
    made.run(30.0)
    assert made.settled()


# --- what comes in -----------------------------------------------------------------------------


def test_heartbeats_of_strangers_and_of_former_lives_say_nothing() -> None:
    made = world(2)
    node, other = made.nodes[A], made.nodes[B]
    epoch = node.membership.epoch
    assert epoch is not None
    made.cut = {frozenset((A, B))}
    made.store_cut = {A}
    clock = made.clock(node)
    for who in (identity("stranger"), identity(B, 1)):
        heard = {node.membership.identity: 10_000}
        node.membership.receive(Heartbeat(who, 9_999, epoch.id, epoch, heard), clock)
    made.run(3.9)
    assert B not in {m.name for m in epoch.members if m.identity == identity(B, 1)}
    made.run(0.6)
    assert not made.nodes[A].membership.serves_until > made.clock(node)
    assert other.membership.serves_until > made.clock(other)


def test_an_acknowledgement_of_a_beat_that_was_never_sent_proves_nothing() -> None:
    made = world(2)
    node = made.nodes[A]
    epoch = node.membership.epoch
    assert epoch is not None
    isolate(made, A)
    made.store_cut = {A}
    peer = made.nodes[B].membership.identity
    for count in range(10):
        made.run(0.5)
        heard = {node.membership.identity: 10_000}
        beat = Heartbeat(peer, 10_000 + count, epoch.id, epoch, heard)
        node.membership.receive(beat, made.clock(node))
    assert A not in served(made)


def test_late_and_unknown_answers_of_the_store_are_ignored() -> None:
    made = world(2)
    node = made.nodes[A]
    stranger = Epoch(EpochId(50, 1), ())
    for ask in (0, 1, 10_000):
        assert node.membership.answer(StoreView(ask, stranger), made.clock(node)) == []
    assert standings(made)[A] is Standing.ACTIVE


def test_one_proposal_at_a_time() -> None:
    made = world(3)
    for node in made.nodes.values():
        node.log.clear()
    made.kill(A)
    made.run(20.0)
    for name in (B, C):
        assert len(seen(made.nodes[name], AskChange)) <= 1
        assert len(seen(made.nodes[name], EpochChanged)) == 1


def test_each_beat_goes_to_all_others_under_one_number() -> None:
    made = world(4)
    node = made.nodes[A]
    node.log.clear()
    made.run(3.0)
    beats: dict[int, set[MemberName]] = {}
    for effect in seen(node, SendHeartbeat):
        beats.setdefault(effect.heartbeat.beat, set()).add(effect.to.name)
    assert len(beats) == 3
    assert all(names == {B, C, D} for names in beats.values())


def test_close_says_why() -> None:
    made = world(1)
    made.nodes[A].log.clear()
    made.close(A)
    (changed,) = seen(made.nodes[A], StandingChanged)
    assert (changed.standing, changed.why) == (Standing.LEAVING, "server_shutdown")
