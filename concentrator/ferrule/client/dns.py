"""A question for the IPv4 address of a name, and its answer (RFC 1035 4).

Left out: every type but A, TCP, search lists. An alias is followed as far as the answer holds it.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from typing import Final

PORT: Final = 53
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RECURSION_DESIRED: Final = 0x0100
_RESPONSE: Final = 0x8000
_A: Final = 1
_IN: Final = 1
_NAME_MAX: Final = 253
_CODES: Final = {1: "format error", 2: "server failure", 3: "no such name", 5: "refused"}


class DnsError(Exception):
    """The server refused, or the answer cannot be used; the text says why."""


def build_question(identifier: int, name: str) -> bytes:
    """Raises ValueError for what is no name."""
    labels = name.rstrip(".").split(".")
    if not all(0 < len(label) < 64 and label.isascii() for label in labels):
        raise ValueError(f"{name!r} is not a host name")
    if len(name) > _NAME_MAX:
        raise ValueError("a host name of more than 253 characters")
    encoded = b"".join(bytes([len(label)]) + label.encode() for label in labels)
    header = _HEADER.pack(identifier, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + encoded + b"\0" + struct.pack("!HH", _A, _IN)


def parse_answer(identifier: int, data: bytes) -> IPv4Address | None:
    """The first address in the answer; None if it answers something else. Raises DnsError."""
    if len(data) < _HEADER.size:
        return None
    their_identifier, flags, questions, answers, _, _ = _HEADER.unpack_from(data)
    if their_identifier != identifier or not flags & _RESPONSE:
        return None
    if code := flags & 15:
        raise DnsError(_CODES.get(code, f"code {code}"))
    at = _HEADER.size
    try:
        for _ in range(questions):
            at = _skip_name(data, at) + 4
        for _ in range(answers):
            at = _skip_name(data, at)
            kind, group, _, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            if kind == _A and group == _IN and length == 4:
                return IPv4Address(data[at : at + 4])
            at += length
    except (IndexError, struct.error, ValueError) as error:
        raise DnsError("an answer that does not parse") from error
    raise DnsError("the name has no IPv4 address")


def _skip_name(data: bytes, at: int) -> int:
    """The position after the name at `at`; a pointer ends it (RFC 1035 4.1.4)."""
    while length := data[at]:
        if length & 0xC0:
            return at + 2
        at += 1 + length
    return at + 1
