"""AVPs (RFC 2661 4.1 to 4.4): the table of what we know, and the walk over a message's body.

The walk reads hidden AVPs (4.3) when there is a tunnel secret, and keeps what it cannot read or
does not know as faults of the M bit (4.2): `messages.py` says what they close.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.hidden import hide, unhide

MANDATORY_BIT: Final = 0x8000
HIDDEN_BIT: Final = 0x4000
RESERVED_BITS: Final = 0x3C00
LENGTH_MASK: Final = 0x03FF
HEADER_OCTETS: Final = 6
VALUE_OCTETS_MAX: Final = LENGTH_MASK - HEADER_OCTETS
AVPS_MAX: Final = 64  # in one message; the fullest honest one (ICCN) has about 20


class AvpType(IntEnum):
    """Attribute types of vendor 0 that we know (RFC 2661 4.4; RFC 3145 2)."""

    MESSAGE_TYPE = 0
    RESULT_CODE = 1
    PROTOCOL_VERSION = 2
    FRAMING_CAPABILITIES = 3
    BEARER_CAPABILITIES = 4
    TIE_BREAKER = 5
    FIRMWARE_REVISION = 6
    HOST_NAME = 7
    VENDOR_NAME = 8
    ASSIGNED_TUNNEL_ID = 9
    RECEIVE_WINDOW_SIZE = 10
    CHALLENGE = 11
    Q931_CAUSE_CODE = 12
    CHALLENGE_RESPONSE = 13
    ASSIGNED_SESSION_ID = 14
    CALL_SERIAL_NUMBER = 15
    MINIMUM_BPS = 16
    MAXIMUM_BPS = 17
    BEARER_TYPE = 18
    FRAMING_TYPE = 19
    PACKET_PROCESSING_DELAY = 20
    CALLED_NUMBER = 21
    CALLING_NUMBER = 22
    SUB_ADDRESS = 23
    TX_CONNECT_SPEED = 24
    PHYSICAL_CHANNEL_ID = 25
    INITIAL_RECEIVED_LCP_CONFREQ = 26
    LAST_SENT_LCP_CONFREQ = 27
    LAST_RECEIVED_LCP_CONFREQ = 28
    PROXY_AUTHEN_TYPE = 29
    PROXY_AUTHEN_NAME = 30
    PROXY_AUTHEN_CHALLENGE = 31
    PROXY_AUTHEN_ID = 32
    PROXY_AUTHEN_RESPONSE = 33
    CALL_ERRORS = 34
    ACCM = 35
    RANDOM_VECTOR = 36
    PRIVATE_GROUP_ID = 37
    RX_CONNECT_SPEED = 38
    SEQUENCING_REQUIRED = 39
    PPP_DISCONNECT_CAUSE = 46


class Kind(IntEnum):
    """How a value is written."""

    U16 = 0
    U32 = 1
    OCTETS = 2
    EMPTY = 3  # its presence is the message


@dataclass(frozen=True, slots=True)
class AvpInfo:
    """A row of the table. `mandatory`: the M bit that we send. `hideable`: its H bit may be set.
    `least` and `most` bound the value in octets."""

    name: str
    kind: Kind
    mandatory: bool
    hideable: bool
    least: int = 0
    most: int = VALUE_OCTETS_MAX


def _u16(name: str, *, m: bool, h: bool) -> AvpInfo:
    return AvpInfo(name, Kind.U16, m, h, 2, 2)


def _u32(name: str, *, m: bool, h: bool) -> AvpInfo:
    return AvpInfo(name, Kind.U32, m, h, 4, 4)


def _octets(name: str, *, m: bool, h: bool, least: int = 0, most: int | None = None) -> AvpInfo:
    return AvpInfo(name, Kind.OCTETS, m, h, least, VALUE_OCTETS_MAX if most is None else most)


A = AvpType
AVPS: Final[Mapping[AvpType, AvpInfo]] = MappingProxyType(
    {
        A.MESSAGE_TYPE: _u16("Message Type", m=True, h=False),
        A.RESULT_CODE: _octets("Result Code", m=True, h=False, least=2),
        A.PROTOCOL_VERSION: _u16("Protocol Version", m=True, h=False),
        A.FRAMING_CAPABILITIES: _u32("Framing Capabilities", m=True, h=True),
        A.BEARER_CAPABILITIES: _u32("Bearer Capabilities", m=True, h=True),
        A.TIE_BREAKER: _octets("Tie Breaker", m=False, h=False, least=8, most=8),
        A.FIRMWARE_REVISION: _u16("Firmware Revision", m=False, h=True),
        A.HOST_NAME: _octets("Host Name", m=True, h=False),
        A.VENDOR_NAME: _octets("Vendor Name", m=False, h=True),
        A.ASSIGNED_TUNNEL_ID: _u16("Assigned Tunnel ID", m=True, h=True),
        A.RECEIVE_WINDOW_SIZE: _u16("Receive Window Size", m=True, h=False),
        A.CHALLENGE: _octets("Challenge", m=True, h=True, least=1),
        A.Q931_CAUSE_CODE: _octets("Q.931 Cause Code", m=True, h=False, least=3),
        A.CHALLENGE_RESPONSE: _octets("Challenge Response", m=True, h=True, least=16, most=16),
        A.ASSIGNED_SESSION_ID: _u16("Assigned Session ID", m=True, h=True),
        A.CALL_SERIAL_NUMBER: _u32("Call Serial Number", m=True, h=True),
        A.MINIMUM_BPS: _u32("Minimum BPS", m=True, h=True),
        A.MAXIMUM_BPS: _u32("Maximum BPS", m=True, h=True),
        A.BEARER_TYPE: _u32("Bearer Type", m=True, h=True),
        A.FRAMING_TYPE: _u32("Framing Type", m=True, h=True),
        # Gone since the drafts before RFC 2661, but still sent by descendants of l2tpd.
        A.PACKET_PROCESSING_DELAY: _octets("Packet Processing Delay", m=False, h=True),
        A.CALLED_NUMBER: _octets("Called Number", m=True, h=True),
        A.CALLING_NUMBER: _octets("Calling Number", m=True, h=True),
        A.SUB_ADDRESS: _octets("Sub-Address", m=True, h=True),
        A.TX_CONNECT_SPEED: _u32("(Tx) Connect Speed", m=True, h=True),
        A.PHYSICAL_CHANNEL_ID: _u32("Physical Channel ID", m=False, h=True),
        A.INITIAL_RECEIVED_LCP_CONFREQ: _octets("Initial Received LCP CONFREQ", m=False, h=True),
        A.LAST_SENT_LCP_CONFREQ: _octets("Last Sent LCP CONFREQ", m=False, h=True),
        A.LAST_RECEIVED_LCP_CONFREQ: _octets("Last Received LCP CONFREQ", m=False, h=True),
        A.PROXY_AUTHEN_TYPE: _u16("Proxy Authen Type", m=False, h=True),
        A.PROXY_AUTHEN_NAME: _octets("Proxy Authen Name", m=False, h=True),
        A.PROXY_AUTHEN_CHALLENGE: _octets("Proxy Authen Challenge", m=False, h=True),
        A.PROXY_AUTHEN_ID: _u16("Proxy Authen ID", m=False, h=True),
        A.PROXY_AUTHEN_RESPONSE: _octets("Proxy Authen Response", m=False, h=True),
        A.CALL_ERRORS: _octets("Call Errors", m=True, h=True, least=26, most=26),
        A.ACCM: _octets("ACCM", m=True, h=True, least=10, most=10),
        A.RANDOM_VECTOR: _octets("Random Vector", m=True, h=False),
        A.PRIVATE_GROUP_ID: _octets("Private Group ID", m=False, h=True),
        A.RX_CONNECT_SPEED: _u32("Rx Connect Speed", m=False, h=True),
        A.SEQUENCING_REQUIRED: AvpInfo("Sequencing Required", Kind.EMPTY, True, False, 0, 0),
        A.PPP_DISCONNECT_CAUSE: _octets("PPP Disconnect Cause Code", m=False, h=True, least=5),
    }
)
del A

if missing := [avp.name for avp in AvpType if avp not in AVPS]:
    raise ValueError(f"no row in AVPS for {', '.join(missing)}")

_KNOWN: Final[Mapping[int, AvpType]] = MappingProxyType({int(avp): avp for avp in AvpType})


@dataclass(frozen=True, slots=True)
class Avp:
    """One AVP to send; `build_avps` adds M and H."""

    avp_type: AvpType
    value: bytes


@dataclass(slots=True)
class AvpFault:
    """Why an AVP cannot be taken, while its M bit forbids to skip it (RFC 2661 4.2)."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class AvpList:
    """The body of a control message. `values` holds the first AVP of each known type; `faults`
    what must not be skipped; `skipped` names what was."""

    message_type: int
    message_mandatory: bool
    values: dict[AvpType, bytes]
    faults: list[AvpFault]
    skipped: list[str]


