from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from ferrule.core.tables import Verdict
from ferrule.ppp.automaton import TABLE, TIMED, Action, Event, State, step

PRINTED = json.loads((Path(__file__).parents[2] / "vectors" / "rfc1661.json").read_text())["table"]


@pytest.mark.parametrize("event", list(Event), ids=lambda e: e.name)
def test_the_table_is_the_printed_one(event: Event) -> None:
    cells = PRINTED[event.value]
    assert len(cells) == len(State)
    for state, printed in zip(State, cells, strict=True):
        if printed == "-":
            assert isinstance(TABLE.lookup(state, event), Verdict)
            continue
        actions, following = step(state, event)
        text = ",".join(action.value for action in actions)
        cell = f"{text}/{following.value}" if text else str(following.value)
        assert cell == printed.rstrip("rpx"), f"{state.name}/{event.name}"


@pytest.mark.parametrize("state", list(State), ids=lambda s: s.name)
@pytest.mark.parametrize("event", list(Event), ids=lambda e: e.name)
def test_every_cell_is_consistent(state: State, event: Event) -> None:
    """RFC 1661 4.4 and 4.6, as rules over the cells instead of a second copy of the table."""
    actions, following = step(state, event)
    if isinstance(TABLE.lookup(state, event), Verdict):
        assert (actions, following) == ((), state)
        return
    assert (Action.TLU in actions) == (following is State.OPENED and state is not State.OPENED)
    assert (Action.TLD in actions) == (state is State.OPENED and following is not State.OPENED)
    if Action.SCR in actions or Action.STR in actions:
        assert following in TIMED
    if Action.SCA in actions:
        assert event is Event.RCR_PLUS
    if Action.SCN in actions:
        assert event is Event.RCR_MINUS
    assert (Action.SCJ in actions) == (event is Event.RUC)
    assert (Action.SER in actions) == (event is Event.RXR and state is State.OPENED)


def test_the_impossible_cells_are_those_of_the_rfc() -> None:
    refused = {
        (state, event)
        for state, event in itertools.product(State, Event)
        if isinstance(TABLE.lookup(state, event), Verdict)
    }
    lower_down = {State.INITIAL, State.STARTING}
    administrative = {Event.UP, Event.DOWN, Event.OPEN, Event.CLOSE}
    timeouts = {Event.TO_PLUS, Event.TO_MINUS}
    expected = {(s, e) for s in lower_down for e in Event if e not in administrative}
    expected |= {(s, e) for s in State for e in timeouts if s not in TIMED}
    expected |= {(s, Event.DOWN) for s in lower_down}
    expected |= {(s, Event.UP) for s in State if s not in {State.INITIAL, State.STARTING}}
    assert refused == expected


A, S, E = Action, State, Event


@pytest.mark.parametrize(
    ("state", "event", "actions", "following"),
    [
        (S.STARTING, E.UP, (A.IRC, A.SCR), S.REQ_SENT),
        (S.REQ_SENT, E.RCR_PLUS, (A.SCA,), S.ACK_SENT),
        (S.REQ_SENT, E.RCR_MINUS, (A.SCN,), S.REQ_SENT),
        (S.REQ_SENT, E.RCA, (A.IRC,), S.ACK_RCVD),
        (S.ACK_RCVD, E.RCR_PLUS, (A.SCA, A.TLU), S.OPENED),
        (S.ACK_RCVD, E.RCR_MINUS, (A.SCN,), S.ACK_RCVD),
        (S.ACK_RCVD, E.TO_PLUS, (A.SCR,), S.REQ_SENT),
        (S.ACK_RCVD, E.RCA, (A.SCR,), S.REQ_SENT),
        (S.ACK_SENT, E.RCA, (A.IRC, A.TLU), S.OPENED),
        (S.ACK_SENT, E.RCN, (A.IRC, A.SCR), S.ACK_SENT),
        (S.ACK_SENT, E.RCR_MINUS, (A.SCN,), S.REQ_SENT),
        (S.OPENED, E.RCR_PLUS, (A.TLD, A.SCR, A.SCA), S.ACK_SENT),
        (S.OPENED, E.RTR, (A.TLD, A.ZRC, A.STA), S.STOPPING),
        (S.OPENED, E.CLOSE, (A.TLD, A.IRC, A.STR), S.CLOSING),
        (S.CLOSING, E.TO_MINUS, (A.TLF,), S.CLOSED),
        (S.STOPPED, E.RCR_PLUS, (A.IRC, A.SCR, A.SCA), S.ACK_SENT),
        (S.CLOSED, E.RCR_PLUS, (A.STA,), S.CLOSED),
    ],
)
def test_cells_that_matter_most(
    state: State, event: Event, actions: tuple[Action, ...], following: State
) -> None:
    assert step(state, event) == (actions, following)
