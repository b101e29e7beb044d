"""Result codes: strict and honest-but-odd peers, and what we say for each reason."""

from __future__ import annotations

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason, Stage, info
from ferrule.l2tp.result_codes import (
    ERRORS,
    MESSAGE_CHARACTERS_MAX,
    RESULTS,
    Closes,
    ResultCode,
    build_result_code,
    code_for,
    describe,
    describe_ppp_cause,
    parse_result_code,
    printable,
)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        ("0001", ResultCode(1)),  # Android, MikroTik, ProL2TP
        ("000103", ResultCode(1)),
        ("00020003496e76616c696420417267756d656e74", ResultCode(2, 3, "Invalid Argument")),
        ("00030000", ResultCode(3, 0)),
        ("01000000", ResultCode(1, 0, "", swapped=True)),  # Apple
        ("02000600", ResultCode(2, 6, "", swapped=True)),
        ("0600", ResultCode(6, None, "", swapped=True)),
        ("00050100", ResultCode(5, 0x0100)),  # the version, not a swapped 1
        ("00020006410a42", ResultCode(2, 6, "A?B")),
    ],
)
def test_parse(octets: str, code: ResultCode) -> None:
    assert parse_result_code(bytes.fromhex(octets)) == code


@pytest.mark.parametrize("octets", [b"", b"\x00"])
def test_too_short(octets: bytes) -> None:
    with pytest.raises(Malformed):
        parse_result_code(octets)


def test_build() -> None:
    assert build_result_code(ResultCode(3, 0, "bye")) == b"\0\3\0\0bye"
    assert build_result_code(ResultCode(1)) == b"\0\1\0\0"


@pytest.mark.parametrize(
    ("closes", "code", "text"),
    [
        (
            Closes.SESSION,
            ResultCode(3, 0, "message"),
            "CDN result 3 (administrative) error 0: message",
        ),
        (Closes.SESSION, ResultCode(1), "CDN result 1 (loss of carrier)"),
        (
            Closes.TUNNEL,
            ResultCode(2, 8),
            "StopCCN result 2 (general error) error 8 (unknown mandatory AVP)",
        ),
        (Closes.TUNNEL, ResultCode(99, 99), "StopCCN result 99 (unknown) error 99"),
        (
            Closes.TUNNEL,
            ResultCode(1, 0, "", swapped=True),
            "StopCCN result 1 (general request to clear) error 0 [sent little-endian]",
        ),
        (Closes.TUNNEL, None, "StopCCN without a result code"),
    ],
)
def test_describe(closes: Closes, code: ResultCode | None, text: str) -> None:
    assert describe(closes, code) == text


@pytest.mark.parametrize("closes", list(Closes))
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_code_of_the_rfc(closes: Closes, reason: Reason) -> None:
    code = code_for(closes, reason)
    assert code.result in RESULTS[closes]
    if code.result == 2:  # RFC 2661 4.4.2: only a general error has an error code
        assert code.error in ERRORS
    elif closes is Closes.TUNNEL and code.result == 5:
        assert code.error == 0x0100
    else:
        assert code.error == 0
    assert 0 < len(code.message) <= MESSAGE_CHARACTERS_MAX
    assert parse_result_code(build_result_code(code)) == code


def test_the_peer_does_not_learn_which_of_user_and_password_was_wrong() -> None:
    told = {
        code_for(Closes.SESSION, reason)
        for reason in Reason
        if info(reason).stage is Stage.AUTH and reason is not Reason.METHOD_NEEDS_OTHER_VERIFIER
    }
    assert told == {ResultCode(3, 0, "authentication failed")}


@pytest.mark.parametrize(
    ("closes", "reason", "numbers"),
    [
        (Closes.TUNNEL, Reason.SERVER_SHUTDOWN, (6, 0)),
        (Closes.TUNNEL, Reason.L2TP_TUNNEL_AUTH, (4, 0)),
        (Closes.TUNNEL, Reason.L2TP_VERSION, (5, 0x0100)),
        (Closes.TUNNEL, Reason.L2TP_MANDATORY_AVP, (2, 8)),
        (Closes.TUNNEL, Reason.L2TP_UNEXPECTED, (7, 0)),
        (Closes.TUNNEL, Reason.ADMIN_KICK, (1, 0)),
        (Closes.SESSION, Reason.ADMIN_KICK, (3, 0)),
        (Closes.SESSION, Reason.L2TP_LIMIT, (4, 0)),
        (Closes.SESSION, Reason.L2TP_DIAL_OUT, (5, 0)),
        (Closes.SESSION, Reason.L2TP_TIMEOUT, (10, 0)),
        (Closes.SESSION, Reason.PEER_CLOSED, (1, 0)),
    ],
)
def test_what_we_say(closes: Closes, reason: Reason, numbers: tuple[int, int]) -> None:
    code = code_for(closes, reason)
    assert (code.result, code.error) == numbers


def test_ppp_cause() -> None:
    # RFC 3145: code, control protocol, direction, message
    assert describe_ppp_cause(b"\0\x10\xc2\x23\x01no") == "PPP cause 16 (authentication failed): no"
    assert describe_ppp_cause(b"\0\x63\0\0\0") == "PPP cause 99 (unknown)"
    assert describe_ppp_cause(b"\0\x10\xc2\x23") == ""


def test_text_of_strangers() -> None:
    assert printable(b"caf\xc3\xa9\0", 10) == "caf\xe9"
    assert printable(b"\x1b[31mred\r\n\xff", 20) == "?[31mred??\ufffd"
    assert printable(b"x" * 1000, 7) == "x" * 7