def parse_avps(body: bytes, secret: Secret | None) -> AvpList:
    """Walk over a non-empty body.

    Raises `Malformed` L2TP_MALFORMED only when it does not start with a Message Type AVP: without
    that nothing can be said about the message. Later damage ends the walk and is a fault.
    """
    parsed = AvpList(-1, True, {}, [], [])
    random_vector: bytes | None = None
    at = count = 0
    while at < len(body):
        octets = int.from_bytes(body[at : at + 2], "big") & LENGTH_MASK
        count += 1
        if octets < HEADER_OCTETS or at + octets > len(body) or count > AVPS_MAX:
            detail = f"AVP {count}: {octets} octets at {at} of {len(body)}"
            parsed.faults.append(AvpFault(Reason.L2TP_MALFORMED, detail))
            break
        header, value = body[at : at + HEADER_OCTETS], body[at + HEADER_OCTETS : at + octets]
        at += octets
        flags = int.from_bytes(header[:2], "big")
        try:
            avp_type, value = _open(flags, header, value, secret, random_vector)
        except Malformed as fault:
            if flags & MANDATORY_BIT:
                parsed.faults.append(AvpFault(fault.reason, fault.detail))
            else:
                parsed.skipped.append(fault.detail)
            continue
        if count == 1 and avp_type is AvpType.MESSAGE_TYPE:
            parsed.message_type = int.from_bytes(value, "big")
            parsed.message_mandatory = bool(flags & MANDATORY_BIT)
        if avp_type is AvpType.RANDOM_VECTOR:
            random_vector = value  # holds for what follows, until the next one
        parsed.values.setdefault(avp_type, value)
    if parsed.message_type < 0:
        raise Malformed(Reason.L2TP_MALFORMED, "the first AVP is not a Message Type")
    return parsed


