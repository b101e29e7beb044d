"""Transition tables: the RFC's state table *is* the code.

A table names, for each (state, trigger), a handler and the state it leads to, or says that the
trigger is ignored or refused there. What is missing is found at import, not at 3 a.m.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

S = TypeVar("S", bound=Enum)
T = TypeVar("T", bound=Enum)
H = TypeVar("H")


class Verdict(Enum):
    """What becomes of a trigger that has no row."""

    IGNORED = "ignored"  # legal there, and nothing to do
    REFUSED = "refused"  # not legal there: the machine answers or drops with a counted reason


@dataclass(frozen=True, slots=True)
class Row(Generic[S, T, H]):
    """In `state`, `trigger` runs `handler` and leads to `next` (None: the handler decides)."""

    state: S
    trigger: T
    handler: H
    next: S | None
    section: str  # "RFC 2409 5.4"


class TransitionTable(Generic[S, T, H]):
    """Rows plus verdicts, complete over states x triggers; raises ValueError at import if not."""

    def __init__(
        self,
        name: str,
        states: type[S],
        triggers: type[T],
        rows: Iterable[Row[S, T, H]],
        *,
        ignored: Mapping[S, Iterable[T]] | None = None,
        refused: Mapping[S, Iterable[T]] | None = None,
    ) -> None:
        self.name: Final = name
        self.rows: Final = tuple(rows)
        self._cells: dict[tuple[S, T], Row[S, T, H] | Verdict] = {}
        for row in self.rows:
            self._place(row.state, row.trigger, row)
        for verdict, cells in ((Verdict.IGNORED, ignored), (Verdict.REFUSED, refused)):
            for state, names in (cells or {}).items():
                for trigger in names:
                    self._place(state, trigger, verdict)
        missing = [
            f"{s.name}/{t.name}" for s in states for t in triggers if (s, t) not in self._cells
        ]
        if missing:
            raise ValueError(f"{name}: no row and no verdict for {', '.join(missing)}")

    def _place(self, state: S, trigger: T, cell: Row[S, T, H] | Verdict) -> None:
        if (state, trigger) in self._cells:
            raise ValueError(f"{self.name}: {state.name}/{trigger.name} stands twice")
        self._cells[(state, trigger)] = cell

    def lookup(self, state: S, trigger: T) -> Row[S, T, H] | Verdict:
        return self._cells[(state, trigger)]
