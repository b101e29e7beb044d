"""Messages: what each needs, what it takes, and that what we build is what we read."""

from __future__ import annotations

import dataclasses

import pytest

from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.avp import AVPS, AvpType, Kind, parse_avps
from ferrule.l2tp.messages import (
    SESSION_MESSAGES,
    SHAPES,
    Cdn,
    Field,
    Hello,
    Iccn,
    Icrq,
    Message,
    MessageType,
    Parsed,
    Sccrp,
    Sccrq,
    StopCcn,
    build_message,
    read_message,
    type_of,
)
from ferrule.l2tp.result_codes import ResultCode
from support.l2tp import entropy_of, raw_avp, raw_body

VALUES = {Kind.U16: b"\x01\x00", Kind.U32: b"\0\0\0\x03", Kind.EMPTY: b""}


def sample(avp_type: AvpType) -> bytes:
    row = AVPS[avp_type]
    return VALUES.get(row.kind, b"v" * max(row.least, 2))


def read(body: bytes, secret: Secret | None = None) -> Parsed:
    return read_message(parse_avps(body, secret))


def full_body(kind: MessageType, without: Field | None = None) -> bytes:
    avps = [
        raw_avp(field.avp_type, sample(field.avp_type))
        for field in SHAPES[kind].fields
        if field is not without
    ]
    return raw_body(kind, *avps)


@pytest.mark.parametrize("kind", list(MessageType))
def test_a_full_message_fills_every_field(kind: MessageType) -> None:
    parsed = read(full_body(kind))
    assert parsed.fault is None
    assert parsed.message is not None
    assert type_of(parsed.message) is kind
    names = [field.name for field in dataclasses.fields(parsed.message)]
    assert sorted(names) == sorted(field.name for field in SHAPES[kind].fields)
    assert None not in [getattr(parsed.message, name) for name in names]


REQUIRED = [
    (kind, field) for kind, shape in SHAPES.items() for field in shape.fields if field.required
]


@pytest.mark.parametrize(("kind", "field"), REQUIRED)
def test_a_required_avp_is_required(kind: MessageType, field: Field) -> None:
    parsed = read(full_body(kind, without=field))
    assert parsed.kind is kind
    assert parsed.message is None
    assert parsed.fault is not None
    assert parsed.fault.reason is Reason.L2TP_MISSING_AVP
    assert AVPS[field.avp_type].name in parsed.fault.detail


def test_what_is_required() -> None:
    assert {(kind.name, field.name) for kind, field in REQUIRED} == {
        ("SCCRQ", "protocol_version"),
        ("SCCRQ", "host_name"),
        ("SCCRQ", "assigned_tunnel_id"),
        ("SCCRP", "protocol_version"),
        ("SCCRP", "host_name"),
        ("SCCRP", "assigned_tunnel_id"),
        ("OCRQ", "assigned_session_id"),
        ("ICRQ", "assigned_session_id"),
        ("ICRP", "assigned_session_id"),
    }


@pytest.mark.parametrize("kind", list(MessageType))
def test_known_avps_of_other_messages_are_ignored(kind: MessageType) -> None:
    """Proxy LCP and authentication in ICCN among them."""
    own = {field.avp_type for field in SHAPES[kind].fields} | {AvpType.MESSAGE_TYPE}
    strays = [raw_avp(avp, sample(avp)) for avp in AvpType if avp not in own]
    parsed = read(full_body(kind) + b"".join(strays))
    assert parsed == read(full_body(kind))


@pytest.mark.parametrize("kind", [MessageType.SCCRQ, MessageType.ICRQ])
def test_an_id_of_zero_is_no_id(kind: MessageType) -> None:
    number = 9 if kind is MessageType.SCCRQ else 14
    body = full_body(kind).replace(raw_avp(number, b"\x01\x00"), raw_avp(number, b"\0\0"))
    parsed = read(body)
    assert parsed.fault is not None
    assert parsed.fault.reason is Reason.L2TP_MALFORMED
    assert parsed.message is None


def test_a_window_of_zero_is_refused() -> None:
    body = full_body(MessageType.SCCRQ).replace(raw_avp(10, b"\x01\x00"), raw_avp(10, b"\0\0"))
    parsed = read(body)
    assert parsed.fault is not None
    assert parsed.message is not None


def test_faults_of_avps_come_first() -> None:
    parsed = read(raw_body(MessageType.SCCRQ, raw_avp(99, b"")))
    assert parsed.fault is not None
    assert parsed.fault.reason is Reason.L2TP_MANDATORY_AVP


@pytest.mark.parametrize("number", [0, 5, 13, 17, 20, 65535])
def test_unknown_messages(number: int) -> None:
    mandatory = read(raw_body(number))
    assert mandatory.kind is mandatory.message is None
    assert mandatory.fault is not None
    assert mandatory.fault.reason is Reason.L2TP_MANDATORY_AVP
    assert read(raw_body(number, m=False)) == Parsed(None, None, None)


def test_a_goodbye_is_read_in_spite_of_faults() -> None:
    body = raw_body(MessageType.CDN, raw_avp(99, b""), raw_avp(1, b"\0\1"), raw_avp(14, b"\0\0"))
    assert read(body).message == Cdn(ResultCode(1))
    assert read(raw_body(MessageType.STOPCCN)).message == StopCcn()


MESSAGES: list[Message] = [
    Sccrq(7, b"host"),
    Sccrq(7, b"", 0x0100, 3, 3, b"tiebreak", 0x690, b"vendor", 8, b"challenge"),
    Sccrp(65535, b"h", challenge=b"c", challenge_response=bytes(16)),
    StopCcn(1, ResultCode(2, 6, "text")),
    Hello(),
    Icrq(1, 0xFFFFFFFF, 2, 3, b"from", b"to", b"sub"),
    Iccn(100_000_000, 1, sequencing_required=True),
    Iccn(),
    Cdn(ResultCode(3, 0), 5, b"\0\x10\xc2\x23\x01"),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_what_we_build_is_what_we_read(message: Message) -> None:
    assert read(build_message(message)) == Parsed(type_of(message), message, None)
    secret = Secret(b"secret")
    hidden = build_message(message, secret, entropy_of(3))
    assert read(hidden, secret) == Parsed(type_of(message), message, None)


def test_octets_of_a_request() -> None:
    """RFC 2661 6.1, in the order that real clients use."""
    body = build_message(Sccrq(0x0102, b"h", framing_capabilities=3, receive_window_size=4))
    assert body.hex(" ", 2).replace(" ", "") == (
        "8008000000000001"
        "8008000000020100"
        "80070000000768"
        "800a0000000300000003"
        "8008000000090102"
        "80080000000a0004"
    )


def test_session_messages() -> None:
    tunnel = {"SCCRQ", "SCCRP", "SCCCN", "STOPCCN", "HELLO"}
    assert {kind.name for kind in SESSION_MESSAGES} == {k.name for k in MessageType} - tunnel
