"""IPv4, UDP and ICMP: known packets, round trips, and what must not parse."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.client.icmp import Echo, IcmpError, build_echo, parse_icmp
from ferrule.client.ipv4 import (
    IpProtocol,
    Ipv4Packet,
    build_ipv4,
    build_udp,
    parse_ipv4,
    parse_udp,
    transport_checksum,
)
from ferrule.client.tcp_segment import Flag, Segment, before, build_segment, parse_segment
from ferrule.core.errors import Malformed, ProtocolError

A, B = IPv4Address("10.0.0.1"), IPv4Address("192.0.2.7")
PACKET = Ipv4Packet(A, B, IpProtocol.ICMP, build_echo(Echo(False, 7, 1, b"abcdefgh")))


def test_a_packet_and_back() -> None:
    octets = build_ipv4(PACKET)
    assert octets[:10].hex() == "45000024000040004001"
    assert parse_ipv4(octets + b"padding") == PACKET


@pytest.mark.parametrize(
    ("at", "octet"),
    [(0, 0x55), (0, 0x44), (3, 0xFF), (6, 0x60), (7, 1), (10, 0), (19, 8)],
    ids=["version", "header length", "total", "more fragments", "offset", "checksum", "address"],
)
def test_headers_that_do_not_hold(at: int, octet: int) -> None:
    octets = bytearray(build_ipv4(PACKET))
    octets[at] = octet
    with pytest.raises(Malformed):
        parse_ipv4(bytes(octets))


def test_udp_and_back() -> None:
    packet = parse_ipv4(build_udp((A, 4000), (B, 53), b"question"))
    assert packet.protocol == IpProtocol.UDP
    assert transport_checksum(packet) == 0
    assert parse_udp(packet) == (4000, 53, b"question")


@pytest.mark.parametrize("at", [5, 7, 9])
def test_udp_that_does_not_hold(at: int) -> None:
    packet = parse_ipv4(build_udp((A, 4000), (B, 53), b"question"))
    payload = bytearray(packet.payload)
    payload[at] ^= 0x55
    with pytest.raises(Malformed):
        parse_udp(Ipv4Packet(A, B, IpProtocol.UDP, bytes(payload)))
    with pytest.raises(Malformed):
        parse_udp(Ipv4Packet(A, B, IpProtocol.UDP, packet.payload[:7]))


def test_echo_and_back() -> None:
    for echo in (Echo(False, 1, 2, b""), Echo(True, 65535, 65535, b"odd")):
        assert parse_icmp(build_echo(echo)) == echo


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("0301fcfe00000000", "host unreachable"),
        ("0303fcfc00000000", "port unreachable"),
        ("0363fc9c00000000", "unreachable, code 99"),
        ("0b00f4ff00000000", "time to live exceeded"),
    ],
)
def test_icmp_errors(octets: str, text: str) -> None:
    message = parse_icmp(bytes.fromhex(octets))
    assert isinstance(message, IcmpError)
    assert message.text == text


@pytest.mark.parametrize("octets", ["", "08000000", "0800000000000000", "0500faff00000000"])
def test_icmp_that_means_nothing(octets: str) -> None:
    with pytest.raises(Malformed):
        parse_icmp(bytes.fromhex(octets))


def test_segment_and_back() -> None:
    for segment in (
        Segment(1, 2, 3, 4, Flag.SYN, 5, b"", 1360, 3),
        Segment(65535, 80, 0xFFFFFFFF, 0, Flag.ACK | Flag.PSH, 65535, b"odd"),
        Segment(1, 2, 3, 4, Flag.FIN | Flag.RST, 0),
    ):
        assert parse_segment(parse_ipv4(build_segment(segment, A, B))) == segment


def test_sequence_numbers_wrap() -> None:
    assert before(0xFFFFFFFF, 0)
    assert before(0, 0x7FFFFFFF)
    assert not before(0, 0)
    assert not before(1, 0)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_random_octets_raise_nothing_else(data: bytes) -> None:
    for parse in (parse_ipv4, parse_icmp):
        try:
            parse(data)
        except ProtocolError:
            continue
    for protocol, parse_payload in ((IpProtocol.UDP, parse_udp), (IpProtocol.TCP, parse_segment)):
        try:
            parse_payload(Ipv4Packet(A, B, protocol, data))
        except ProtocolError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_segments_raise_nothing_else(data: st.DataObject) -> None:
    segment = Segment(1, 2, 3, 4, Flag.SYN, 5, b"data", 1360, 3)
    octets = bytearray(build_segment(segment, A, B)[20:])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    packet = Ipv4Packet(A, B, IpProtocol.TCP, bytes(octets))
    # Make the checksum right, so that the fields behind it are looked at.
    octets[16:18] = b"\0\0"
    packet.payload = bytes(octets)
    octets[16:18] = transport_checksum(packet).to_bytes(2, "big")
    packet.payload = bytes(octets)
    try:
        parse_segment(packet)
    except ProtocolError:
        return
