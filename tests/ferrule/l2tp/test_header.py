"""Headers: every combination of the bits, and what is refused."""

from __future__ import annotations

import pytest

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.l2tp.header import (
    ControlHeader,
    DataHeader,
    build_control,
    build_data,
    is_control,
    parse_control,
    parse_data,
)

# katalix/go-l2tp, l2tp/msg_test.go: a Hello and a ZLB.
HELLO = bytes.fromhex("c8020014 0001 0000 0001 0001 8008000000000006".replace(" ", ""))
ZLB = bytes.fromhex("c802000c 0001 0000 0001 0001".replace(" ", ""))


def test_control_messages_of_another_implementation() -> None:
    assert parse_control(HELLO) == (ControlHeader(1, 0, 1, 1), HELLO[12:])
    assert parse_control(ZLB) == (ControlHeader(1, 0, 1, 1), b"")
    assert build_control(ControlHeader(1, 0, 1, 1), HELLO[12:]) == HELLO
    assert build_control(ControlHeader(1, 0, 1, 1)) == ZLB
    assert is_control(ZLB)
    assert is_control(b"xx" + ZLB, 2)
    assert not is_control(b"")
    assert not is_control(build_data(1, 2))


def test_octets_behind_the_length_are_cut_off() -> None:
    assert parse_control(ZLB + b"padding")[1] == b""


def test_reserved_bits_are_ignored() -> None:
    assert parse_control(bytes((0xC8 | 0x34, 0x02 | 0xF0)) + ZLB[2:])[0].tunnel == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", Reason.L2TP_MALFORMED),
        (ZLB[:11], Reason.L2TP_MALFORMED),
        (b"\x48" + ZLB[1:], Reason.L2TP_MALFORMED),  # T is 0
        (b"\x88" + ZLB[1:], Reason.L2TP_MALFORMED),  # L is 0
        (b"\xc0" + ZLB[1:], Reason.L2TP_MALFORMED),  # S is 0
        (b"\xca" + ZLB[1:], Reason.L2TP_MALFORMED),  # O is 1
        (b"\xc8\x02\x00\x0b" + ZLB[4:], Reason.L2TP_MALFORMED),  # shorter than its header
        (b"\xc8\x02\x00\x0d" + ZLB[4:], Reason.L2TP_MALFORMED),  # longer than the datagram
        (b"\xc8\x02\x20\x00" + ZLB[4:] + bytes(8192), Reason.L2TP_MALFORMED),
        (b"\xc8\x03" + ZLB[2:], Reason.L2TP_VERSION),  # L2TPv3
        (b"\xc8\x01" + ZLB[2:], Reason.L2TP_VERSION),  # L2F
    ],
)
def test_refused_control_messages(message: bytes, reason: Reason) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_control(message)
    assert refused.value.reason is reason


@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("offset", [None, 0, 3])
@pytest.mark.parametrize("priority", [False, True])
@pytest.mark.parametrize("at", [0, 8])
def test_every_data_header(
    length: bool, sequence: bool, offset: int | None, priority: bool, at: int
) -> None:
    flags = 2 | length << 14 | sequence << 11 | (offset is not None) << 9 | priority << 8
    rest = b"\x12\x34\x56\x78"
    rest += b"\x00\x07\x00\x00" if sequence else b""
    rest += b"" if offset is None else offset.to_bytes(2, "big") + bytes(offset)
    frame = b"\xff\x03\xc0\x21"
    octets = 2 + 2 * length + len(rest) + len(frame)
    message = flags.to_bytes(2, "big") + (octets.to_bytes(2, "big") if length else b"")
    message = bytes(at) + message + rest + frame + (b"junk" if length else b"")
    found = parse_data(message, at)
    assert found[:2] == (0x1234, 0x5678)
    assert message[found.start : found.end] == frame


def test_what_we_send() -> None:
    assert build_data(0x0102, 0x0304) == bytes.fromhex("000201020304")
    assert build_data(0x0102, 0x0304, 0x1FFFF) == bytes.fromhex("080201020304ffff0000")
    assert parse_data(build_data(1, 2) + b"x") == DataHeader(1, 2, 6, 7)
    assert parse_data(build_data(1, 2, 9) + b"x") == DataHeader(1, 2, 10, 11)
    assert parse_data(build_data(1, 2)) == DataHeader(1, 2, 6, 6)  # empty, for the plane to judge


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", Reason.L2TP_MALFORMED),
        (b"\x00", Reason.L2TP_MALFORMED),
        (b"\x00\x02\x00\x01\x00", Reason.L2TP_MALFORMED),
        (b"\x40\x02\x00", Reason.L2TP_MALFORMED),
        (b"\x40\x02\x00\x40\x00\x01\x00\x02", Reason.L2TP_MALFORMED),  # length beyond the end
        (b"\x40\x02\x00\x03\x00\x01\x00\x02", Reason.L2TP_MALFORMED),  # length within the header
        (b"\x02\x02\x00\x01\x00\x02\x00", Reason.L2TP_MALFORMED),
        (b"\x02\x02\x00\x01\x00\x02\xff\xff", Reason.L2TP_MALFORMED),  # offset beyond the end
        (b"\x08\x02\x00\x01\x00\x02\x00\x01", Reason.L2TP_MALFORMED),
        (ZLB, Reason.L2TP_MALFORMED),
        (b"\x00\x03\x00\x01\x00\x02", Reason.L2TP_VERSION),
    ],
)
def test_refused_data_messages(message: bytes, reason: Reason) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_data(message)
    assert refused.value.reason is reason
    assert reason is Reason.L2TP_VERSION or isinstance(refused.value, Malformed)
