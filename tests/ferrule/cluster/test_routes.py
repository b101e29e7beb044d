"""What members learn about clients' ways, and what waits: limits and times."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ferrule.cluster import routes
from ferrule.cluster.members import MemberName
from ferrule.cluster.routes import (
    PEER_SECONDS,
    WAITING_MAX,
    WAITING_SECONDS,
    Forward,
    Forwards,
    RecentPeers,
    Waiting,
    build_forward,
    parse_forward,
    rendezvous,
)
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address, Cookie

ADA, BOB = MemberName("ada"), MemberName("bob")
PEER, OTHER = Address("192.0.2.9", 4500), Address("192.0.2.9", 4501)
COOKIE, SECOND = Cookie(bytes(8)), Cookie(bytes(7) + b"\1")


def test_the_latest_answer_tells_who_has_a_client() -> None:
    recent = RecentPeers()
    recent.note(PEER, ADA, 10.0)
    recent.note(PEER, BOB, 20.0)
    assert recent.find(PEER, 20.0 + PEER_SECONDS - 1) is BOB
    assert recent.find(PEER, 20.0 + PEER_SECONDS) is None
    assert recent.find(OTHER, 20.0) is None


def test_addresses_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PEERS_MAX", 3)
    recent = RecentPeers()
    for port in range(5):
        recent.note(Address("192.0.2.9", port), ADA, 1.0)
        recent.note(PEER, BOB, 1.0)
    assert [recent.find(Address("192.0.2.9", port), 1.0) for port in range(5)] == [
        *(None,) * 3, ADA, ADA,
    ]  # fmt: skip
    assert recent.find(PEER, 1.0) is BOB


def test_forwards_end_and_later_ones_win() -> None:
    forwards = Forwards()
    forwards.put(COOKIE, Forward(5, 100.0))
    forwards.put(COOKIE, Forward(6, 200.0))
    forwards.put(COOKIE, Forward(7, 150.0))
    forwards.put(SECOND, Forward(8, 120.0))
    assert forwards.home(COOKIE, 199.0) == 6
    assert forwards.home(COOKIE, 200.0) is None
    assert forwards.expire(130.0) == [SECOND]
    forwards.forget([3], {COOKIE: 4}.__getitem__)
    assert len(forwards) == 1
    forwards.forget([3, 4], {COOKIE: 4}.__getitem__)
    assert len(forwards) == 0


@given(st.integers(0, 1023), st.integers(0, 2**40 - 1))
def test_what_is_built_of_a_forward_parses(home: int, until: int) -> None:
    forward = Forward(home, float(until))
    assert parse_forward(build_forward(forward)) == forward


@given(st.binary(max_size=14))
@example(bytes.fromhex("0101612d310000100001"))  # a time that a float can't hold; found by fuzzing
def test_noise_is_a_forward_or_malformed(noise: bytes) -> None:
    try:
        forward = parse_forward(noise)
    except Malformed:
        return
    assert build_forward(forward) == noise


def test_what_waits_for_a_shard_waits_a_moment() -> None:
    waiting: Waiting[str] = Waiting()
    assert waiting.keep(1, "a", 0.0)
    assert waiting.keep(2, "b", 0.5)
    assert waiting.keep(1, "c", 0.9)
    assert waiting.shards == (1, 2)
    assert waiting.take(1, WAITING_SECONDS) == ["c"]
    assert waiting.take(1, WAITING_SECONDS) == []
    assert waiting.take(2, WAITING_SECONDS) == ["b"]
    assert waiting.take(3, WAITING_SECONDS) == []


def test_no_more_waits_than_fits_and_the_old_make_room() -> None:
    waiting: Waiting[int] = Waiting()
    kept = [waiting.keep(n % 7, n, 0.0) for n in range(WAITING_MAX + 1)]
    assert kept == [True] * WAITING_MAX + [False]
    assert waiting.keep(9, 9, WAITING_SECONDS)
    assert waiting.shards == (9,)


def test_everybody_chooses_alike() -> None:
    members = [MemberName(f"pod-{n}") for n in range(5)]
    chosen = [rendezvous(bytes((n,)), members) for n in range(100)]
    assert chosen == [rendezvous(bytes((n,)), reversed(members)) for n in range(100)]
    assert set(chosen) == set(members)
    assert rendezvous(b"x", []) is None
