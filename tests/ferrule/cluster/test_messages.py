"""The rarer words between members: what is built parses, noise does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrule.cluster.messages import (
    Ending,
    EndSessions,
    HandOver,
    Try,
    build_end_sessions,
    build_hand_over,
    build_sessions_ended,
    build_to_address,
    build_try,
    parse_end_sessions,
    parse_hand_over,
    parse_sessions_ended,
    parse_to_address,
    parse_try,
)
from ferrule.cluster.relay import Relayed
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason

PATH = Path(Address("192.0.2.9", 4500), Address("10.0.0.1", 4500), True, "pod-1")
NUMBERS = st.integers(0, 2**32 - 1)


@given(
    st.integers(0, 2**64 - 1), st.integers(0, 1023), st.binary(min_size=8, max_size=8),
    st.binary(max_size=300), st.binary(max_size=100),
)  # fmt: skip
def test_a_hand_over(epoch: int, shard: int, uid: bytes, blob: bytes, datagram: bytes) -> None:
    one = HandOver(epoch, shard, uid.hex(), blob, Relayed(0, epoch & 0xFFFFFFFF, PATH, datagram))
    assert parse_hand_over(build_hand_over(one)) == one


@given(NUMBERS, st.sampled_from(Ending), st.text(max_size=60), st.sampled_from(Reason))
def test_sessions_to_be_ended(ask: int, what: Ending, name: str, reason: Reason) -> None:
    one = EndSessions(ask, what, name, reason)
    assert parse_end_sessions(build_end_sessions(one)) == one


@given(NUMBERS, NUMBERS)
def test_sessions_that_ended(ask: int, count: int) -> None:
    assert parse_sessions_ended(build_sessions_ended(ask, count)) == (ask, count)


@given(st.booleans(), st.text(max_size=45), st.text(max_size=255))
def test_a_password_that_was_tried(right: bool, source: str, username: str) -> None:
    one = Try(right, source, username)
    assert parse_try(build_try(one)) == one


@given(st.booleans(), st.binary(max_size=40))
def test_an_inner_packet(from_client: bool, packet: bytes) -> None:
    body = build_to_address(packet, from_client=from_client)
    assert parse_to_address(body) == (from_client, packet)


@pytest.mark.parametrize(
    "parse",
    [parse_hand_over, parse_end_sessions, parse_sessions_ended, parse_to_address, parse_try],
)
@given(noise=st.binary(max_size=60))
def test_noise_is_malformed_or_means_something(parse: Callable[[bytes], Any], noise: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert parse(noise) is not None


def test_what_another_version_would_say() -> None:
    wish = build_end_sessions(EndSessions(1, Ending.USER, "ada", Reason.ADMIN_KICK))
    for changed in (wish.replace(b"admin_kick", b"admin_pick"), b"\0" * 4 + b"\x09" + wish[5:]):
        with pytest.raises(Malformed, match="another version"):
            parse_end_sessions(changed)
    with pytest.raises(Malformed, match="a name"):
        parse_end_sessions(wish + b"x" * 2000)
    with pytest.raises(Malformed, match="shard 1024"):
        parse_hand_over(bytes(8) + b"\x04\x00" + bytes(20))
