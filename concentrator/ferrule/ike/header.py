"""The ISAKMP header, RFC 2408 3.1: cookies, next payload, version, exchange, flags, id, length."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.ids import Cookie
from ferrule.core.reasons import Reason
from ferrule.ike.iana import VERSION_1_0

_FORMAT: Final = struct.Struct("!8s8sBBBBII")
HEADER_OCTETS: Final = _FORMAT.size  # 28
NO_COOKIE: Final = Cookie(bytes(8))
MESSAGE_OCTETS_MAX: Final = 65_507


@dataclass(slots=True)
class Header:
    """`length` covers header and body in octets."""

    icookie: Cookie
    rcookie: Cookie
    next_payload: int
    version: int
    exchange: int
    flags: int
    message_id: int
    length: int

    @property
    def major_version(self) -> int:
        return self.version >> 4


def parse_header(message: bytes) -> Header:
    """Raises Malformed(NOT_IKE): shorter than a header, or a length that the datagram belies."""
    if len(message) < HEADER_OCTETS:
        raise Malformed(Reason.NOT_IKE, f"{len(message)} octets")
    header = Header(*_FORMAT.unpack_from(message))
    if header.icookie == NO_COOKIE or not HEADER_OCTETS <= header.length <= len(message):
        raise Malformed(Reason.NOT_IKE, "no initiator cookie, or a length that lies")
    return header


def build_message(
    icookie: Cookie,
    rcookie: Cookie,
    next_payload: int,
    exchange: int,
    flags: int,
    message_id: int,
    body: bytes,
) -> bytes:
    """Header and body; the length field is computed."""
    length = HEADER_OCTETS + len(body)
    head = _FORMAT.pack(
        icookie, rcookie, next_payload, VERSION_1_0, exchange, flags, message_id, length
    )
    return head + body
