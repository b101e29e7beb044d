"""The window against a model that remembers everything."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.esp.window import ReplayWindow

SIZE = 64
near = st.integers(0, 400)
anywhere = st.integers(0, 0xFFFFFFFF)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.lists(near | anywhere, max_size=120))
def test_like_a_set_of_what_came(top: int, sequences: list[int]) -> None:
    window = ReplayWindow(top, SIZE)
    seen: set[int] = set()
    highest = top
    for sequence in sequences:
        new = sequence > highest or (
            sequence > top and sequence not in seen and highest - sequence < SIZE
        )
        assert window.check(sequence) is new
        if new:
            window.update(sequence)
            seen.add(sequence)
            highest = max(highest, sequence)
        assert window.top == highest
        assert window.bits.bit_length() <= SIZE
