"""A client's datagram on its way between two members, inside the ring's envelope.

    hops left, IPv6, NAT-T port, ingress named (1) | epoch (4) | ingress port (2) | client port (2)
    | client address (4 or 16) | our address (4 or 16) | [ingress: length (1), name] | the datagram

To the owner goes what a client sent; to the client, through the member that it reached, goes the
answer: it must leave through the socket that the question entered, or no load balancer knows it.
That member is the sender; only who passes a datagram on names it.
`epoch` is the sender's, cut to 32 bits. With two hops a datagram survives one change of owner.
Nothing in here moves a session: that takes a packet with a good tag that is newer than all before.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ferrule.cluster.members import read_text
from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason

HOPS_MAX: Final = 2
_IPV6: Final = 0x10
_NATT: Final = 0x20
_NAMED: Final = 0x40
_KNOWN: Final = 0x03 | _IPV6 | _NATT | _NAMED


@dataclass(frozen=True, slots=True)
class Relayed:
    """`path` is as the ingress saw it: the client, our address and port there, which kind of port;
    `path.via` is "" if the sender is the ingress. `epoch` is the low 32 bits of its number."""

    hops_left: int
    epoch: int
    path: Path
    datagram: bytes


def build_relayed(relayed: Relayed) -> bytes:
    """The body of a TO_OWNER or TO_CLIENT message. Raises ValueError for a path that is none."""
    peer, local = relayed.path.peer, relayed.path.local
    hosts = _packed(peer.host), _packed(local.host)
    if len(hosts[0]) != len(hosts[1]) or not 0 <= relayed.hops_left <= HOPS_MAX:
        raise ValueError("a path of two families, or too many hops")
    via = relayed.path.via.encode()
    flags = relayed.hops_left | _IPV6 * (len(hosts[0]) == 16) | _NATT * relayed.path.natt
    flags |= _NAMED * bool(via)
    return b"".join(
        (
            bytes((flags,)),
            (relayed.epoch & 0xFFFF_FFFF).to_bytes(4, "big"),
            local.port.to_bytes(2, "big"),
            peer.port.to_bytes(2, "big"),
            *hosts,
            bytes((len(via),)) + via if via else b"",
            relayed.datagram,
        )
    )


def parse_relayed(body: bytes) -> Relayed:
    """Raises Malformed (RING_MALFORMED)."""
    reader = Reader(body, Reason.RING_MALFORMED)
    flags = reader.u8()
    hops_left = flags & 3
    if flags & ~_KNOWN or hops_left > HOPS_MAX:
        raise Malformed(Reason.RING_MALFORMED, f"flags {flags:#04x} of a relayed datagram")
    epoch, local_port, peer_port = reader.u32(), reader.u16(), reader.u16()
    octets = 16 if flags & _IPV6 else 4
    peer, local = _text(reader.take(octets)), _text(reader.take(octets))
    via = read_text(reader) if flags & _NAMED else ""
    path = Path(Address(peer, peer_port), Address(local, local_port), bool(flags & _NATT), via)
    return Relayed(hops_left, epoch, path, reader.rest())


@lru_cache(maxsize=16_384)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


@lru_cache(maxsize=16_384)
def _text(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))
