"""Our right to serve: what proves it, for how long, and how many make a majority."""

from __future__ import annotations

from math import inf

import pytest

from ferrule.cluster.members import Epoch, EpochId, Member
from ferrule.cluster.proof import BEATS_KEPT, Proof, deniers_needed, peers_needed
from ferrule.core.ids import Address
from support.cluster import identity

ME, B, C, D, E = (identity(name) for name in "abcde")


def epoch(*others: object) -> Epoch:
    listed = tuple(Member(who, Address(who.name, 1)) for who in (ME, *others))  # type: ignore[union-attr, arg-type, attr-defined]
    return Epoch(EpochId(1, 1), listed)


def confirmed() -> Proof:
    proof = Proof(4.0)
    proof.sent(1, 10.0)
    proof.store_answered(1, knows_our_epoch=True)
    return proof


@pytest.mark.parametrize(
    ("members", "peers", "deniers"), [(2, 1, 1), (3, 1, 2), (4, 2, 2), (5, 2, 3), (7, 3, 4)]
)
def test_majorities(members: int, peers: int, deniers: int) -> None:
    assert peers_needed(members - 1) == peers
    assert deniers_needed(members - 1) == deniers
    assert peers + deniers > members - 1, "they meet in one member at least"
    assert peers + 1 > members - (peers + 1), "and no two groups serve without the store"


def test_the_store_proves_from_when_we_asked() -> None:
    proof = Proof(4.0)
    assert proof.store_until() == -inf
    proof.sent(1, 10.0)
    proof.sent(2, 11.0)
    proof.store_answered(2, knows_our_epoch=False)
    assert proof.store_until() == 15.0
    proof.store_answered(1, knows_our_epoch=False)  # late
    assert proof.store_until() == 15.0
    proof.store_answered(99, knows_our_epoch=False)  # never sent
    assert proof.store_until() == 15.0


def test_peers_prove_from_when_enough_of_them_heard_us() -> None:
    proof = confirmed()
    proof.sent(2, 11.0)
    proof.sent(3, 12.0)
    five = epoch(B, C, D, E)
    assert proof.peers_until(five, ME) == -inf
    proof.acknowledged(B, 3)
    assert proof.peers_until(five, ME) == -inf
    proof.acknowledged(C, 2)
    assert proof.peers_until(five, ME) == 15.0
    proof.acknowledged(C, 1)  # late
    proof.acknowledged(identity("stranger"), 3)
    assert proof.peers_until(five, ME) == 15.0
    proof.acknowledged(D, 3)
    assert proof.peers_until(five, ME) == 16.0


def test_peers_count_only_where_the_store_knows_us() -> None:
    proof = confirmed()
    proof.acknowledged(B, 1)
    assert proof.peers_until(epoch(B), ME) == 14.0
    proof.epoch_changed()
    proof.acknowledged(B, 1)
    assert proof.peers_until(epoch(B), ME) == -inf
    proof.store_answered(1, knows_our_epoch=True)
    assert proof.peers_until(epoch(B), ME) == 14.0


def test_nobody_deposes_who_is_alone() -> None:
    assert confirmed().peers_until(epoch(), ME) == inf
    assert Proof(4.0).peers_until(epoch(), ME) == -inf


def test_times_are_forgotten_with_the_clock_that_made_them() -> None:
    proof = confirmed()
    proof.acknowledged(B, 1)
    proof.forget()
    proof.acknowledged(B, 1)
    proof.store_answered(1, knows_our_epoch=True)
    assert proof.store_until() == proof.peers_until(epoch(B), ME) == -inf


def test_old_beats_are_forgotten() -> None:
    proof = Proof(4.0)
    for beat in range(BEATS_KEPT + 1):
        proof.sent(beat, float(beat))
    proof.store_answered(0, knows_our_epoch=True)
    assert proof.store_until() == -inf
    proof.store_answered(1, knows_our_epoch=True)
    assert proof.store_until() == 5.0
