"""The walk over a body: M bits, vendors, reserved bits, hidden AVPs, damage."""

from __future__ import annotations

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.avp import AVPS, AVPS_MAX, Avp, AvpType, build_avps, parse_avps
from ferrule.l2tp.hidden import hide
from support.l2tp import entropy_of, raw_avp, raw_body

HELLO = 6
SECRET = Secret(b"tunnel")


def test_bodies_of_another_implementation() -> None:
    # katalix/go-l2tp, l2tp/avp_test.go: ProL2TP's SCCRQ and StopCCN.
    body = bytes.fromhex(
        "8008000000000001 0008000000020100 800a00000003 00000003"
        "0034000000087072 6f6c32747020312e 372e33204c696e75 782d332e31332e30"
        "2d37312d67656e65 7269632028783836 5f363429".replace(" ", "")
    )
    avps = parse_avps(body, None)
    assert (avps.message_type, avps.faults, avps.skipped) == (1, [], [])
    assert avps.values[AvpType.PROTOCOL_VERSION] == b"\x01\x00"
    assert avps.values[AvpType.FRAMING_CAPABILITIES] == b"\0\0\0\x03"
    assert avps.values[AvpType.VENDOR_NAME] == b"prol2tp 1.7.3 Linux-3.13.0-71-generic (x86_64)"
    stop = bytes.fromhex("8008000000000004 8008000000010001 8008000000095f2b".replace(" ", ""))
    avps = parse_avps(stop, None)
    assert avps.values[AvpType.RESULT_CODE] == b"\0\x01"
    assert avps.values[AvpType.ASSIGNED_TUNNEL_ID] == b"\x5f\x2b"


@pytest.mark.parametrize(
    ("avp", "reason"),
    [
        (raw_avp(99, b"x"), Reason.L2TP_MANDATORY_AVP),
        (raw_avp(7, b"x", vendor=311), Reason.L2TP_MANDATORY_AVP),
        (raw_avp(7, b"x", flags=0x0400), Reason.L2TP_MANDATORY_AVP),  # a reserved bit
        (raw_avp(9, b"x"), Reason.L2TP_MALFORMED),
        (raw_avp(9, b"xxx"), Reason.L2TP_MALFORMED),
        (raw_avp(39, b"x"), Reason.L2TP_MALFORMED),
        (raw_avp(13, bytes(15)), Reason.L2TP_MALFORMED),
        (raw_avp(9, bytes(16), flags=0x4000), Reason.L2TP_HIDDEN_AVP),  # no secret
        (raw_avp(7, bytes(16), flags=0x4000), Reason.L2TP_HIDDEN_AVP),  # must not be hidden
    ],
)
def test_the_m_bit_decides(avp: bytes, reason: Reason) -> None:
    """RFC 2661 4.2: with M a fault, without it skipped."""
    rest = raw_avp(AvpType.HOST_NAME, b"host")
    mandatory = parse_avps(raw_body(HELLO, avp, rest), None)
    assert [fault.reason for fault in mandatory.faults] == [reason]
    optional = parse_avps(raw_body(HELLO, bytes((avp[0] & 0x7F,)) + avp[1:], rest), None)
    assert optional.faults == []
    assert len(optional.skipped) == 1
    assert optional.values[AvpType.HOST_NAME] == b"host"


