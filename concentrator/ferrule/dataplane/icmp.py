"""The one ICMP message that the plane sends (RFC 792, RFC 1191): "fragmentation needed".

And the look into others' errors that keeps path MTU discovery and traceroute alive for a session
whose policy does not name the routers on the way.
"""

from __future__ import annotations

import struct
from typing import Final

from ferrule.core.checksum import internet_checksum

_ICMP = 1
_UNREACHABLE = 3
_FRAGMENTATION_NEEDED = 4
_ERRORS: Final = frozenset({3, 4, 5, 11, 12})  # RFC 1122 3.2.2
_QUOTABLE: Final = frozenset({3, 11, 12})  # what an honest router answers today
_MOST_OCTETS: Final = 576  # RFC 1812 4.3.2.3
_IP = struct.Struct(">BBHHHBBH4s4s")
_HEADERS_OCTETS = 28


def fragmentation_needed(packet: bytes, mtu: int) -> bytes | None:
    """The ICMP error, as an IPv4 packet, for a sound `packet` with DF that exceeds `mtu` octets.

    It carries the packet's destination as source: an address that is routed to us, and one that
    the kernel does not take for forged as it would its own. None where RFC 1122 3.2.2 forbids an
    error: for another error, a later fragment, or a source that is no single host.
    """
    header = (packet[0] & 15) * 4
    source, destination = packet[12:16], packet[16:20]
    if packet[6] & 0x1F or packet[7]:
        return None
    if packet[9] == _ICMP and (len(packet) <= header or packet[header] in _ERRORS):
        return None
    if not (_is_host(source) and _is_host(destination)):
        return None
    quoted = packet[: _MOST_OCTETS - _HEADERS_OCTETS]
    body = struct.pack(">BBHHH", _UNREACHABLE, _FRAGMENTATION_NEEDED, 0, 0, mtu) + quoted
    message = body[:2] + internet_checksum(body).to_bytes(2, "big") + body[4:]
    # RFC 1812 4.3.2.5: precedence 6, internetwork control.
    fields = 0x45, 0xC0, _IP.size + len(message), 0, 0, 64, _ICMP
    head = _IP.pack(*fields, 0, destination, source)
    return _IP.pack(*fields, internet_checksum(head), destination, source) + message


def _is_host(address: bytes) -> bool:
    return 0 < address[0] < 224 and address[0] != 127


def quoted_destination(packet: bytes, address: bytes) -> bytes | None:
    """The destination of the packet that a sound ICMP error is about, if `address` sent that.

    None for everything else.
    """
    header = (packet[0] & 15) * 4
    quoted = packet[header + 8 : header + 28]
    if packet[9] != _ICMP or packet[6] & 0x1F or packet[7] or len(quoted) < 20:
        return None
    if packet[header] not in _QUOTABLE or quoted[12:16] != address:
        return None
    return quoted[16:20]
