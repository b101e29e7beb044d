"""IPv4 and UDP as the probe needs them: whole packets, no options on what we send (RFC 791, 768).

Everything goes out with "don't fragment"; fragments that come in are dropped, for the probe never
asks for anything that needs them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address
from typing import Final

from ferrule.core.checksum import internet_checksum
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

HEADER_OCTETS: Final = 20
UDP_HEADER_OCTETS: Final = 8
_HEADER = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_PSEUDO = struct.Struct("!4s4sBBH")
_DONT_FRAGMENT = 0x4000
_FRAGMENT = 0x3FFF  # more fragments, or an offset
_TIME_TO_LIVE = 64


class IpProtocol(IntEnum):
    """The protocols that the probe speaks inside the tunnel."""

    ICMP = 1
    TCP = 6
    UDP = 17


@dataclass(slots=True)
class Ipv4Packet:
    """One packet; `protocol` may be any number from 0 to 255."""

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    payload: bytes


def build_ipv4(packet: Ipv4Packet) -> bytes:
    """The octets of `packet`, header checksum included."""

    def header(checksum: int) -> bytes:
        return _HEADER.pack(
            0x45,
            0,
            HEADER_OCTETS + len(packet.payload),
            0,  # RFC 6864 4.1: an identification means nothing with "don't fragment"
            _DONT_FRAGMENT,
            _TIME_TO_LIVE,
            packet.protocol,
            checksum,
            packet.source.packed,
            packet.destination.packed,
        )

    return header(internet_checksum(header(0))) + packet.payload


def parse_ipv4(data: bytes) -> Ipv4Packet:
    """Raises Malformed for what is no whole, valid IPv4 packet."""
    if len(data) < HEADER_OCTETS:
        raise Malformed(Reason.IP_MALFORMED, f"{len(data)} octets")
    version_length, _, total, _, fragment, _, protocol, _, source, destination = (
        _HEADER.unpack_from(data)
    )
    header = (version_length & 15) * 4
    if version_length >> 4 != 4 or header < HEADER_OCTETS or not header <= total <= len(data):
        raise Malformed(Reason.IP_MALFORMED, "version or lengths")
    if fragment & _FRAGMENT:
        raise Malformed(Reason.IP_MALFORMED, "a fragment")
    if internet_checksum(data[:header]):
        raise Malformed(Reason.IP_MALFORMED, "header checksum")
    payload = data[header:total]
    return Ipv4Packet(IPv4Address(source), IPv4Address(destination), protocol, payload)


def transport_checksum(packet: Ipv4Packet) -> int:
    """The checksum over pseudo header and payload (RFC 793 3.1, RFC 768); 0 if it is right."""
    pseudo = _PSEUDO.pack(
        packet.source.packed, packet.destination.packed, 0, packet.protocol, len(packet.payload)
    )
    return internet_checksum(pseudo + packet.payload)


def build_udp(
    source: tuple[IPv4Address, int], destination: tuple[IPv4Address, int], data: bytes
) -> bytes:
    """A whole IPv4 packet with one datagram."""
    length = UDP_HEADER_OCTETS + len(data)

    def packet(checksum: int) -> Ipv4Packet:
        header = _UDP.pack(source[1], destination[1], length, checksum)
        return Ipv4Packet(source[0], destination[0], IpProtocol.UDP, header + data)

    # RFC 768: a checksum that comes out as zero is sent as all ones.
    return build_ipv4(packet(transport_checksum(packet(0)) or 0xFFFF))


def parse_udp(packet: Ipv4Packet) -> tuple[int, int, bytes]:
    """Source port, destination port and data of a UDP packet. Raises Malformed."""
    if len(packet.payload) < UDP_HEADER_OCTETS:
        raise Malformed(Reason.IP_MALFORMED, "a UDP header that is too short")
    source, destination, length, checksum = _UDP.unpack_from(packet.payload)
    if not UDP_HEADER_OCTETS <= length <= len(packet.payload):
        raise Malformed(Reason.IP_MALFORMED, "the length of UDP")
    if checksum and transport_checksum(packet):
        raise Malformed(Reason.IP_MALFORMED, "the checksum of UDP")
    return source, destination, packet.payload[UDP_HEADER_OCTETS:length]
