"""Transform attributes, RFC 2408 3.3: short ones (TV) and long ones (TLV).

All attributes of the transforms that we speak are numbers. One that is longer than `VALUE_MAX`
octets (a prime of New Group Mode) keeps its type, with a value that equals nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

Attribute = tuple[int, int]  # type without the AF bit, value

_AF: Final = 0x8000
_PAIR: Final = struct.Struct("!HH")
VALUE_MAX: Final = 8
UNREADABLE: Final = -1
ATTRIBUTES_MAX: Final = 24


def parse_attributes(octets: bytes) -> tuple[Attribute, ...]:
    """In the order of the wire: the order of life type and life duration has a meaning."""
    attributes: list[Attribute] = []
    at, end = 0, len(octets)
    while at < end:
        if end - at < 4 or len(attributes) == ATTRIBUTES_MAX:
            raise Malformed(Reason.IKE_MALFORMED, "attributes")
        kind, value = _PAIR.unpack_from(octets, at)
        at += 4
        if kind & _AF:
            attributes.append((kind & ~_AF, value))
            continue
        if value > end - at:
            raise Malformed(Reason.IKE_MALFORMED, "an attribute's length")
        number = (
            int.from_bytes(octets[at : at + value], "big") if value <= VALUE_MAX else UNREADABLE
        )
        attributes.append((kind, number))
        at += value
    return tuple(attributes)


def build_attributes(attributes: Iterable[Attribute]) -> bytes:
    """TV where the value fits into 16 bits, else TLV of 4 octets as everybody sends it."""
    return b"".join(
        _PAIR.pack(kind | _AF, value)
        if value < 0x10000
        else _PAIR.pack(kind, 4) + value.to_bytes(4, "big")
        for kind, value in attributes
    )
