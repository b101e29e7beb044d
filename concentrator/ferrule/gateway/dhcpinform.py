"""DHCPINFORM of a VPN client and its DHCPACK (RFC 2131 3.4, 4.3.5; RFC 3442), as IP packets.

The only way in which built-in L2TP clients learn routes: option 121 (macOS, Windows) and 249
(Windows), with DNS servers, WINS servers, domain and mask. No leases, no relays, no overload.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from ferrule.core.checksum import internet_checksum
from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68

_MAGIC = b"\x63\x82\x53\x63"
_BOOTREQUEST, _BOOTREPLY = 1, 2
_INFORM, _ACK = 8, 5  # RFC 2132 9.6
_UDP = 17
_LEAST_OCTETS = 300  # RFC 1542 2.1: what old clients take for the least BOOTP message
_FIXED = struct.Struct(">BBBBIHH4s4s4s4s16s64s128s4s")
_IP = struct.Struct(">BBHHHBBH4s4s")
_UDP_HEADER = struct.Struct(">HHHH")

# RFC 2132, RFC 3442, [MS-DHCPE] 2.2.8
_PAD, _END = 0, 255
SUBNET_MASK, DNS, DOMAIN, WINS = 1, 6, 15, 44
MESSAGE_TYPE, SERVER_ID, PARAMETERS = 53, 54, 55
ROUTES, MICROSOFT_ROUTES = 121, 249


@dataclass(slots=True)
class DhcpInform:
    """What the answer needs of a DHCPINFORM. `requested` None: the client listed nothing."""

    address: IPv4Address
    hardware_type: int
    hardware_octets: int
    hardware_address: bytes  # 16 octets, as it came
    transaction: int
    flags: int
    requested: frozenset[int] | None


def parse_dhcpinform(packet: bytes) -> DhcpInform:
    """Parse an IPv4 packet with a UDP datagram from port 68 to port 67.

    Raises Malformed for anything that is not a well-formed DHCPINFORM of the packet's sender.
    Checksums are not looked at: the packet came in an authenticated one.
    """
    source, message = _udp_payload(packet)
    reader = Reader(message, Reason.IP_MALFORMED)
    (op, kind, octets, _hops, xid, _secs, flags, ciaddr, _yi, _si, _gi, chaddr, _s, _f, magic) = (
        _FIXED.unpack(reader.take(_FIXED.size))
    )
    if op != _BOOTREQUEST or magic != _MAGIC:
        raise Malformed(Reason.IP_MALFORMED, "not a DHCP request")
    options = _parse_options(reader)
    if options.get(MESSAGE_TYPE) != bytes((_INFORM,)):
        raise Malformed(Reason.IP_MALFORMED, "not a DHCPINFORM")
    # RFC 2131 4.4.3 has the client put its address there; some leave it empty.
    if ciaddr not in (source, bytes(4)):
        raise Malformed(Reason.IP_MALFORMED, "ciaddr is not the sender")
    listed = options.get(PARAMETERS)
    return DhcpInform(
        address=IPv4Address(source),
        hardware_type=kind,
        hardware_octets=octets,
        hardware_address=chaddr,
        transaction=xid,
        flags=flags,
        requested=None if listed is None else frozenset(listed),
    )


def build_dhcpack(
    inform: DhcpInform,
    *,
    server: IPv4Address,
    routes: tuple[IPv4Network, ...] = (),
    dns: tuple[IPv4Address, ...] = (),
    domain: str = "",
    wins: tuple[IPv4Address, ...] = (),
) -> bytes:
    """The IPv4 packet that answers `inform`, sent by `server`, the gateway's inner address.

    RFC 2131 4.3.5: no lease time, nothing in yiaddr. Only what the client asked for goes in, or
    everything if it listed nothing. Each route leads to `server`.
    """
    values = {
        SUBNET_MASK: b"\xff\xff\xff\xff",
        DNS: b"".join(address.packed for address in dns),
        DOMAIN: _domain_octets(domain),
        WINS: b"".join(address.packed for address in wins),
        ROUTES: build_routes(routes, server),
        MICROSOFT_ROUTES: build_routes(routes, server),
    }
    options = _build_option(MESSAGE_TYPE, bytes((_ACK,))) + _build_option(SERVER_ID, server.packed)
    for code, value in values.items():
        if value and (inform.requested is None or code in inform.requested):
            options += _build_option(code, value)
    nothing = bytes(4)
    fixed = _FIXED.pack(
        _BOOTREPLY,
        inform.hardware_type,
        inform.hardware_octets,
        0,
        inform.transaction,
        0,
        inform.flags,
        inform.address.packed,
        nothing,
        nothing,
        nothing,
        inform.hardware_address,
        b"",
        b"",
        _MAGIC,
    )
    message = (fixed + options + bytes((_END,))).ljust(_LEAST_OCTETS, b"\0")
    return _build_packet(server.packed, inform.address.packed, message)


def _domain_octets(domain: str) -> bytes:
    """Option 15 (RFC 2132 3.17); empty for what is no domain name, so that it is left out."""
    try:
        return domain.encode("idna")
    except UnicodeError:
        return b""


def build_routes(routes: tuple[IPv4Network, ...], router: IPv4Address) -> bytes:
    """RFC 3442: prefix length, the octets of the prefix that it covers, router."""
    return b"".join(
        bytes((route.prefixlen,))
        + route.network_address.packed[: (route.prefixlen + 7) // 8]
        + router.packed
        for route in routes
    )


def answer(
    packet: bytes,
    *,
    server: IPv4Address,
    routes: tuple[IPv4Network, ...] = (),
    dns: tuple[IPv4Address, ...] = (),
    domain: str = "",
    wins: tuple[IPv4Address, ...] = (),
) -> bytes | None:
    """The answer to `packet` as an IPv4 packet, or None if it is no proper DHCPINFORM."""
    try:
        inform = parse_dhcpinform(packet)
    except ProtocolError:
        return None
    return build_dhcpack(inform, server=server, routes=routes, dns=dns, domain=domain, wins=wins)


def _udp_payload(packet: bytes) -> tuple[bytes, bytes]:
    """(source address, payload) of an unfragmented IPv4 packet from port 68 to port 67."""
    reader = Reader(packet, Reason.IP_MALFORMED)
    first, _tos, total, _id, fragment, _ttl, protocol, _sum, source, _destination = _IP.unpack(
        reader.take(_IP.size)
    )
    if first >> 4 != 4 or first & 15 < 5 or not total <= len(packet):
        raise Malformed(Reason.IP_MALFORMED, "not an IPv4 packet")
    if protocol != _UDP or fragment & 0x3FFF:
        raise Malformed(Reason.IP_MALFORMED, "not a whole UDP datagram")
    reader.take((first & 15) * 4 - _IP.size)
    source_port, port, length, _sum = _UDP_HEADER.unpack(reader.take(_UDP_HEADER.size))
    if (source_port, port) != (CLIENT_PORT, SERVER_PORT) or length < _UDP_HEADER.size:
        raise Malformed(Reason.IP_MALFORMED, "not from a DHCP client to a server")
    return source, reader.take(length - _UDP_HEADER.size)


def _parse_options(reader: Reader) -> dict[int, bytes]:
    """RFC 2132 2; a code that comes again is continued (RFC 3396)."""
    options: dict[int, bytes] = {}
    while reader.left:
        code = reader.u8()
        if code == _END:
            break
        if code != _PAD:
            options[code] = options.get(code, b"") + reader.take(reader.u8())
    return options


def _build_option(code: int, value: bytes) -> bytes:
    """RFC 3396: a value of more than 255 octets goes into several options of one code."""
    pieces = (value[at : at + 255] for at in range(0, len(value), 255))
    return b"".join(bytes((code, len(piece))) + piece for piece in pieces)


def _build_packet(source: bytes, destination: bytes, message: bytes) -> bytes:
    length = _UDP_HEADER.size + len(message)
    pseudo = source + destination + struct.pack(">HH", _UDP, length)
    ports = SERVER_PORT, CLIENT_PORT, length
    checksum = internet_checksum(pseudo + _UDP_HEADER.pack(*ports, 0) + message)
    datagram = _UDP_HEADER.pack(*ports, checksum or 0xFFFF) + message
    fields = 0x45, 0, _IP.size + length, 0, 0, 64, _UDP
    header = _IP.pack(*fields, 0, source, destination)
    return _IP.pack(*fields, internet_checksum(header), source, destination) + datagram
