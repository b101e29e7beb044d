"""Packets of the control protocols: code, identifier, length, data, and lists of options.

RFC 1661 5 and 6; PAP, CHAP, IPCP and CCP wear the same four octets. What the data means is left
to the protocols.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

HEADER_OCTETS: Final = 4
_OPTIONS_MAX: Final = 64


class Code(IntEnum):
    """RFC 1661 5 and RFC 1570 2. Codes 1 to 7 are the same for every NCP."""

    CONFIGURE_REQUEST = 1
    CONFIGURE_ACK = 2
    CONFIGURE_NAK = 3
    CONFIGURE_REJECT = 4
    TERMINATE_REQUEST = 5
    TERMINATE_ACK = 6
    CODE_REJECT = 7
    PROTOCOL_REJECT = 8
    ECHO_REQUEST = 9
    ECHO_REPLY = 10
    DISCARD_REQUEST = 11
    IDENTIFICATION = 12
    TIME_REMAINING = 13


@dataclass(slots=True)
class Packet:
    """One packet of a control protocol."""

    code: int
    identifier: int
    data: bytes


class Option(NamedTuple):
    """A configuration option: type and value, without the two octets of its header."""

    type: int
    value: bytes


def parse_packet(octets: bytes) -> Packet:
    """RFC 1661 5: octets beyond Length are padding. Raises Malformed."""
    reader = Reader(octets, Reason.PPP_MALFORMED)
    code, identifier, length = reader.u8(), reader.u8(), reader.u16()
    if length < HEADER_OCTETS:
        raise Malformed(Reason.PPP_MALFORMED, f"length {length} below the header")
    return Packet(code, identifier, reader.take(length - HEADER_OCTETS))


def build_packet(packet: Packet) -> bytes:
    length = HEADER_OCTETS + len(packet.data)
    return bytes((packet.code, packet.identifier)) + length.to_bytes(2) + packet.data


def parse_options(data: bytes) -> list[Option]:
    """RFC 1661 6: type, length (both counted), value. Raises Malformed."""
    reader = Reader(data, Reason.PPP_MALFORMED)
    options: list[Option] = []
    while reader.left:
        kind, length = reader.u8(), reader.u8()
        if length < 2:
            raise Malformed(Reason.PPP_MALFORMED, f"option {kind} of length {length}")
        if len(options) == _OPTIONS_MAX:
            raise Malformed(Reason.PPP_MALFORMED, f"more than {_OPTIONS_MAX} options")
        options.append(Option(kind, reader.take(length - 2)))
    return options


def build_options(options: list[Option]) -> bytes:
    return b"".join(
        bytes((option.type, len(option.value) + 2)) + option.value for option in options
    )