@pytest.mark.parametrize(
    "body",
    [
        b"\x80",
        b"\x80\x08\x00\x00\x00\x00\x00",
        raw_avp(AvpType.HOST_NAME, b"x"),
        raw_avp(AvpType.HOST_NAME, b"x") + raw_body(HELLO),
        raw_avp(AvpType.MESSAGE_TYPE, b"\0"),
        raw_avp(AvpType.MESSAGE_TYPE, b"\0\x06", vendor=9),
        raw_avp(AvpType.MESSAGE_TYPE, b"\0\x06", flags=0x4000),
    ],
)
def test_without_message_type_there_is_no_message(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse_avps(body, SECRET)


@pytest.mark.parametrize("tail", [b"\x80", b"\x80\x05\0\0\0\x07", b"\x80\x08\0\0\0\x07x"])
def test_damage_after_the_message_type_is_a_fault(tail: bytes) -> None:
    avps = parse_avps(raw_body(HELLO, raw_avp(7, b"host")) + tail, None)
    assert avps.message_type == HELLO
    assert avps.values[AvpType.HOST_NAME] == b"host"
    assert [fault.reason for fault in avps.faults] == [Reason.L2TP_MALFORMED]


def test_too_many_avps() -> None:
    avps = parse_avps(raw_body(HELLO, *[raw_avp(99, b"", m=False)] * AVPS_MAX), None)
    assert [fault.reason for fault in avps.faults] == [Reason.L2TP_MALFORMED]
    assert len(avps.skipped) == AVPS_MAX - 1


def test_the_first_of_a_type_counts() -> None:
    avps = parse_avps(raw_body(HELLO, raw_avp(9, b"\0\1"), raw_avp(9, b"\0\2")), None)
    assert avps.values[AvpType.ASSIGNED_TUNNEL_ID] == b"\0\1"


def test_hidden_avps_use_the_random_vector_before_them() -> None:
    tunnel = hide(9, b"\x12\x34", SECRET, b"first")
    session = hide(14, b"\x56\x78", SECRET, b"second")
    body = raw_body(
        HELLO,
        raw_avp(AvpType.RANDOM_VECTOR, b"first"),
        raw_avp(9, tunnel, flags=0x4000),
        raw_avp(AvpType.RANDOM_VECTOR, b"second"),
        raw_avp(14, session, flags=0x4000),
    )
    avps = parse_avps(body, SECRET)
    assert avps.faults == []
    assert avps.values[AvpType.ASSIGNED_TUNNEL_ID] == b"\x12\x34"
    assert avps.values[AvpType.ASSIGNED_SESSION_ID] == b"\x56\x78"
    other = parse_avps(body, Secret(b"another"))
    assert len(other.faults) == 2
    early = parse_avps(raw_body(HELLO, raw_avp(9, tunnel, flags=0x4000)), SECRET)
    assert [fault.reason for fault in early.faults] == [Reason.L2TP_HIDDEN_AVP]


def test_hiding_hides_what_may_be_hidden() -> None:
    avps = [
        Avp(AvpType.MESSAGE_TYPE, b"\0\x01"),
        Avp(AvpType.HOST_NAME, b"visible"),
        Avp(AvpType.ASSIGNED_TUNNEL_ID, b"\xab\xcd"),
        Avp(AvpType.CHALLENGE, b"challenge of ours"),
    ]
    clear = build_avps(avps)
    hidden = build_avps(avps, SECRET, entropy_of(1))
    for octets in (b"challenge of ours", b"\xab\xcd"):
        assert octets in clear
        assert octets not in hidden
    assert b"visible" in hidden
    found = parse_avps(hidden, SECRET)
    assert found.faults == []
    assert list(found.values)[1] is AvpType.RANDOM_VECTOR  # behind the Message Type
    assert {a.avp_type: found.values[a.avp_type] for a in avps} == {
        a.avp_type: a.value for a in avps
    }
    assert found.values == parse_avps(clear, None).values | {
        AvpType.RANDOM_VECTOR: found.values[AvpType.RANDOM_VECTOR]
    }


def test_nothing_to_hide_needs_no_random_vector() -> None:
    hello = [Avp(AvpType.MESSAGE_TYPE, b"\0\x06")]
    assert build_avps(hello, SECRET, entropy_of(1)) == build_avps(hello) == raw_body(HELLO)


def test_the_m_bits_that_we_send() -> None:
    """RFC 2661 4.4: M must be 0 in these, 1 in all others that we send."""
    optional = {5, 6, 8, 20, 25, 26, 27, 28, 29, 30, 31, 32, 33, 37, 38, 46}
    assert {int(avp) for avp, row in AVPS.items() if not row.mandatory} == optional
    never_hidden = {0, 1, 2, 5, 7, 10, 12, 36, 39}
    assert {int(avp) for avp, row in AVPS.items() if not row.hideable} == never_hidden


def test_a_value_that_does_not_fit_is_our_bug() -> None:
    with pytest.raises(ValueError, match="Host Name"):
        build_avps([Avp(AvpType.HOST_NAME, bytes(1018))])