def _open(
    flags: int, header: bytes, value: bytes, secret: Secret | None, random_vector: bytes | None
) -> tuple[AvpType, bytes]:
    """Type and clear value. Raises `Malformed` with the reason why this AVP is not usable."""
    vendor, number = int.from_bytes(header[2:4], "big"), int.from_bytes(header[4:6], "big")
    avp_type = _KNOWN.get(number)
    if vendor or avp_type is None or flags & RESERVED_BITS:
        # RFC 2661 4.1: an AVP with reserved bits set is an unknown one.
        raise Malformed(Reason.L2TP_MANDATORY_AVP, f"unknown AVP {number} of vendor {vendor}")
    row = AVPS[avp_type]
    if flags & HIDDEN_BIT:
        if not row.hideable:
            raise Malformed(Reason.L2TP_HIDDEN_AVP, f"{row.name} must not be hidden")
        if secret is None:
            raise Malformed(Reason.L2TP_HIDDEN_AVP, f"{row.name} is hidden, there is no secret")
        if random_vector is None:
            raise Malformed(Reason.L2TP_HIDDEN_AVP, f"{row.name} is hidden without Random Vector")
        value = unhide(number, value, secret, random_vector)
    if not row.least <= len(value) <= row.most:
        raise Malformed(Reason.L2TP_MALFORMED, f"{row.name} of {len(value)} octets")
    return avp_type, value


def build_avps(
    avps: list[Avp], secret: Secret | None = None, entropy: Callable[[int], bytes] | None = None
) -> bytes:
    """The body of a control message; the first AVP must be the Message Type.

    With `secret` and `entropy` every AVP that may be hidden is, after a Random Vector."""
    pieces: list[bytes] = []
    random_vector = b""
    if secret is not None and entropy is not None and any(AVPS[a.avp_type].hideable for a in avps):
        random_vector = entropy(16)
    for position, avp in enumerate(avps):
        row = AVPS[avp.avp_type]
        flags, value = MANDATORY_BIT if row.mandatory else 0, avp.value
        if random_vector and secret is not None and row.hideable:
            flags |= HIDDEN_BIT
            value = hide(avp.avp_type, value, secret, random_vector)
        pieces.append(_frame(flags, avp.avp_type, value))
        if position == 0 and random_vector:
            pieces.append(_frame(MANDATORY_BIT, AvpType.RANDOM_VECTOR, random_vector))
    return b"".join(pieces)


def _frame(flags: int, avp_type: AvpType, value: bytes) -> bytes:
    if len(value) > VALUE_OCTETS_MAX:
        raise ValueError(f"{AVPS[avp_type].name}: {len(value)} octets do not fit an AVP")
    first = (flags | HEADER_OCTETS + len(value)).to_bytes(2, "big")
    return first + b"\0\0" + avp_type.to_bytes(2, "big") + value
