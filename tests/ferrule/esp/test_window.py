"""RFC 4303 3.4.3: what is new passes once, what is too old never."""

from __future__ import annotations

import pytest

from ferrule.esp.window import WINDOW_PACKETS, ReplayWindow


def accept(window: ReplayWindow, sequence: int) -> bool:
    if not window.check(sequence):
        return False
    window.update(sequence)
    return True


def test_the_window_is_wide_enough() -> None:
    assert WINDOW_PACKETS >= 1024


@pytest.mark.parametrize(
    ("sequences", "accepted"),
    [
        ([1, 2, 3], [True, True, True]),
        ([1, 1], [True, False]),
        ([0], [False]),
        ([3, 1, 2, 1, 3], [True, True, True, False, False]),
        ([5000, 5000 - 2047, 5000 - 2048], [True, True, False]),
        ([5000, 4000, 5001, 4000], [True, True, True, False]),
        ([0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1], [True, True, False, False]),
        ([10, 10 + 2048, 10, 11, 12], [True, True, False, True, True]),
        ([10, 10 + 2047, 10], [True, True, False]),
    ],
)
def test_sequences(sequences: list[int], accepted: list[bool]) -> None:
    window = ReplayWindow()
    assert [accept(window, sequence) for sequence in sequences] == accepted


def test_a_check_alone_changes_nothing() -> None:
    window = ReplayWindow()
    assert window.check(0xFFFFFFFF)
    assert window.top == 0
    assert accept(window, 1)


@pytest.mark.parametrize("top", [1, 100, 5000, 0xFFFFFFF0])
def test_a_taken_over_window_counts_everything_below_as_seen(top: int) -> None:
    window = ReplayWindow(top)
    assert not any(window.check(sequence) for sequence in (top, top - 1, top // 2, 0))
    assert window.check(top + 1)


def test_a_smaller_window_slides_alike() -> None:
    window = ReplayWindow(size=64)
    assert accept(window, 64)
    assert accept(window, 1)
    assert accept(window, 65)
    assert not accept(window, 1)
    assert window.bits < 1 << 64
