"""Token buckets and half-open limits, alone and at the endpoint under a flood."""

import pytest

from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path
from ferrule.core.reasons import Reason
from ferrule.crypto import dh
from ferrule.ike import admission
from ferrule.ike.admission import Admission
from ferrule.ike.effects import IkeDropped, IkeFailed, IsakmpSaUp, SendIke
from ferrule.ike.policy import RawTransform
from support.ike import CLIENT, Link, endpoint, policy, stop_after


def test_bucket() -> None:
    gate = Admission()
    assert [gate.take_token("a", 1.0, 3, 0.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert gate.take_token("b", 1.0, 3, 0.0)
    assert gate.take_token("a", 1.0, 3, 1.0)
    assert not gate.take_token("a", 1.0, 3, 1.5)
    assert [gate.take_token("a", 1.0, 3, 100.0) for _ in range(4)] == [True] * 3 + [False]


def test_buckets_are_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SOURCES_MAX", 100)
    gate = Admission()
    for number in range(1000):
        gate.take_token(f"192.0.2.{number}", 1.0, 3, float(number) / 100)
    assert gate.sources == 100
    gate.sweep(20.0)
    assert gate.sources == 100
    gate.sweep(39.5)
    assert gate.sources == 49
    gate.sweep(100.0)
    assert gate.sources == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::9", True),
        ("2001:db8:1:2::", "2001:db8:1:3::", False),
        ("2001:db8::1", "2001:db8:0:0:ffff::1", True),
        ("::1", "0:0:0:0:9::", True),
        ("fe80::1", "fe80:0:0:1::1", False),
    ],
)
def test_what_is_one_source(one: str, other: str, same: bool) -> None:
    gate = Admission()
    assert gate.take_token(one, 0.0, 1, 0.0)
    assert gate.take_token(other, 0.0, 1, 0.0) != same


def test_the_oldest_unproven_one_goes_first() -> None:
    gate = Admission()
    one, two, three = IsakmpSaId(1), IsakmpSaId(2), IsakmpSaId(3)
    gate.add(one)
    gate.add(two)
    assert gate.victim(3) is None
    assert gate.victim(2) == one
    gate.prove(one)
    assert gate.victim(2) == two
    gate.remove(two)
    gate.add(three)
    gate.prove(three)
    assert gate.victim(2) is None
    assert not gate.has_room(2)
    gate.disprove(three)
    assert gate.victim(2) == three
    gate.remove(three)
    assert gate.has_room(2)
    assert len(gate) == 1


def _first_message() -> tuple[Path, bytes]:
    link = Link()
    stop_after(link, 0)
    link.connect()
    return link.log[0][1], link.log[0][2]


def _spoofed(path: Path, message: bytes, number: int) -> tuple[Path, bytes]:
    host = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    cookie = (number + 1).to_bytes(8, "big")
    return path._replace(peer=Address(host, 500)), cookie + message[8:]


def test_a_source_that_is_too_eager() -> None:
    path, message = _first_message()
    ike = endpoint(5, policy(per_source_rate=1.0, per_source_burst=10))
    kinds = [
        type(ike.receive(path, (n + 1).to_bytes(8, "big") + message[8:], 0.0)[0]) for n in range(12)
    ]
    assert kinds == [SendIke] * 10 + [IkeDropped] * 2
    eager = (99).to_bytes(8, "big") + message[8:]
    refused = ike.receive(path, eager, 0.0)
    assert refused[0].reason is Reason.SOURCE_RATE  # type: ignore[union-attr]
    assert isinstance(ike.receive(path, eager, 0.0)[0], SendIke)
    other = path._replace(peer=Address("192.0.2.1", 500))
    assert isinstance(ike.receive(other, message, 0.0)[0], SendIke)


def test_forgers_lock_nobody_out() -> None:
    """Somebody spends all the tokens of a hotel's address; its guests say it again and get in."""
    link = Link(server=policy(per_source_rate=1.0, per_source_burst=5))
    path, message = _first_message()
    forged = iter(range(1, 10_000))

    def forge(_: str, way: Path, honest: bytes) -> list[tuple[Path, bytes]]:
        for _ in range(10):
            cookie = next(forged).to_bytes(8, "big")
            link.server.ike.receive(path, cookie + message[8:], link.now)
        return [(way, honest)]

    link.filter = forge
    link.connect()
    assert link.server.of(IsakmpSaUp) == []
    link.advance(2)
    assert len(link.server.of(IsakmpSaUp)) == 1


