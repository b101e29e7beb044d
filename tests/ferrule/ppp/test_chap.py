from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.core.credentials import (
    ChapProof,
    MsChapV1Proof,
    MsChapV2Proof,
)
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ppp.chap import (
    build_failure,
    build_value,
    parse_failure,
    parse_response,
    parse_value,
)
from ferrule.ppp.frame import Protocol

CHAP = Protocol.CHAP
RFC2759 = json.loads((Path(__file__).parents[2] / "vectors" / "rfc2759.json").read_text())[
    "mschapv2"
]


def test_value_on_the_wire() -> None:
    assert build_value(b"abc", b"bob") == b"\x03abcbob"
    assert parse_value(b"\x03abcbob") == (b"abc", b"bob")
    assert parse_value(b"\x00") == (b"", b"")
    for data in (b"", b"\x04abc"):
        with pytest.raises(Malformed):
            parse_value(data)


def test_responses_of_the_three_algorithms() -> None:
    value = bytes(range(49))
    assert parse_response("chap", "bob", 3, b"c", bytes(16)) == ChapProof("bob", 3, b"c", bytes(16))
    assert parse_response("mschapv1", "bob", 3, b"c", value) == MsChapV1Proof(
        "bob", b"c", value[24:48]
    )
    assert parse_response("mschapv2", "bob", 3, b"c", value) == MsChapV2Proof(
        "bob", b"c", value[:16], value[24:48]
    )


@pytest.mark.parametrize(
    ("method", "octets"),
    [("chap", 15), ("chap", 17), ("mschapv1", 48), ("mschapv2", 50), ("mschapv2", 0)],
)
def test_responses_of_another_length(method: str, octets: int) -> None:
    with pytest.raises(Malformed):
        parse_response(method, "bob", 1, b"", bytes(octets))


@pytest.mark.parametrize(
    ("reason", "code", "text"),
    [
        (Reason.WRONG_PASSWORD, 691, "Authentication failed"),
        (Reason.UNKNOWN_USER, 691, "Authentication failed"),
        (Reason.LOCKED_OUT, 691, "Authentication failed"),
        (Reason.METHOD_NEEDS_OTHER_VERIFIER, 691, "Authentication failed"),
        (Reason.USER_DISABLED, 647, "The account is disabled"),
        (Reason.USER_EXPIRED, 646, "The account has expired"),
        (Reason.TOO_MANY_SESSIONS, 649, "The account has too many sessions"),
    ],
)
def test_failures_on_the_wire(reason: Reason, code: int, text: str) -> None:
    data = build_failure("mschapv2", reason, retry=True, challenge=bytes(16))
    assert data.decode() == f"E={code} R=1 C={'00' * 16} V=3 M={text}"
    read_back = reason if code != 691 else Reason.WRONG_PASSWORD
    assert parse_failure(data) == (read_back, text)
    data = build_failure("mschapv1", reason, retry=False, challenge=bytes(8))
    assert data.decode() == f"E={code} R=0 C={'00' * 8} V=2"
    assert parse_failure(data)[0] is read_back
    assert build_failure("chap", reason, retry=False, challenge=b"").decode() == text


@pytest.mark.parametrize(
    ("data", "reason", "text"),
    [
        (b"", Reason.WRONG_PASSWORD, ""),
        (b"no way\x00", Reason.WRONG_PASSWORD, "no way?"),
        (b"E=648 R=0", Reason.USER_EXPIRED, "E=648 R=0"),
        (b"E=99999999999999 M=x", Reason.WRONG_PASSWORD, "x"),
        (b"R=0 E=647 M=off\nnow", Reason.USER_DISABLED, "off?now"),
    ],
)
def test_failures_of_others(data: bytes, reason: Reason, text: str) -> None:
    assert parse_failure(data) == (reason, text)
