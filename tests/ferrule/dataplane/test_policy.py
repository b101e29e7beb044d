"""Prefix look-up against the standard library, and the token bucket."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.dataplane.interface import Policy
from ferrule.dataplane.policy import (
    CompiledPolicy,
    TokenBucket,
    compile_prefixes,
    covers,
    rate_bucket,
)

addresses = st.integers(0, 0xFFFFFFFF)
networks = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    addresses,
    st.integers(0, 32),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(networks, max_size=8), st.lists(addresses, max_size=8))
def test_prefixes_like_ipaddress(listed: list[IPv4Network], asked: list[int]) -> None:
    prefixes = compile_prefixes(tuple(listed))
    edges = [int(network[index]) for network in listed for index in (0, -1)]
    near = [(edge + step) & 0xFFFFFFFF for edge in edges for step in (-1, 0, 1)]
    for address in asked + near:
        wanted = any(IPv4Address(address) in network for network in listed)
        assert covers(prefixes, address) is wanted


def test_equal_lists_share_their_compiled_form() -> None:
    policies = [Policy(denied=(IPv4Network("10.0.0.0/8"),)) for _ in range(2)]
    assert compile_prefixes(policies[0].denied) is compile_prefixes(policies[1].denied)


@pytest.mark.parametrize(
    ("first", "reached"),
    [(0, False), (1, True), (10, True), (127, False), (223, True), (224, False), (255, False)],
)
def test_what_is_no_host_is_never_reached(first: int, reached: bool) -> None:
    policy = CompiledPolicy(Policy(), 0.0)
    assert policy.reaches(bytes((first, 0, 0, 1))) is reached


def test_no_rate_no_bucket() -> None:
    assert rate_bucket(0, 0.0) is None


def test_a_bucket_holds_its_rate_and_never_blocks_what_exceeds_its_burst() -> None:
    bucket = TokenBucket(rate=10, burst=5, now=0.0)
    assert bucket.take(50, 0.0)
    assert not bucket.take(1, 4.5)  # 45 of the debt of 45 are paid
    assert bucket.take(1, 4.6)
    assert bucket.take(1, 1000.0)
    assert [bucket.take(1, 1000.0) for _ in range(6)] == [True] * 4 + [False] * 2


def test_a_bucket_without_rate_or_burst_lets_nothing_through() -> None:
    bucket = TokenBucket(rate=0, burst=0, now=0.0)
    assert not bucket.take(1, 100.0)
