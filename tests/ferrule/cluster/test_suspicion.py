"""Suspicion: silence, promises not to acknowledge, and when a member has certainly stopped."""

from __future__ import annotations

import pytest

from ferrule.cluster.members import Epoch, EpochId, Identity, Member, Record
from ferrule.cluster.suspicion import Suspicion
from ferrule.cluster.timing import Timing
from ferrule.core.ids import Address
from support.cluster import identity

ME, X, B, C = (identity(name) for name in ("me", "x", "b", "c"))


def epoch_of(*members: Identity, number: int = 1) -> Epoch:
    listed = (Member(who, Address(who.name, 1)) for who in sorted(members))
    return Epoch(EpochId(number, number), tuple(listed))


FOUR = epoch_of(ME, X, B, C)


def watching(epoch: Epoch = FOUR, now: float = 0.0) -> Suspicion:
    made = Suspicion(Timing(), now)
    made.follow(epoch, ME, now)
    return made


def silent(made: Suspicion, now: float = 3.0) -> None:
    made.newly_silent(now)
    made.publish()


def test_silence_begins_with_the_last_new_beat() -> None:
    made = watching()
    assert made.heard(X, 1, None, 1.0)
    assert not made.heard(X, 1, None, 2.0), "the same once more"
    assert not made.heard(identity("stranger"), 1, None, 2.0)
    assert made.next_look(1.0) == 3.0
    assert made.newly_silent(3.0) == [B, C]
    assert made.newly_silent(3.9) == []
    assert made.newly_silent(4.0) == [X]
    assert made.next_look(4.0) == 4.5
    assert made.next_look(5.0) == 5.5
    assert made.next_look(6.0) is None


def test_the_store_tells_of_beats_too() -> None:
    made = watching()
    made.read({X: Record(X, 7, None)}, 2.0)
    assert made.silent_since(X) == 2.0
    made.read({X: Record(X, 7, None)}, 2.5)
    assert made.silent_since(X) == 2.0
    assert made.heard(X, 6, None, 2.7), "on the ring it is new, but no later sign of life"
    assert made.silent_since(X) == 2.0


def test_who_is_denied_is_not_acknowledged_until_the_store_shows_a_later_beat() -> None:
    made = watching()
    made.heard(X, 5, None, 0.0)
    assert made.acknowledgements() == {X: 5}
    silent(made)
    assert made.denied()[X] == 5
    made.heard(X, 6, None, 3.5)
    assert made.acknowledgements() == {X: 5}
    made.read({X: Record(X, 5, None)}, 3.6)
    assert made.acknowledgements() == {X: 5}
    made.read({X: Record(X, 6, None)}, 3.7)
    assert X not in made.denied()
    assert made.acknowledgements() == {X: 6}


def test_silence_that_was_never_published_is_no_promise() -> None:
    made = watching()
    made.heard(X, 5, None, 0.0)
    made.newly_silent(3.0)
    made.heard(X, 6, None, 3.5)
    assert made.acknowledgements() == {X: 6}
    assert X not in made.publish()


def records(x: Record, *deniers: Identity, beat: int = 5) -> dict[Identity, Record]:
    found = {who: Record(who, 9, FOUR, {X: beat} if who in deniers else {}) for who in (B, C)}
    return {**found, X: x}


@pytest.mark.parametrize(
    ("deniers", "beat", "gone"),
    [((), 5, False), ((B,), 5, True), ((B, C), 5, True), ((B,), 4, False), ((B, C), 4, False)],
)
def test_it_takes_enough_deniers_of_the_beat_that_the_store_has(
    deniers: tuple[Identity, ...], beat: int, gone: bool
) -> None:
    made = watching()
    made.heard(X, 5, None, 0.0)
    silent(made)
    found = records(Record(X, 5, FOUR), *deniers, beat=beat)
    made.read(found, 4.0)
    assert made.deposable(FOUR, found, ME, 4.4) == []
    assert made.deposable(FOUR, found, ME, 4.5) == ([X] if gone else [])


def test_a_later_beat_that_only_the_denier_heard_counts_from_when_we_read_it() -> None:
    made = watching()
    made.heard(X, 5, None, 0.0)
    silent(made)
    found = records(Record(X, 5, FOUR), B, beat=6)
    made.read(found, 4.0)
    assert made.deposable(FOUR, found, ME, 8.4) == []
    assert made.deposable(FOUR, found, ME, 8.5) == [X]


def test_our_own_word_counts_only_once_it_is_given() -> None:
    two = epoch_of(ME, X)
    made = watching(two)
    found = {X: Record(X, 0, two)}
    made.newly_silent(3.0)
    assert made.deposable(two, found, ME, 9.0) == []
    made.publish()
    assert made.deposable(two, found, ME, 9.0) == [X]


def test_a_denier_may_take_its_word_back() -> None:
    made = watching()
    made.heard(X, 5, None, 0.0)
    silent(made)
    made.read(records(Record(X, 5, FOUR), B), 4.0)
    found = records(Record(X, 5, FOUR))
    made.read(found, 4.2)
    assert made.deposable(FOUR, found, ME, 9.0) == []


def test_members_that_are_gone_acknowledge_nothing_any_more() -> None:
    made = watching()
    made.heard(X, 5, None, 0.0)
    later = epoch_of(ME, X, C, number=2)
    made.follow(later, ME, 2.0)
    silent(made)
    found = {X: Record(X, 5, FOUR), C: Record(C, 9, later)}
    made.read(found, 4.0)
    assert made.deposable(later, found, ME, 6.4) == [], "b may have spoken until it went"
    assert made.deposable(later, found, ME, 6.5) == [X]


def test_a_newcomer_has_no_say_over_those_who_do_not_know_it() -> None:
    before = epoch_of(X, B)
    now_with_us = epoch_of(ME, X, B, number=2)
    made = watching(now_with_us)
    silent(made)
    found = {X: Record(X, 0, before), B: Record(B, 9, now_with_us)}
    made.read(found, 4.0)
    assert made.deposable(now_with_us, found, ME, 60.0) == []


def test_who_is_alone_in_its_epoch_is_not_deposed() -> None:
    two = epoch_of(ME, X, number=2)
    made = watching(two)
    silent(made)
    found = {X: Record(X, 0, epoch_of(X))}
    assert made.deposable(two, found, ME, 60.0) == []


def test_who_never_lived_in_an_epoch_has_only_the_store() -> None:
    made = watching()
    silent(made)
    found = records(Record(X, 0, None))
    assert made.deposable(FOUR, found, ME, 4.4) == []
    assert made.deposable(FOUR, found, ME, 4.5) == [X]


def test_after_a_jump_all_silence_counts_anew() -> None:
    two = epoch_of(ME, X)
    made = watching(two)
    silent(made)
    made.distrust_times(100.0)
    found = {X: Record(X, 0, two)}
    assert made.deposable(two, found, ME, 104.4) == []
    assert made.deposable(two, found, ME, 104.5) == [X]


def test_everybody_lives_in_an_epoch_when_everybody_said_so_last() -> None:
    made = watching(epoch_of(ME, X, B))
    this, that = EpochId(2, 2), EpochId(2, 3)
    assert not made.all_live_in(this)
    made.heard(X, 1, this, 0.0)
    made.read({B: Record(B, 1, epoch_of(number=2))}, 0.0)
    assert made.all_live_in(this)
    assert not made.all_live_in(that)
    made.heard(X, 3, that, 0.0)
    made.heard(X, 2, this, 0.0)  # late
    assert not made.all_live_in(this)
