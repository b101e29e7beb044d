"""The wire format of TCP (RFC 9293 3.1) with the options MSS and window scale (RFC 7323 2.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address
from typing import Final

from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, transport_checksum
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

HEADER_OCTETS: Final = 20
MODULUS: Final = 1 << 32  # of sequence numbers
_HEADER = struct.Struct("!HHIIBBHHH")
_END, _NO_OPERATION, _MSS, _WINDOW_SCALE = 0, 1, 2, 3
_SCALE_MAX = 14  # RFC 7323 2.3


class Flag(IntFlag):
    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16


@dataclass(slots=True)
class Endpoint:
    """One end of a connection."""

    address: IPv4Address
    port: int


@dataclass(slots=True)
class Segment:
    """`window` as it stands in the header, unscaled. `mss` and `scale` None: option absent."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgment: int
    flags: Flag
    window: int
    data: bytes = b""
    mss: int | None = None
    scale: int | None = None

    @property
    def length(self) -> int:
        """How much of the sequence space it takes: data, and one each for SYN and FIN."""
        return len(self.data) + bool(self.flags & Flag.SYN) + bool(self.flags & Flag.FIN)


def build_segment(segment: Segment, source: IPv4Address, destination: IPv4Address) -> bytes:
    """A whole IPv4 packet with `segment`, checksums included."""
    options = b""
    if segment.mss is not None:
        options += struct.pack("!BBH", _MSS, 4, segment.mss)
    if segment.scale is not None:
        options += struct.pack("!BBBB", _NO_OPERATION, _WINDOW_SCALE, 3, segment.scale)

    def packet(checksum: int) -> Ipv4Packet:
        header = _HEADER.pack(
            segment.source_port,
            segment.destination_port,
            segment.sequence,
            segment.acknowledgment,
            (HEADER_OCTETS + len(options)) // 4 << 4,
            segment.flags,
            segment.window,
            checksum,
            0,
        )
        return Ipv4Packet(source, destination, IpProtocol.TCP, header + options + segment.data)

    return build_ipv4(packet(transport_checksum(packet(0))))


def parse_segment(packet: Ipv4Packet) -> Segment:
    """Raises Malformed for wrong lengths or a wrong checksum; unknown options are skipped."""
    payload = packet.payload
    if len(payload) < HEADER_OCTETS:
        raise Malformed(Reason.IP_MALFORMED, "a TCP header that is too short")
    source, destination, sequence, acknowledgment, offset, flags, window, _, _ = (
        _HEADER.unpack_from(payload)
    )
    header = (offset >> 4) * 4
    if not HEADER_OCTETS <= header <= len(payload):
        raise Malformed(Reason.IP_MALFORMED, "the data offset of TCP")
    if transport_checksum(packet):
        raise Malformed(Reason.IP_MALFORMED, "the checksum of TCP")
    mss, scale = _parse_options(payload[HEADER_OCTETS:header])
    return Segment(
        source,
        destination,
        sequence,
        acknowledgment,
        Flag(flags & 31),
        window,
        payload[header:],
        mss,
        scale,
    )


def _parse_options(options: bytes) -> tuple[int | None, int | None]:
    mss = scale = None
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            raise Malformed(Reason.IP_MALFORMED, "the options of TCP")
        body = options[at + 2 : at + length]
        if options[at] == _MSS and length == 4:
            mss = int.from_bytes(body, "big")
        elif options[at] == _WINDOW_SCALE and length == 3:
            scale = min(body[0], _SCALE_MAX)
        at += length
    return mss, scale


def before(a: int, b: int) -> bool:
    """Does sequence number `a` come before `b`, modulo 2^32 (RFC 9293 3.4)?"""
    return 0 < (b - a) % MODULUS < MODULUS // 2
