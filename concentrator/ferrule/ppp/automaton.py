"""The option negotiation automaton (RFC 1661 4), shared by LCP and IPCP.

The grid below is the state transition table of section 4.1, cell by cell. The restart option
(footnote r) and the passive option (p) are not taken; footnote x, a crossed connection, is what
the cell does anyway. Sending and timers are left to `negotiation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, TypeAlias

from ferrule.core.tables import Row, TransitionTable, Verdict


class State(Enum):
    """RFC 1661 4.2; the values are the RFC's numbers."""

    INITIAL = 0
    STARTING = 1
    CLOSED = 2
    STOPPED = 3
    CLOSING = 4
    STOPPING = 5
    REQ_SENT = 6
    ACK_RCVD = 7
    ACK_SENT = 8
    OPENED = 9


class Event(Enum):
    """RFC 1661 4.3."""

    UP = "Up"
    DOWN = "Down"
    OPEN = "Open"
    CLOSE = "Close"
    TO_PLUS = "TO+"  # time-out with the restart counter above zero
    TO_MINUS = "TO-"  # time-out with the restart counter at zero
    RCR_PLUS = "RCR+"  # Configure-Request that is good
    RCR_MINUS = "RCR-"  # Configure-Request to nak or reject
    RCA = "RCA"
    RCN = "RCN"  # Configure-Nak or -Reject
    RTR = "RTR"
    RTA = "RTA"
    RUC = "RUC"  # unknown code
    RXJ_PLUS = "RXJ+"  # Code- or Protocol-Reject that can be lived with
    RXJ_MINUS = "RXJ-"  # Code- or Protocol-Reject that is fatal
    RXR = "RXR"  # Echo-Request, Echo-Reply, Discard-Request


class Action(Enum):
    """RFC 1661 4.4."""

    TLU = "tlu"  # this layer up
    TLD = "tld"  # this layer down
    TLS = "tls"  # this layer started
    TLF = "tlf"  # this layer finished
    IRC = "irc"  # initialise the restart counter
    ZRC = "zrc"  # zero the restart counter
    SCR = "scr"  # send Configure-Request
    SCA = "sca"  # send Configure-Ack
    SCN = "scn"  # send Configure-Nak or -Reject
    STR = "str"  # send Terminate-Request
    STA = "sta"  # send Terminate-Ack
    SCJ = "scj"  # send Code-Reject
    SER = "ser"  # send Echo-Reply


Actions: TypeAlias = tuple[Action, ...]

# RFC 1661 4.1. Columns: Initial Starting Closed Stopped Closing Stopping Req-Sent Ack-Rcvd
# Ack-Sent Opened. A cell is actions/next state; "-" cannot happen.
_GRID: Final[Mapping[Event, str]] = {
    Event.UP: "2 irc,scr/6 - - - - - - - -",
    Event.DOWN: "- - 0 tls/1 0 1 1 1 1 tld/1",
    Event.OPEN: "tls/1 1 irc,scr/6 3 5 5 6 7 8 9",
    Event.CLOSE: "0 tlf/0 2 2 4 4 irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4",
    Event.TO_PLUS: "- - - - str/4 str/5 scr/6 scr/6 scr/8 -",
    Event.TO_MINUS: "- - - - tlf/2 tlf/3 tlf/3 tlf/3 tlf/3 -",
    Event.RCR_PLUS: "- - sta/2 irc,scr,sca/8 4 5 sca/8 sca,tlu/9 sca/8 tld,scr,sca/8",
    Event.RCR_MINUS: "- - sta/2 irc,scr,scn/6 4 5 scn/6 scn/7 scn/6 tld,scr,scn/6",
    Event.RCA: "- - sta/2 sta/3 4 5 irc/7 scr/6 irc,tlu/9 tld,scr/6",
    Event.RCN: "- - sta/2 sta/3 4 5 irc,scr/6 scr/6 irc,scr/8 tld,scr/6",
    Event.RTR: "- - sta/2 sta/3 sta/4 sta/5 sta/6 sta/6 sta/6 tld,zrc,sta/5",
    Event.RTA: "- - 2 3 tlf/2 tlf/3 6 6 8 tld,scr/6",
    Event.RUC: "- - scj/2 scj/3 scj/4 scj/5 scj/6 scj/7 scj/8 scj/9",
    Event.RXJ_PLUS: "- - 2 3 4 5 6 6 8 9",
    Event.RXJ_MINUS: "- - tlf/2 tlf/3 tlf/2 tlf/3 tlf/3 tlf/3 tlf/3 tld,irc,str/5",
    Event.RXR: "- - 2 3 4 5 6 7 8 ser/9",
}


def _cells() -> Iterator[tuple[State, Event, str]]:
    for event, line in _GRID.items():
        for state, cell in zip(State, line.split(), strict=True):
            yield state, event, cell


def _row(state: State, event: Event, cell: str) -> Row[State, Event, Actions]:
    actions, _, following = cell.rpartition("/")
    names = actions.split(",") if actions else []
    section = "RFC 1661 4.1"
    return Row(state, event, tuple(map(Action, names)), State(int(following)), section)


def _refused() -> dict[State, list[Event]]:
    refused: dict[State, list[Event]] = {}
    for state, event, cell in _cells():
        if cell == "-":
            refused.setdefault(state, []).append(event)
    return refused


TABLE: Final[TransitionTable[State, Event, Actions]] = TransitionTable(
    "ppp.automaton",
    State,
    Event,
    [_row(state, event, cell) for state, event, cell in _cells() if cell != "-"],
    refused=_refused(),
)

# RFC 1661 4.6: the states in which the restart timer runs.
TIMED: Final = frozenset(
    {State.CLOSING, State.STOPPING, State.REQ_SENT, State.ACK_RCVD, State.ACK_SENT}
)


def step(state: State, event: Event) -> tuple[Actions, State]:
    """Actions and next state. An event that cannot happen in `state` does nothing."""
    cell = TABLE.lookup(state, event)
    if isinstance(cell, Verdict):
        return (), state
    return cell.handler, cell.next if cell.next is not None else state
