"""The Internet checksum against RFC 1071's own loop, and its update in place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.checksum import internet_checksum, updated_checksum


def by_the_book(data: bytes) -> int:
    """RFC 1071 4.1."""
    total = 0
    for at in range(0, len(data) - 1, 2):
        total += data[at] << 8 | data[at + 1]
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0xFFFF),
        (bytes(20), 0xFFFF),
        (b"\xff\xff", 0),
        (b"\xff" * 20, 0),
        (bytes.fromhex("0001f203f4f5f6f7"), 0x220D),  # RFC 1071 3
        (bytes.fromhex("4500003044224000800600008c7c19acae241e2b"), 0x442E),
    ],
)
def test_known_sums(data: bytes, checksum: int) -> None:
    assert internet_checksum(data) == checksum == by_the_book(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.lists(st.sampled_from([0, 255]), max_size=9).map(bytes))
def test_like_the_book(data: bytes) -> None:
    assert internet_checksum(data) == by_the_book(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=8, max_size=40).map(lambda d: d[: len(d) // 2 * 2]), st.data())
def test_an_update_is_like_a_new_sum(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) // 2 - 1)) * 2
    new = draw.draw(st.integers(0, 0xFFFF))
    changed = data[:at] + new.to_bytes(2, "big") + data[at + 2 :]
    updated = updated_checksum(
        internet_checksum(data), int.from_bytes(data[at : at + 2], "big"), new
    )
    # RFC 1624 3: all zeros and all ones are both zero; only data of zeros tells them apart.
    assert updated % 0xFFFF == internet_checksum(changed) % 0xFFFF
