"""ICMP echo, and the errors that come back for what the probe sent (RFC 792).

Left out: everything that a router or a server would send.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ferrule.core.checksum import internet_checksum
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

_ECHO = struct.Struct("!BBHHH")
HEADER_OCTETS: Final = 8


class IcmpType(IntEnum):
    ECHO_REPLY = 0
    UNREACHABLE = 3
    ECHO_REQUEST = 8
    TIME_EXCEEDED = 11


_UNREACHABLE: Final = {
    0: "network unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "network administratively prohibited",
    10: "host administratively prohibited",
    13: "communication administratively prohibited",
}


@dataclass(slots=True)
class Echo:
    """An echo request, or the reply to one."""

    reply: bool
    identifier: int
    sequence: int
    data: bytes


@dataclass(slots=True)
class IcmpError:
    """What a router or the destination said about a packet of ours; `original` is its start."""

    text: str
    original: bytes


def build_echo(echo: Echo) -> bytes:
    kind = IcmpType.ECHO_REPLY if echo.reply else IcmpType.ECHO_REQUEST
    body = _ECHO.pack(kind, 0, 0, echo.identifier, echo.sequence) + echo.data
    checksum = internet_checksum(body)
    return body[:2] + checksum.to_bytes(2, "big") + body[4:]


def parse_icmp(data: bytes) -> Echo | IcmpError:
    """Raises Malformed for a wrong checksum, and for types that mean nothing to a probe."""
    if len(data) < HEADER_OCTETS:
        raise Malformed(Reason.IP_MALFORMED, "an ICMP header that is too short")
    kind, code, _, identifier, sequence = _ECHO.unpack_from(data)
    if internet_checksum(data):
        raise Malformed(Reason.IP_MALFORMED, "the checksum of ICMP")
    if kind in (IcmpType.ECHO_REQUEST, IcmpType.ECHO_REPLY):
        return Echo(kind == IcmpType.ECHO_REPLY, identifier, sequence, data[HEADER_OCTETS:])
    if kind == IcmpType.UNREACHABLE:
        text = _UNREACHABLE.get(code, f"unreachable, code {code}")
        return IcmpError(text, data[HEADER_OCTETS:])
    if kind == IcmpType.TIME_EXCEEDED:
        return IcmpError("time to live exceeded", data[HEADER_OCTETS:])
    raise Malformed(Reason.IP_MALFORMED, f"ICMP type {kind}")
