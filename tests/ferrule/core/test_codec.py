"""The reader never over-reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

WHY = Reason.IKE_MALFORMED


def test_fields_in_order() -> None:
    reader = Reader(bytes(range(1, 12)), WHY)
    assert (reader.u8(), reader.u16(), reader.u32()) == (1, 0x0203, 0x04050607)
    assert reader.left == 4
    assert reader.take(1) == b"\x08"
    assert reader.rest() == b"\x09\x0a\x0b"
    reader.finish()


@pytest.mark.parametrize("read", ["u8", "u16", "u32"])
def test_too_short_is_malformed(read: str) -> None:
    with pytest.raises(Malformed) as caught:
        getattr(Reader(b"", WHY), read)()
    assert caught.value.reason is WHY


def test_octets_too_many_are_malformed() -> None:
    with pytest.raises(Malformed, match="1 octets too many"):
        Reader(b"x", WHY).finish()


@given(st.binary(max_size=40), st.lists(st.integers(-5, 50), max_size=10))
def test_what_is_taken_is_a_prefix(data: bytes, sizes: list[int]) -> None:
    reader = Reader(data, WHY)
    taken = b""
    for size in sizes:
        if 0 <= size <= reader.left:
            taken += reader.take(size)
        else:
            with pytest.raises(Malformed):
                reader.take(size)
    assert data.startswith(taken)
    assert reader.left == len(data) - len(taken)
