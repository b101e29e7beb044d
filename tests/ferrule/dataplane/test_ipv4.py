"""IPv4 headers, fragments and the MSS clamp."""

from __future__ import annotations

import pytest

from ferrule.core.checksum import internet_checksum
from ferrule.dataplane.ipv4 import clamp_mss, fragment, may_fragment, sound
from support.dataplane import ipv4, tcp, tcp_checksum_holds, udp

A, B = "10.8.0.1", "192.0.2.9"
SECURITY = b"\x82\x0b" + bytes(9) + b"\x00"  # copied into fragments
RECORD_ROUTE = b"\x07\x07\x04\x00\x00\x00\x00\x00"  # not copied


def offset_of(packet: bytes) -> int:
    return ((packet[6] << 8 | packet[7]) & 0x1FFF) * 8


def more(packet: bytes) -> bool:
    return bool(packet[6] & 0x20)


def joined(pieces: list[bytes]) -> bytes:
    payload = b""
    for piece in pieces:
        assert offset_of(piece) == len(payload) + offset_of(pieces[0])
        payload += piece[(piece[0] & 15) * 4 :]
    return payload


# --- sound


def test_sound_packets_come_back_without_their_padding() -> None:
    packet = udp(A, B, b"x")
    assert sound(packet) is packet
    assert sound(packet + b"padding") == packet


@pytest.mark.parametrize("octets", range(20))
def test_no_header_is_unsound(octets: int) -> None:
    assert sound(bytes([0x45]) + bytes(octets)) is None


@pytest.mark.parametrize("options", [SECURITY, RECORD_ROUTE, b"\1\1\1\0", b"\0\xff\xff\xff"])
def test_options_that_are_sound(options: bytes) -> None:
    packet = ipv4(A, B, b"x", options=options)
    assert sound(packet) == packet


@pytest.mark.parametrize("fragment_word", [0, 0x2000, 0x00B9, 0x8000])
def test_df(fragment_word: int) -> None:
    assert may_fragment(ipv4(A, B, fragment=fragment_word))
    assert not may_fragment(ipv4(A, B, fragment=fragment_word | 0x4000))


# --- fragments


@pytest.mark.parametrize("mtu", [68, 100, 576, 1300, 1403])
@pytest.mark.parametrize("length", [1, 8, 9, 1400, 5000])
@pytest.mark.parametrize("options", [b"", SECURITY, RECORD_ROUTE, SECURITY + RECORD_ROUTE])
def test_fragments_join(mtu: int, length: int, options: bytes) -> None:
    payload = bytes(n & 0xFF for n in range(length))
    packet = ipv4(A, B, payload, options=options, identification=77)
    pieces = fragment(packet, mtu)
    assert joined(pieces) == payload
    assert [more(piece) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    for piece in pieces:
        header = (piece[0] & 15) * 4
        assert len(piece) <= mtu
        assert sound(piece) == piece
        assert internet_checksum(piece[:header]) == 0
        assert piece[4:6] == packet[4:6]
        assert piece[8:10] + piece[12:20] == packet[8:10] + packet[12:20]
    assert pieces[0][20 : 20 + len(options)] == options
    for piece in pieces[1:]:
        kept = piece[20 : (piece[0] & 15) * 4]
        assert kept.rstrip(b"\0") == (SECURITY if SECURITY in options else b"").rstrip(b"\0")


def test_fragments_of_a_fragment_keep_place_and_more() -> None:
    whole = ipv4(A, B, bytes(4000))
    middle = fragment(whole, 1500)[1]
    pieces = fragment(middle, 600)
    assert offset_of(pieces[0]) == 1480
    assert all(more(piece) for piece in pieces)
    assert joined(pieces) == middle[20:]
    last = fragment(fragment(whole, 1500)[2], 600)
    assert [more(piece) for piece in last] == [True, False]


def test_what_fits_stays_one() -> None:
    packet = udp(A, B, bytes(100))
    assert fragment(packet, 1400) == [packet]


# --- MSS

MSS_1460 = b"\x02\x04\x05\xb4"


def announced(packet: bytes) -> int:
    at = packet.index(b"\x02\x04", 40)
    return int.from_bytes(packet[at + 2 : at + 4], "big")


@pytest.mark.parametrize(
    "options",
    [
        MSS_1460,
        MSS_1460 + b"\x01\x03\x03\x07\x04\x02\x01\x01",
        b"\x04\x02\x01\x01" + MSS_1460,
        b"\x01" + MSS_1460 + b"\x01\x01\x01",  # at an odd offset
        b"\x03\x03\x07" + MSS_1460 + b"\x00",
        b"\x08\x0a" + bytes(8) + b"\x01\x01" + MSS_1460,
    ],
)
@pytest.mark.parametrize("ip_options", [b"", b"\x94\x04\x00\x00"])
@pytest.mark.parametrize("flags", [0x02, 0x12, 0xC2])
def test_a_larger_mss_is_clamped(options: bytes, ip_options: bytes, flags: int) -> None:
    packet = tcp(A, B, options=options, ip_options=ip_options, flags=flags, payload=b"TFO!")
    clamped = clamp_mss(packet, 1400)
    assert announced(clamped) == 1360
    assert tcp_checksum_holds(clamped)
    changed = [at for at in range(len(packet)) if packet[at] != clamped[at]]
    assert len(packet) == len(clamped)
    assert len(changed) <= 4


@pytest.mark.parametrize(
    "packet",
    [
        tcp(A, B, options=b"\x02\x04\x05\x50"),  # 1360 already
        tcp(A, B, options=b"\x02\x04\x02\x18"),
        tcp(A, B),
        tcp(A, B, flags=0x10, options=MSS_1460),  # no SYN
        tcp(A, B, options=MSS_1460, fragment=0x0001),
        tcp(A, B, options=b"\x02\x03\x05\xb4"),
        tcp(A, B, options=b"\x03\x00\x05\xb4" + MSS_1460),
        tcp(A, B, options=b"\x00\x00\x00\x00" + MSS_1460),
        tcp(A, B, options=b"\x01\x01\x02\x04"),  # cut off
        udp(A, B, MSS_1460),
        ipv4(A, B, bytes(19), protocol=6),
        ipv4(A, B, bytes(12) + b"\xf0\x02" + bytes(6) + b"\x02", protocol=6),
    ],
)
def test_everything_else_stays(packet: bytes) -> None:
    assert clamp_mss(packet, 1400) is packet


@pytest.mark.parametrize("mss", range(1361, 65536, 997))
def test_the_checksum_is_right_for_every_mss(mss: int) -> None:
    for options in (
        b"\x02\x04" + mss.to_bytes(2, "big"),
        b"\x01\x02\x04" + mss.to_bytes(2, "big") + b"\0\0\0",
    ):
        clamped = clamp_mss(tcp(A, B, options=options), 1400)
        assert announced(clamped) == 1360
        assert tcp_checksum_holds(clamped)
