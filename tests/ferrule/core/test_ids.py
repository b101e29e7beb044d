"""Addresses as text."""

from __future__ import annotations

import pytest

from ferrule.core.ids import Address


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (Address("192.0.2.1", 500), "192.0.2.1:500"),
        (Address("2001:db8::1", 4500), "[2001:db8::1]:4500"),
        (Address("", 0), ":0"),
    ],
)
def test_text(address: Address, text: str) -> None:
    assert str(address) == text
