"""The ICMP error, and when RFC 1122 3.2.2 forbids it."""

from __future__ import annotations

import pytest

from ferrule.core.checksum import internet_checksum
from ferrule.dataplane.icmp import fragmentation_needed, quoted_destination
from support.dataplane import ipv4, udp

A, B = "192.0.2.9", "10.8.0.1"
DF = 0x4000


def test_the_error() -> None:
    packet = udp(A, B, bytes(range(200)))
    error = fragmentation_needed(packet, 1300)
    assert error is not None
    assert error[0] == 0x45
    assert int.from_bytes(error[2:4], "big") == len(error) == 28 + len(packet)
    assert error[9] == 1
    assert error[12:20] == packet[16:20] + packet[12:16]
    assert error[20:22] == b"\x03\x04"
    assert error[24:28] == b"\x00\x00\x05\x14"
    assert error[28:] == packet
    assert internet_checksum(error[:20]) == internet_checksum(error[20:]) == 0


@pytest.mark.parametrize("kind", [0, 8, 13, 30])
def test_for_harmless_icmp_too(kind: int) -> None:
    assert fragmentation_needed(ipv4(A, B, bytes([kind]) + bytes(7), protocol=1), 1300)


@pytest.mark.parametrize(
    "packet",
    [
        *(ipv4(A, B, bytes([kind]) + bytes(7), protocol=1) for kind in (3, 4, 5, 11, 12)),
        ipv4(A, B, b"", protocol=1),
        ipv4(A, B, bytes(8), fragment=DF | 1),
        ipv4(A, B, bytes(8), fragment=DF | 0x1F00),
        *(
            ipv4(source, B, bytes(8))
            for source in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1")
        ),
        ipv4(A, "224.0.0.1", bytes(8)),
    ],
)
def test_no_error_about_these(packet: bytes) -> None:
    assert fragmentation_needed(packet, 1300) is None


def test_what_an_error_quotes() -> None:
    quoted = udp(B, "203.0.113.5", b"12345678")
    error = ipv4("203.0.113.1", B, b"\x0b" + bytes(7) + quoted, protocol=1)
    mine = bytes((10, 8, 0, 1))
    assert quoted_destination(error, mine) == bytes((203, 0, 113, 5))
    assert quoted_destination(error, bytes(4)) is None
    assert quoted_destination(error[:47], mine) is None
    assert quoted_destination(udp(A, B, error[20:]), mine) is None
