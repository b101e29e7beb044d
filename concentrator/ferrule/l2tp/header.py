"""L2TP headers (RFC 2661 3.1): control messages, and the lean pair that the data plane uses.

The control header is always 12 octets; the data header is 6 to 14 octets and more, as its L, S and
O bits say. Sequence numbers of data messages are read over: IP does without their order. L2TPv3
(RFC 3931) is told apart by its version and refused.
"""

from __future__ import annotations

from struct import Struct, error
from typing import Final, NamedTuple

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason

TYPE_BIT: Final = 0x8000  # control message
LENGTH_BIT: Final = 0x4000
SEQUENCE_BIT: Final = 0x0800
OFFSET_BIT: Final = 0x0200
PRIORITY_BIT: Final = 0x0100
VERSION_MASK: Final = 0x000F
VERSION: Final = 2

CONTROL_OCTETS: Final = 12
CONTROL_OCTETS_MAX: Final = 4096  # a message for the reliable channel; honest ones stay below 600

_CONTROL_FLAGS: Final = TYPE_BIT | LENGTH_BIT | SEQUENCE_BIT | VERSION
_CONTROL: Final = Struct("!6H")
_U16: Final = Struct("!H")
_DATA: Final = Struct("!3H")
_DATA_SEQUENCED: Final = Struct("!5H")


class ControlHeader(NamedTuple):
    """What the header of a control message says. `tunnel` and `session` are the receiver's ids."""

    tunnel: int
    session: int
    ns: int
    nr: int


class DataHeader(NamedTuple):
    """Of a data message: ids, and where in the octets given the PPP frame starts and ends."""

    tunnel: int
    session: int
    start: int
    end: int


def is_control(octets: bytes, at: int = 0) -> bool:
    """Is the L2TP message that starts at `at` a control message? False too if nothing is there."""
    return at < len(octets) and octets[at] & 0x80 != 0


def parse_control(message: bytes) -> tuple[ControlHeader, bytes]:
    """Header and AVPs of a control message; octets after its length are cut off.

    A ZLB has no AVPs. Raises `ProtocolError` L2TP_VERSION, or `Malformed` (RFC 2661 3.1: T, L and S
    are 1, O and P are 0 in a control message).
    """
    if len(message) < CONTROL_OCTETS:
        raise Malformed(Reason.L2TP_MALFORMED, f"{len(message)} octets are no control message")
    flags, length, tunnel, session, ns, nr = _CONTROL.unpack_from(message)
    if flags & VERSION_MASK != VERSION:
        raise ProtocolError(Reason.L2TP_VERSION, f"version {flags & VERSION_MASK}")
    # Reserved bits are ignored on reception, as RFC 2661 3.1 asks.
    if flags & (TYPE_BIT | LENGTH_BIT | SEQUENCE_BIT | OFFSET_BIT) != (
        TYPE_BIT | LENGTH_BIT | SEQUENCE_BIT
    ):
        raise Malformed(Reason.L2TP_MALFORMED, f"flags {flags:04x} in a control message")
    if not CONTROL_OCTETS <= length <= len(message):
        raise Malformed(Reason.L2TP_MALFORMED, f"length {length} of {len(message)} octets")
    if length > CONTROL_OCTETS_MAX:
        raise Malformed(Reason.L2TP_MALFORMED, f"a control message of {length} octets")
    return ControlHeader(tunnel, session, ns, nr), message[CONTROL_OCTETS:length]


def build_control(header: ControlHeader, body: bytes = b"") -> bytes:
    """A control message; without a body it is a ZLB."""
    return _CONTROL.pack(_CONTROL_FLAGS, CONTROL_OCTETS + len(body), *header) + body


def parse_data(octets: bytes, at: int = 0) -> DataHeader:
    """The data message that starts at `at` and ends with `octets`, or where its length says.

    Called once a packet. Raises `ProtocolError` L2TP_VERSION, or `Malformed`.
    """
    try:
        (flags,) = _U16.unpack_from(octets, at)
        if flags & (TYPE_BIT | VERSION_MASK) != VERSION:
            if flags & TYPE_BIT:
                raise Malformed(Reason.L2TP_MALFORMED, "a control message among data")
            raise ProtocolError(Reason.L2TP_VERSION, f"version {flags & VERSION_MASK}")
        start = at + 2
        end = len(octets)
        if flags & LENGTH_BIT:
            end = at + _U16.unpack_from(octets, start)[0]
            start += 2
        tunnel, session = octets[start : start + 2], octets[start + 2 : start + 4]
        start += 8 if flags & SEQUENCE_BIT else 4
        if flags & OFFSET_BIT:
            start += 2 + _U16.unpack_from(octets, start)[0]
    except error:
        raise Malformed(Reason.L2TP_MALFORMED, "a data message that ends in its header") from None
    if start > end or end > len(octets):
        raise Malformed(Reason.L2TP_MALFORMED, f"length {end - at} of {len(octets) - at} octets")
    return DataHeader(int.from_bytes(tunnel, "big"), int.from_bytes(session, "big"), start, end)


def build_data(tunnel: int, session: int, ns: int | None = None) -> bytes:
    """The header of a data message: 6 octets, or 10 with sequence number `ns`.

    We send neither length nor offset. Nr of a data message is reserved (RFC 2661 3.1).
    """
    if ns is None:
        return _DATA.pack(VERSION, tunnel, session)
    return _DATA_SEQUENCED.pack(VERSION | SEQUENCE_BIT, tunnel, session, ns & 0xFFFF, 0)
