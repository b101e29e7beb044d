"""Demultiplexing and the verbs of the endpoint."""

import pytest

from ferrule.core.reasons import Reason
from ferrule.ike.effects import (
    IkeDropped,
    IkeFailed,
    SendIke,
)
from ferrule.ike.header import parse_header
from ferrule.ike.iana import ExchangeType, NotifyType
from support.ike import Link, endpoint, first_message, notify_kind


def test_ikev2() -> None:
    path, message = first_message(Link())
    two = bytearray(message)
    two[17], two[18] = 0x20, 34
    ike = endpoint(9)
    effects = ike.receive(path, bytes(two), 1.0)
    assert [type(effect) for effect in effects] == [SendIke, IkeDropped]
    assert effects[1].reason is Reason.IKE_VERSION  # type: ignore[union-attr]
    assert notify_kind(effects[0].message) == NotifyType.INVALID_MAJOR_VERSION  # type: ignore[union-attr]
    two[8:16] = b"a cookie"
    effects = ike.receive(path, bytes(two), 1.0)
    assert [type(effect) for effect in effects] == [IkeDropped]


@pytest.mark.parametrize("exchange", [1, 3, 5, 6, 7, 32, 33, 34, 200, 255])
def test_other_exchanges_out_of_the_blue_are_dropped(exchange: int) -> None:
    path, message = first_message(Link())
    other = bytearray(message)
    other[18] = exchange
    effects = endpoint(9).receive(path, bytes(other), 1.0)
    assert [type(effect) for effect in effects] == [IkeDropped]
    expected = Reason.XAUTH if exchange == 6 else Reason.EXCHANGE_TYPE
    assert effects[0].reason is expected  # type: ignore[union-attr]


def test_no_reply_to_an_unknown_cookie() -> None:
    path, message = first_message(Link())
    effects = endpoint(9).receive(path, message[:8] + b"whatever" + message[16:], 1.0)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.UNKNOWN_COOKIE  # type: ignore[union-attr]


@pytest.mark.parametrize("octets", [0, 1, 27])
def test_what_is_shorter_than_a_header(octets: int) -> None:
    path, message = first_message(Link())
    effects = endpoint(9).receive(path, message[:octets], 1.0)
    assert effects[0].reason is Reason.NOT_IKE  # type: ignore[union-attr]


def test_aggressive_mode() -> None:
    path, message = first_message(Link())
    header = parse_header(message)
    aggressive = bytearray(message)
    aggressive[18] = ExchangeType.AGGRESSIVE
    effects = endpoint(9).receive(path, bytes(aggressive), 1.0)
    assert [type(effect) for effect in effects] == [SendIke, IkeFailed]
    assert effects[1].reason is Reason.AGGRESSIVE_MODE  # type: ignore[union-attr]
    reply = effects[0].message  # type: ignore[union-attr]
    assert notify_kind(reply) == NotifyType.NO_PROPOSAL_CHOSEN
    assert parse_header(reply).icookie == header.icookie
    assert len(reply) <= len(message)
