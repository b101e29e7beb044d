"""A transition table is complete, or the module that has it can't be imported."""

from __future__ import annotations

from enum import Enum

import pytest

from ferrule.core.tables import Row, TransitionTable, Verdict


class State(Enum):
    DOWN = 0
    UP = 1


class Trigger(Enum):
    OPEN = 0
    CLOSE = 1


ROW = Row(State.DOWN, Trigger.OPEN, "on_open", State.UP, "RFC 0 1")


def table(*rows: Row[State, Trigger, str]) -> TransitionTable[State, Trigger, str]:
    return TransitionTable(
        "test", State, Trigger, rows,
        ignored={State.DOWN: [Trigger.CLOSE]}, refused={State.UP: [Trigger.OPEN]},
    )  # fmt: skip


def test_lookup_gives_the_row_or_the_verdict() -> None:
    one = table(ROW, Row(State.UP, Trigger.CLOSE, "on_close", State.DOWN, "RFC 0 2"))
    assert one.lookup(State.DOWN, Trigger.OPEN) is ROW
    assert one.lookup(State.DOWN, Trigger.CLOSE) is Verdict.IGNORED
    assert one.lookup(State.UP, Trigger.OPEN) is Verdict.REFUSED


def test_a_hole_is_found() -> None:
    with pytest.raises(ValueError, match="no row and no verdict for UP/CLOSE"):
        table(ROW)


def test_a_second_row_for_a_cell_is_found() -> None:
    with pytest.raises(ValueError, match="DOWN/OPEN stands twice"):
        table(ROW, ROW)
