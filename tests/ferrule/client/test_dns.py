"""Questions and answers of DNS; the octets are written out after RFC 1035 4.1."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ferrule.client.dns import DnsError, build_question, parse_answer

QUESTION = bytes.fromhex("1234 0100 0001 0000 0000 0000 03777777 076578616d706c65 00 0001 0001")
# The same question, an alias (CNAME to a pointer), then two addresses.
ANSWER = bytes.fromhex(
    "1234 8180 0001 0003 0000 0000 03777777 076578616d706c65 00 0001 0001"
    "c00c 0005 0001 0000003c 0002 c010"
    "c010 0001 0001 0000003c 0004 c0000250"
    "c010 0001 0001 0000003c 0004 c0000251"
)


def test_question() -> None:
    assert build_question(0x1234, "www.example") == QUESTION
    assert build_question(0x1234, "www.example.") == QUESTION


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64, "é.example", ".".join(["abcd"] * 60)])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        build_question(1, name)


def test_answer_after_an_alias() -> None:
    assert parse_answer(0x1234, ANSWER) == IPv4Address("192.0.2.80")


@pytest.mark.parametrize(
    "data", [b"", QUESTION, b"\x12\x35" + ANSWER[2:]], ids=["empty", "a question", "another id"]
)
def test_what_answers_something_else(data: bytes) -> None:
    assert parse_answer(0x1234, data) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ANSWER[:3] + b"\x83" + ANSWER[4:], "no such name"),
        (ANSWER[:3] + b"\x82" + ANSWER[4:], "server failure"),
        (ANSWER[:6] + b"\0\1" + ANSWER[8:], "no IPv4 address"),
        (ANSWER[:-1][:50], "does not parse"),
        (ANSWER[:12], "does not parse"),
    ],
)
def test_refusals(data: bytes, why: str) -> None:
    with pytest.raises(DnsError, match=why):
        parse_answer(0x1234, data)
