"""The Internet checksum of IP, ICMP, TCP and UDP (RFC 1071), and its update in place (RFC 1624)."""

from __future__ import annotations


def internet_checksum(data: bytes) -> int:
    """The 16-bit checksum of `data`; 0 for data that holds its own right checksum.

    A number modulo 65535 is its 16-bit digits' sum with end-around carry (RFC 1071 2), so one
    division of a long integer does the work of a loop.
    """
    if len(data) & 1:
        data += b"\0"
    total = int.from_bytes(data, "big")
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def updated_checksum(checksum: int, old: int, new: int) -> int:
    """`checksum` after one of the 16-bit words it covers went from `old` to `new` (RFC 1624 3)."""
    total = (~checksum & 0xFFFF) + (~old & 0xFFFF) + new
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
