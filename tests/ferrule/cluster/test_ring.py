"""The ring's envelope: what another member said, to us, unchanged, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.cluster.members import MemberName
from ferrule.cluster.ring import ENVELOPE_OCTETS, SEAL_OCTETS, SEALED, WINDOW, Ring, RingKind
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret

ADA, BOB, EVE = MemberName("ada"), MemberName("bob"), MemberName("eve")
KEY, NEW = Secret(b"k" * 32), Secret(b"n" * 32)


@pytest.mark.parametrize("kind", list(RingKind))
def test_what_is_wrapped_for_a_member_unwraps_there(kind: RingKind) -> None:
    datagram = Ring(ADA, [KEY]).wrap(kind, b"body", BOB)
    assert len(datagram) == 4 + (SEAL_OCTETS if kind in SEALED else ENVELOPE_OCTETS)
    assert (b"body" in datagram) is (kind not in SEALED)
    assert Ring(BOB, [KEY]).unwrap(datagram, ADA) == (kind, b"body")


@pytest.mark.parametrize(
    ("receiver", "claimed"), [(BOB, EVE), (EVE, ADA)], ids=["another sender", "another receiver"]
)
@pytest.mark.parametrize("kind", [RingKind.HEARTBEAT, RingKind.ADDRESSES])
def test_a_datagram_is_bound_to_both_ends(
    receiver: MemberName, claimed: MemberName, kind: RingKind
) -> None:
    datagram = Ring(ADA, [KEY]).wrap(kind, b"body", BOB)
    with pytest.raises(ProtocolError) as caught:
        Ring(receiver, [KEY]).unwrap(datagram, claimed)
    assert caught.value.reason is Reason.RING_FORGED


def test_two_keys_are_accepted_during_a_rotation() -> None:
    old, both = Ring(ADA, [KEY]), Ring(BOB, [NEW, KEY])
    assert both.unwrap(old.wrap(RingKind.HEARTBEAT, b"x", BOB), ADA)[1] == b"x"
    with pytest.raises(ProtocolError):
        old.unwrap(both.wrap(RingKind.HEARTBEAT, b"x", ADA), BOB)


def test_what_is_sealed_counts_once_and_in_one_life_only() -> None:
    one, other = Ring(ADA, [KEY]), Ring(BOB, [NEW, KEY])
    one.life = 7
    said = [one.wrap(RingKind.TO_ADDRESS, bytes((n,)), BOB) for n in range(4)]
    for at in (0, 2, 1, 3):  # overtaken on the way
        assert other.unwrap(said[at], ADA, 7) == (RingKind.TO_ADDRESS, bytes((at,)))
    for datagram in said:
        with pytest.raises(ProtocolError, match="before"):
            other.unwrap(datagram, ADA, 7)
    with pytest.raises(ProtocolError, match="not said by ada"):
        other.unwrap(one.wrap(RingKind.TO_ADDRESS, b"x", BOB), ADA, 8)
    one.life = 8
    assert other.unwrap(one.wrap(RingKind.TO_ADDRESS, b"x", BOB), ADA, 8)[1] == b"x"


def test_what_comes_much_too_late_does_not_count() -> None:
    one, other = Ring(ADA, [KEY]), Ring(BOB, [KEY])
    late, *rest = (one.wrap(RingKind.ADDRESSES, b"", BOB) for _ in range(WINDOW + 1))
    other.unwrap(rest[-1], ADA)
    with pytest.raises(ProtocolError, match="before"):
        other.unwrap(late, ADA)
    assert other.unwrap(rest[0], ADA)


def test_keys_are_replaced() -> None:
    one, other = Ring(ADA, [KEY]), Ring(BOB, [NEW])
    one.replace([NEW])
    assert other.unwrap(one.wrap(RingKind.HEARTBEAT, b"x", BOB), ADA)[1] == b"x"


@pytest.mark.parametrize("keys", [[], [KEY, NEW, Secret(b"x" * 32)]])
def test_one_key_or_two(keys: list[Secret]) -> None:
    with pytest.raises(ValueError, match="one key, or two"):
        Ring(ADA, keys)
    one, other = Ring(ADA, [KEY]), Ring(BOB, [KEY])
    with pytest.raises(ValueError, match="one key, or two"):
        one.replace(keys)
    assert other.unwrap(one.wrap(RingKind.HEARTBEAT, b"x", BOB), ADA)[1] == b"x"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 68), st.integers(1, 255))
def test_no_changed_octet_gets_through(body: bytes, at: int, change: int) -> None:
    datagram = bytearray(Ring(ADA, [KEY]).wrap(RingKind.TO_OWNER, body, BOB))
    datagram[at % len(datagram)] ^= change
    with pytest.raises(ProtocolError):
        Ring(BOB, [KEY]).unwrap(bytes(datagram), ADA)


@given(st.binary(max_size=40))
def test_noise_is_refused_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        Ring(BOB, [KEY]).unwrap(noise, ADA)
    assert caught.value.reason in (Reason.RING_FORGED, Reason.RING_MALFORMED)