def test_what_costs_is_limited_by_who_is_surely_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Message 3 beyond the bucket is dropped before any key is made, and passes when repeated."""
    link = Link(server=policy(per_source_rate=1.0, per_source_burst=1))
    assert link.server.ike._admission.take_proof(CLIENT.host, 1.0, 1, link.now)
    made = []
    generate = dh.generate
    monkeypatch.setattr(dh, "generate", lambda group: made.append(group) or generate(group))
    link.connect()
    (drop,) = link.server.of(IkeDropped)
    assert (drop.reason, drop.detail) == (Reason.SOURCE_RATE, "message 3")
    assert len(made) == 1  # the client's
    link.advance(2)
    assert len(link.server.of(IsakmpSaUp)) == 1
    assert len(made) == 2


def test_who_was_refused_is_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REFUSED_MAX", 3)
    gate = Admission()
    peer = Address("192.0.2.1", 500)
    cookies = [Cookie(bytes([number]) * 8) for number in range(5)]
    gate.take_token(peer.host, 1.0, 1, 0.0)
    assert not any(gate.comes_again(cookie, peer) for cookie in cookies[:4])
    assert not gate.comes_again(cookies[0], peer)  # pushed out
    assert gate.comes_again(cookies[3], peer)
    assert not gate.comes_again(cookies[3], peer)  # once
    assert not gate.comes_again(cookies[2], Address("192.0.2.1", 501))
    gate.sweep(100.0)
    assert not gate.comes_again(cookies[0], peer)


def test_a_flood_of_spoofed_first_messages() -> None:
    """The honest client connects in its midst; we never send more than came in; memory returns."""
    path, message = _first_message()
    link = Link(server=policy(half_open_max=50))
    came = went = number = 0

    def flood(_: str, way: Path, honest: bytes) -> list[tuple[Path, bytes]]:
        nonlocal came, went, number
        for _ in range(20):
            number += 1
            spoofed_path, spoofed = _spoofed(path, message, number)
            came += len(spoofed)
            for effect in link.server.ike.receive(spoofed_path, spoofed, link.now):
                if isinstance(effect, SendIke):
                    went += len(effect.message)
        return [(way, honest)]

    link.filter = flood
    link.connect()
    assert len(link.server.of(IsakmpSaUp)) == 1
    assert went <= came
    assert len(link.server.ike.sas()) <= 51
    link.filter = lambda _, way, honest: [(way, honest)]
    link.advance(120)
    assert len(link.server.ike.sas()) == 1
    assert link.server.ike._admission.sources == 0
    assert not len(link.server.ike._admission)


def test_proven_exchanges_are_not_pushed_out() -> None:
    path, message = _first_message()
    link = Link(server=policy(half_open_max=1))
    held = stop_after(link, 4)
    link.connect()
    spoofed_path, spoofed = _spoofed(path, message, 1)
    effects = link.server.ike.receive(spoofed_path, spoofed, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.HALF_OPEN_LIMIT  # type: ignore[union-attr]
    _, way, fifth = held[0]
    effects = link.server.ike.receive(way, fifth, link.now)
    assert any(isinstance(effect, IsakmpSaUp) for effect in effects)
    assert way.peer.host == CLIENT.host


def test_a_flood_of_refused_first_messages_does_not_fill_the_log() -> None:
    transform = RawTransform(1, ((1, 1), (2, 2), (3, 1), (4, 14)))
    link = Link(policy(offer_phase1=(transform,)))
    stop_after(link, 0)
    link.connect()
    _, path, message = link.log[0]
    ike = endpoint(5)
    kinds: list[type] = []
    for number in range(500):
        effects = ike.receive(*_spoofed(path, message, number), 1.0)
        kinds.append(type(effects[0]))
        assert isinstance(effects[1], SendIke)
    assert kinds.count(IkeFailed) == admission.REPORT_BURST
    assert kinds.count(IkeDropped) == 500 - admission.REPORT_BURST
