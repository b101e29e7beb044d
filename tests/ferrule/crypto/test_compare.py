"""Equality of octets, whatever differs and wherever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.crypto.compare import equal


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_agrees_with_plain_equality(a: bytes, b: bytes) -> None:
    assert equal(a, b) == (a == b)
    assert equal(a, bytes(bytearray(a)))


@pytest.mark.parametrize("at", [0, 7, 15])
def test_one_bit_anywhere_makes_a_difference(at: int) -> None:
    octets = bytes(range(16))
    changed = octets[:at] + bytes((octets[at] ^ 1,)) + octets[at + 1 :]
    assert not equal(octets, changed)


def test_a_prefix_is_not_equal() -> None:
    assert not equal(bytes(12), bytes(16))
    assert not equal(b"", b"\0")
