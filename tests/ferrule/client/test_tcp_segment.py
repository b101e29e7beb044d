"""TCP segments by the octets; round trips and mutations are in test_ipv4."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, parse_ipv4, transport_checksum
from ferrule.client.tcp_segment import Flag, Segment, build_segment, parse_segment
from ferrule.core.errors import Malformed

A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


def test_the_octets_of_a_syn() -> None:
    """RFC 9293 3.1 with MSS 1360 and, after a no-operation, window scale 3."""
    packet = build_segment(Segment(0x1234, 80, 1, 0, Flag.SYN, 0xFFFF, b"", 1360, 3), A, B)
    assert packet[20:36].hex() == "1234005000000001000000007002ffff"
    assert packet[38:].hex() == "00000204055001030303"
    assert transport_checksum(parse_ipv4(packet)) == 0


def test_length_counts_syn_and_fin() -> None:
    assert Segment(1, 2, 3, 4, Flag.SYN, 5).length == 1
    assert Segment(1, 2, 3, 4, Flag.FIN | Flag.ACK, 5, b"abc").length == 4
    assert Segment(1, 2, 3, 4, Flag.ACK, 5).length == 0


@pytest.mark.parametrize(
    "options",
    ["01010102", "01010200", "01010205", "0204055003ff0000", "0204055001010304"],
    ids=["no length", "length 0", "cut off", "too long", "cut off later"],
)
def test_options_that_do_not_hold(options: str) -> None:
    with pytest.raises(Malformed):
        parse_segment(with_options(bytes.fromhex(options)))


@pytest.mark.parametrize(
    ("options", "mss", "scale"),
    [
        ("00ffffff", None, None),
        ("04020101", None, None),  # SACK permitted: skipped
        ("0204020003036300", 512, 14),  # RFC 7323 2.3: 14 at most
        ("0203ff00", None, None),  # an MSS of a wrong length
    ],
    ids=["end", "unknown", "both", "odd"],
)
def test_options(options: str, mss: int | None, scale: int | None) -> None:
    segment = parse_segment(with_options(bytes.fromhex(options)))
    assert (segment.mss, segment.scale) == (mss, scale)


def with_options(options: bytes) -> Ipv4Packet:
    """A segment with these octets between header and data, its checksum right."""
    header = bytearray(build_segment(Segment(1, 2, 3, 4, Flag.ACK, 5), A, B)[20:])
    header[12] = (20 + len(options)) // 4 << 4
    header[16:18] = b"\0\0"
    packet = Ipv4Packet(A, B, IpProtocol.TCP, bytes(header) + options)
    header[16:18] = transport_checksum(packet).to_bytes(2, "big")
    packet.payload = bytes(header) + options
    return packet
