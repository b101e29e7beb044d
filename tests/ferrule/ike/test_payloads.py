"""Headers, payload chains, proposals, attributes, identities, vendor ids: octets both ways."""

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ike.payloads import (
    NatD,
    Nonce,
    Payload,
    build_payloads,
    parse_payloads,
)
from support.ike_samples import PAYLOADS


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: type(p).__name__)
def test_each_payload_both_ways(payload: Payload) -> None:
    first, octets = build_payloads([payload])
    contents = parse_payloads(first, octets)
    assert contents.payloads == [payload]
    assert contents.first_end == contents.end == len(octets)


def test_a_chain() -> None:
    first, octets = build_payloads(PAYLOADS)
    contents = parse_payloads(first, octets + bytes(3))
    assert contents.payloads == PAYLOADS
    assert contents.end == len(octets)
    assert contents.all(NatD) == [NatD(b"one"), NatD(b"two", draft=True)]
    assert contents.first(Nonce) == Nonce(b"nonce")
    assert build_payloads([]) == (0, b"")
    assert parse_payloads(0, b"").payloads == []


def test_a_payload_that_is_missing() -> None:
    with pytest.raises(Malformed) as caught:
        parse_payloads(0, b"").first(Nonce)
    assert caught.value.reason is Reason.PAYLOAD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("first", "octets"),
    [
        (10, b""),
        (10, b"\0\0\0"),
        (10, b"\0\0\0\3"),  # shorter than its header
        (10, b"\0\0\0\6x"),  # longer than the message
        (10, b"\0\1\0\5x"),  # reserved octet
        (10, b"\n\0\0\5x"),  # another one is announced
        (10, b"\0\0\0\5x" + bytes(4)),  # too much padding
        (15, b"\0\0\0\5x"),  # unknown type
        (132, b"\0\0\0\5x"),
        (11, b"\0\0\0\14\0\0\0\1\1\4\0\1"),  # SPI cut off
        (12, b"\0\0\0\14\0\0\0\1\3\4\0\1"),
        (12, b"\0\0\0\14\0\0\0\1\3\0\0\1"),  # SPI of no octets
        (12, b"\0\0\0\20\0\0\0\1\3\4\0\0abcd"),  # octets that no SPI claims
        (12, b"\0\0\0\14\0\0\0\1\3\4\xff\xff"),
        (5, b"\0\0\0\6\1\0"),
        (21, b"\0\0\0\6\1\0"),
        (1, b"\0\0\0\14\0\0\0\1\0\0\0\1"),  # no proposal
    ],
)
def test_chains_that_do_not_parse(first: int, octets: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_payloads(first, octets)
    assert caught.value.reason is Reason.IKE_MALFORMED


def test_no_more_than_64_payloads() -> None:
    first, octets = build_payloads([Nonce(b"")] * 64)
    assert len(parse_payloads(first, octets).payloads) == 64
    first, octets = build_payloads([Nonce(b"")] * 65)
    with pytest.raises(Malformed):
        parse_payloads(first, octets)
