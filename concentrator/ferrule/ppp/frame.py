"""The PPP frame as L2TP carries it: address, control, protocol, information; no FCS, no flags.

RFC 1661 2 and 6.5/6.6 (Protocol- and Address-and-Control-Field-Compression), RFC 1662 3.1. Both
compressions are understood on receipt whether negotiated or not; control frames are always sent
in full.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

ADDRESS_CONTROL: Final = b"\xff\x03"


class Protocol(IntEnum):
    """Protocols that are known by name. What is not here is unknown to us."""

    IP = 0x0021
    IPV6 = 0x0057
    IPCP = 0x8021
    IPV6CP = 0x8057
    CCP = 0x80FD
    ACSP = 0x8235  # QUIRK(apple): Apple Client Server Protocol, sent by macOS and iOS
    LCP = 0xC021
    PAP = 0xC023
    CHAP = 0xC223


def parse_frame(frame: bytes) -> tuple[int, bytes]:
    """Protocol number and information of `frame`. Raises Malformed."""
    at = 2 if frame[:2] == ADDRESS_CONTROL else 0
    if at >= len(frame):
        raise Malformed(Reason.PPP_MALFORMED, "no protocol field")
    protocol = frame[at]
    if protocol & 1:
        return protocol, frame[at + 1 :]
    if at + 1 >= len(frame):
        raise Malformed(Reason.PPP_MALFORMED, "half a protocol field")
    protocol = protocol << 8 | frame[at + 1]
    if not protocol & 1:
        # RFC 1661 2: the least significant bit of the last octet is always 1.
        raise Malformed(Reason.PPP_MALFORMED, f"protocol {protocol:#06x} is even")
    return protocol, frame[at + 2 :]


def frame_header(
    protocol: int, *, compress_protocol: bool = False, compress_address: bool = False
) -> bytes:
    """What stands before the information field of a `protocol` frame."""
    short = compress_protocol and protocol < 0x100
    return (b"" if compress_address else ADDRESS_CONTROL) + protocol.to_bytes(1 if short else 2)


def build_frame(protocol: int, information: bytes) -> bytes:
    """A frame with the full header, as every control protocol wears it."""
    return frame_header(protocol) + information


def ipv4_offset(data: bytes, at: int = 0) -> int:
    """Where the IPv4 packet begins in the frame that begins at `at`, or -1: not an IPv4 frame.

    For the data plane: takes all four combinations of the compressions, allocates next to nothing.
    """
    if data[at : at + 2] == ADDRESS_CONTROL:
        at += 2
    if data[at : at + 1] == b"\x21":
        return at + 1
    if data[at : at + 2] == b"\x00\x21":
        return at + 2
    return -1
