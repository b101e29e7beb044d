"""Control messages (RFC 2661 3.2 and 6) as dataclasses, read and written by one table.

A row of `SHAPES` names the AVPs of a message that we use and those that it must have. Others that
we know are accepted and ignored: proxy LCP and authentication among them, since whoever sits on the
path of PPP must not tell us who its peer is. Outgoing calls are only read as far as to refuse them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.avp import AVPS, Avp, AvpFault, AvpList, AvpType, Kind, build_avps
from ferrule.l2tp.result_codes import ResultCode, build_result_code, parse_result_code

PROTOCOL_VERSION: Final = 0x0100  # version 1, revision 0: RFC 2661
FRAMING_SYNC_AND_ASYNC: Final = 3


class MessageType(IntEnum):
    """RFC 2661 3.2."""

    SCCRQ = 1
    SCCRP = 2
    SCCCN = 3
    STOPCCN = 4
    HELLO = 6
    OCRQ = 7
    OCRP = 8
    OCCN = 9
    ICRQ = 10
    ICRP = 11
    ICCN = 12
    CDN = 14
    WEN = 15
    SLI = 16


SESSION_MESSAGES: Final = frozenset(MessageType) - {
    MessageType.SCCRQ,
    MessageType.SCCRP,
    MessageType.SCCCN,
    MessageType.STOPCCN,
    MessageType.HELLO,
}


@dataclass(slots=True)
class Sccrq:
    assigned_tunnel_id: int
    host_name: bytes
    protocol_version: int = PROTOCOL_VERSION
    framing_capabilities: int | None = None
    bearer_capabilities: int | None = None
    tie_breaker: bytes | None = None
    firmware_revision: int | None = None
    vendor_name: bytes | None = None
    receive_window_size: int | None = None
    challenge: bytes | None = None


@dataclass(slots=True)
class Sccrp:
    assigned_tunnel_id: int
    host_name: bytes
    protocol_version: int = PROTOCOL_VERSION
    framing_capabilities: int | None = None
    bearer_capabilities: int | None = None
    firmware_revision: int | None = None
    vendor_name: bytes | None = None
    receive_window_size: int | None = None
    challenge: bytes | None = None
    challenge_response: bytes | None = None


@dataclass(slots=True)
class Scccn:
    challenge_response: bytes | None = None


@dataclass(slots=True)
class StopCcn:
    assigned_tunnel_id: int | None = None
    result_code: ResultCode | None = None


@dataclass(slots=True)
class Hello:
    pass


@dataclass(slots=True)
class Icrq:
    assigned_session_id: int
    call_serial_number: int | None = None
    bearer_type: int | None = None
    physical_channel_id: int | None = None
    calling_number: bytes | None = None
    called_number: bytes | None = None
    sub_address: bytes | None = None


@dataclass(slots=True)
class Icrp:
    assigned_session_id: int


@dataclass(slots=True)
class Iccn:
    tx_connect_speed: int | None = None
    framing_type: int | None = None
    rx_connect_speed: int | None = None
    sequencing_required: bool = False


@dataclass(slots=True)
class Cdn:
    result_code: ResultCode | None = None
    assigned_session_id: int | None = None
    ppp_disconnect_cause: bytes | None = None


@dataclass(slots=True)
class Wen:
    pass


@dataclass(slots=True)
class Sli:
    pass


@dataclass(slots=True)
class Ocrq:
    assigned_session_id: int


@dataclass(slots=True)
class Ocrp:
    pass


@dataclass(slots=True)
class Occn:
    pass


Message: TypeAlias = (
    Sccrq
    | Sccrp
    | Scccn
    | StopCcn
    | Hello
    | Icrq
    | Icrp
    | Iccn
    | Cdn
    | Wen
    | Sli
    | Ocrq
    | Ocrp
    | Occn
)


class Field(NamedTuple):
    """An AVP and the field that it fills. Without a `required` one the message is refused."""

    avp_type: AvpType
    name: str
    required: bool = False


class Shape(NamedTuple):
    """A row: the dataclass of a message type and its AVPs, in the order in which we send them."""

    message: type[Any]
    fields: tuple[Field, ...]


A = AvpType
_VERSION = Field(A.PROTOCOL_VERSION, "protocol_version", required=True)
_HOST = Field(A.HOST_NAME, "host_name", required=True)
_TUNNEL = Field(A.ASSIGNED_TUNNEL_ID, "assigned_tunnel_id", required=True)
_SESSION = Field(A.ASSIGNED_SESSION_ID, "assigned_session_id", required=True)
# DEVIATION: RFC 2661 6 also requires Framing Capabilities (SCCRQ, SCCRP), Call Serial Number
# (ICRQ), Tx Connect Speed and Framing Type (ICCN), and in CDN and StopCCN both AVPs. Nothing is
# done with the first five, and a goodbye is a goodbye: a peer that leaves them out is served.
_FRAMING = Field(A.FRAMING_CAPABILITIES, "framing_capabilities")
_BEARER = Field(A.BEARER_CAPABILITIES, "bearer_capabilities")
_FIRMWARE = Field(A.FIRMWARE_REVISION, "firmware_revision")
_VENDOR = Field(A.VENDOR_NAME, "vendor_name")
_WINDOW = Field(A.RECEIVE_WINDOW_SIZE, "receive_window_size")
_CHALLENGE = Field(A.CHALLENGE, "challenge")
_RESPONSE = Field(A.CHALLENGE_RESPONSE, "challenge_response")
_RESULT = Field(A.RESULT_CODE, "result_code")

SHAPES: Final[Mapping[MessageType, Shape]] = MappingProxyType(
    {
        MessageType.SCCRQ: Shape(
            Sccrq,
            (
                _VERSION,
                _HOST,
                _FRAMING,
                _TUNNEL,
                _BEARER,
                _WINDOW,
                _CHALLENGE,
                Field(A.TIE_BREAKER, "tie_breaker"),
                _FIRMWARE,
                _VENDOR,
            ),
        ),
        MessageType.SCCRP: Shape(
            Sccrp,
            (
                _VERSION,
                _FRAMING,
                _HOST,
                _TUNNEL,
                _BEARER,
                _FIRMWARE,
                _VENDOR,
                _WINDOW,
                _CHALLENGE,
                _RESPONSE,
            ),
        ),
        MessageType.SCCCN: Shape(Scccn, (_RESPONSE,)),
        MessageType.STOPCCN: Shape(
            StopCcn, (Field(A.ASSIGNED_TUNNEL_ID, "assigned_tunnel_id"), _RESULT)
        ),
        MessageType.HELLO: Shape(Hello, ()),
        MessageType.OCRQ: Shape(Ocrq, (_SESSION,)),
        MessageType.OCRP: Shape(Ocrp, ()),
        MessageType.OCCN: Shape(Occn, ()),
        MessageType.ICRQ: Shape(
            Icrq,
            (
                _SESSION,
                Field(A.CALL_SERIAL_NUMBER, "call_serial_number"),
                Field(A.BEARER_TYPE, "bearer_type"),
                Field(A.PHYSICAL_CHANNEL_ID, "physical_channel_id"),
                Field(A.CALLING_NUMBER, "calling_number"),
                Field(A.CALLED_NUMBER, "called_number"),
                Field(A.SUB_ADDRESS, "sub_address"),
            ),
        ),
        MessageType.ICRP: Shape(Icrp, (_SESSION,)),
        MessageType.ICCN: Shape(
            Iccn,
            (
                Field(A.TX_CONNECT_SPEED, "tx_connect_speed"),
                Field(A.FRAMING_TYPE, "framing_type"),
                Field(A.RX_CONNECT_SPEED, "rx_connect_speed"),
                Field(A.SEQUENCING_REQUIRED, "sequencing_required"),
            ),
        ),
        MessageType.CDN: Shape(
            Cdn,
            (
                _RESULT,
                Field(A.ASSIGNED_SESSION_ID, "assigned_session_id"),
                Field(A.PPP_DISCONNECT_CAUSE, "ppp_disconnect_cause"),
            ),
        ),
        MessageType.WEN: Shape(Wen, ()),
        MessageType.SLI: Shape(Sli, ()),
    }
)
_TYPES: Final[Mapping[type[Any], MessageType]] = MappingProxyType(
    {shape.message: message_type for message_type, shape in SHAPES.items()}
)
_KNOWN: Final[Mapping[int, MessageType]] = MappingProxyType({int(m): m for m in MessageType})

# Values that RFC 2661 4.4 gives no meaning: 0 as an id, and a window in which nothing fits.
_NOT_ZERO: Final = frozenset({A.ASSIGNED_TUNNEL_ID, A.ASSIGNED_SESSION_ID, A.RECEIVE_WINDOW_SIZE})
_READERS: Final[Mapping[Kind, Callable[[bytes], object]]] = MappingProxyType(
    {
        Kind.U16: lambda value: int.from_bytes(value, "big"),
        Kind.U32: lambda value: int.from_bytes(value, "big"),
        Kind.OCTETS: bytes,
        Kind.EMPTY: lambda _: True,
    }
)
del A


@dataclass(slots=True)
class Parsed:
    """What came of a body. `kind` is None for an unknown message type; `message` is None when the
    type is unknown or a required AVP is missing. With a `fault` the message must not be acted on,
    unless it is a goodbye."""

    kind: MessageType | None
    message: Message | None
    fault: AvpFault | None


def read_message(avps: AvpList) -> Parsed:
    """The message in `avps` by its row of `SHAPES`, with the first fault if there is one."""
    kind = _KNOWN.get(avps.message_type)
    if kind is None:
        detail = f"message type {avps.message_type}"
        # RFC 2661 4.4.1: without the M bit an unknown message is ignored.
        fault = AvpFault(Reason.L2TP_MANDATORY_AVP, detail) if avps.message_mandatory else None
        return Parsed(None, None, fault)
    shape = SHAPES[kind]
    faults = list(avps.faults)
    values: dict[str, object] = {}
    complete = True
    for field in shape.fields:
        octets = avps.values.get(field.avp_type)
        if octets is not None:
            try:
                values[field.name] = _read(field.avp_type, octets)
            except Malformed as fault:
                faults.append(AvpFault(fault.reason, fault.detail))
        if field.required and field.name not in values:
            complete = False
            detail = f"{kind.name} without {AVPS[field.avp_type].name}"
            faults.append(AvpFault(Reason.L2TP_MISSING_AVP, detail))
    message = shape.message(**values) if complete else None
    return Parsed(kind, message, faults[0] if faults else None)


def _read(avp_type: AvpType, octets: bytes) -> object:
    if avp_type is AvpType.RESULT_CODE:
        return parse_result_code(octets)
    value = _READERS[AVPS[avp_type].kind](octets)
    if value == 0 and avp_type in _NOT_ZERO:
        raise Malformed(Reason.L2TP_MALFORMED, f"{AVPS[avp_type].name} is 0")
    return value


def build_message(
    message: Message, hide: Secret | None = None, entropy: Callable[[int], bytes] | None = None
) -> bytes:
    """The body of `message`; with `hide` and `entropy` its AVPs are hidden where they may be."""
    message_type = _TYPES[type(message)]
    avps = [Avp(AvpType.MESSAGE_TYPE, message_type.to_bytes(2, "big"))]
    for field in SHAPES[message_type].fields:
        value = getattr(message, field.name)
        if value is not None and value is not False:
            avps.append(Avp(field.avp_type, _write(field.avp_type, value)))
    return build_avps(avps, hide, entropy)


def _write(avp_type: AvpType, value: object) -> bytes:
    row = AVPS[avp_type]
    if isinstance(value, ResultCode):
        return build_result_code(value)
    if row.kind is Kind.EMPTY:
        return b""
    if isinstance(value, int):
        return value.to_bytes(row.least, "big")
    assert isinstance(value, bytes)
    return value


def type_of(message: Message) -> MessageType:
    """The message type that `message` is."""
    return _TYPES[type(message)]
