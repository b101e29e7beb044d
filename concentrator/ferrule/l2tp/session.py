"""An incoming call (RFC 2661 5.2 and 7.4), LNS and LAC: from ICRQ to CDN.

A session lives in a tunnel, which orders its messages and sends what it says. Outgoing calls do not
exist here: the tunnel refuses OCRQ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from ferrule.core.deadlines import Deadline
from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable, Verdict
from ferrule.l2tp.avp import AvpFault
from ferrule.l2tp.effects import L2tpDropped, L2tpEffect, SessionDown, SessionUp
from ferrule.l2tp.messages import Cdn, Iccn, Icrp, Icrq, Message, MessageType
from ferrule.l2tp.result_codes import Closes, code_for, describe, describe_ppp_cause

SETUP_SECONDS: Final = 60.0  # from ICRQ to ICCN; beyond it the call is given up
TX_CONNECT_SPEED: Final = 100_000_000  # bits a second; means nothing on a path of IP
FRAMING_SYNC: Final = 1
_UNKNOWN: Final = SessionId(0)


class SessionState(Enum):
    """RFC 2661 7.4.1 and 7.4.2."""

    IDLE = "idle"
    WAIT_REPLY = "wait-reply"  # LAC: ICRQ is out
    WAIT_CONNECT = "wait-connect"  # LNS: ICRP is out
    ESTABLISHED = "established"
    CLEARED = "cleared"


class SessionTrigger(Enum):
    """Messages of the peer, then our own events."""

    ICRQ = "ICRQ"
    ICRP = "ICRP"
    ICCN = "ICCN"
    CDN = "CDN"
    OUTGOING = "OCRQ, OCRP, OCCN"
    NEWS = "WEN, SLI"
    FAULT = "message with a fault"
    OPEN = "open"
    CLOSE = "close"
    TUNNEL_DOWN = "tunnel is down"
    SETUP_OVER = "set-up took too long"


TRIGGERS: Final = {
    MessageType.ICRQ: SessionTrigger.ICRQ,
    MessageType.ICRP: SessionTrigger.ICRP,
    MessageType.ICCN: SessionTrigger.ICCN,
    MessageType.CDN: SessionTrigger.CDN,
    MessageType.OCRQ: SessionTrigger.OUTGOING,
    MessageType.OCRP: SessionTrigger.OUTGOING,
    MessageType.OCCN: SessionTrigger.OUTGOING,
    MessageType.WEN: SessionTrigger.NEWS,
    MessageType.SLI: SessionTrigger.NEWS,
}


@dataclass(frozen=True, slots=True)
class Say:
    """Send `message` to the peer; `session` is the id in its header."""

    session: int
    message: Message


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a machine is closed from outside."""

    reason: Reason
    detail: str = ""


SessionEvent: TypeAlias = Message | AvpFault | Ending | None
SessionOutput: TypeAlias = L2tpEffect | Say


@dataclass(slots=True)
class Session:
    """One call. `seconds` in its effects count from `since`."""

    tunnel: TunnelId
    session: SessionId
    peer_tunnel: TunnelId
    call_serial_number: int
    since: float
    wants_sequencing: bool = False  # as LAC, from the policy
    state: SessionState = SessionState.IDLE
    peer_session: SessionId = _UNKNOWN  # until ICRQ or ICRP
    sequencing: bool = False
    setup_until: float | None = None

    # --- verbs ---------------------------------------------------------------------------

    def receive(
        self, kind: MessageType, message: Message | AvpFault, now: float
    ) -> list[SessionOutput]:
        """A message for this session, or the fault in it."""
        faulty = isinstance(message, AvpFault)
        return self._pull(SessionTrigger.FAULT if faulty else TRIGGERS[kind], message, now)

    def open(self, now: float) -> list[SessionOutput]:
        """LAC: place the call."""
        return self._pull(SessionTrigger.OPEN, None, now)

    def expire(self, now: float) -> list[SessionOutput]:
        if self.setup_until is None or now < self.setup_until:
            return []
        self.setup_until = None
        return self._pull(SessionTrigger.SETUP_OVER, None, now)

    def close(self, reason: Reason, detail: str, now: float) -> list[SessionOutput]:
        """Say goodbye with CDN."""
        return self._pull(SessionTrigger.CLOSE, Ending(reason, detail), now)

    def lose_tunnel(self, reason: Reason, detail: str, now: float) -> list[SessionOutput]:
        """The tunnel is gone, and with it the way to say goodbye."""
        return self._pull(SessionTrigger.TUNNEL_DOWN, Ending(reason, detail), now)

    @property
    def deadline(self) -> Deadline | None:
        return None if self.setup_until is None else Deadline(self.setup_until, "call set-up")

    def _pull(
        self, trigger: SessionTrigger, event: SessionEvent, now: float
    ) -> list[SessionOutput]:
        cell = SESSION_TABLE.lookup(self.state, trigger)
        if cell is Verdict.IGNORED:
            return []
        if isinstance(cell, Verdict):
            detail = f"{trigger.value} in session {self.session} which is {self.state.value}"
            return [L2tpDropped(Reason.L2TP_UNEXPECTED, detail)]
        if cell.next is not None:
            self.state = cell.next
        return cell.handler(self, event, now)

    # --- handlers ------------------------------------------------------------------------

    def on_open(self, _event: SessionEvent, now: float) -> list[SessionOutput]:
        self.setup_until = now + SETUP_SECONDS
        return [Say(0, Icrq(self.session, self.call_serial_number))]

    def on_icrq(self, event: SessionEvent, now: float) -> list[SessionOutput]:
        assert isinstance(event, Icrq)
        self.peer_session = SessionId(event.assigned_session_id)
        self.setup_until = now + SETUP_SECONDS
        return [Say(self.peer_session, Icrp(self.session))]

    def on_icrp(self, event: SessionEvent, now: float) -> list[SessionOutput]:
        assert isinstance(event, Icrp)
        self.peer_session = SessionId(event.assigned_session_id)
        self.sequencing = self.wants_sequencing
        connected = Iccn(TX_CONNECT_SPEED, FRAMING_SYNC, sequencing_required=self.sequencing)
        return [Say(self.peer_session, connected), self._up(now)]

    def on_iccn(self, event: SessionEvent, now: float) -> list[SessionOutput]:
        assert isinstance(event, Iccn)
        self.sequencing = event.sequencing_required
        return [self._up(now)]

    def on_cdn(self, event: SessionEvent, now: float) -> list[SessionOutput]:
        assert isinstance(event, Cdn)
        detail = describe(Closes.SESSION, event.result_code)
        if cause := describe_ppp_cause(event.ppp_disconnect_cause or b""):
            detail = f"{detail}; {cause}"
        # As LAC we know a peer session only after ICRP: without one the call was refused.
        refused = not self.peer_session
        return self._down(Reason.L2TP_REFUSED if refused else Reason.PEER_CLOSED, detail)

    def on_close(self, event: SessionEvent, _now: float) -> list[SessionOutput]:
        assert isinstance(event, Ending)
        return self._goodbye(event.reason, event.detail)

    def on_tunnel_down(self, event: SessionEvent, _now: float) -> list[SessionOutput]:
        assert isinstance(event, Ending)
        return self._down(event.reason, event.detail)

    def on_fault(self, event: SessionEvent, _now: float) -> list[SessionOutput]:
        assert isinstance(event, AvpFault)
        return self._goodbye(event.reason, event.detail)

    def on_improper(self, event: SessionEvent, _now: float) -> list[SessionOutput]:
        return self._goodbye(Reason.L2TP_UNEXPECTED, f"improper {type(event).__name__.upper()}")

    def on_setup_over(self, _event: SessionEvent, _now: float) -> list[SessionOutput]:
        return self._goodbye(Reason.L2TP_TIMEOUT, f"no connection in {SETUP_SECONDS:.0f} s")

    # --- outputs -------------------------------------------------------------------------

    def _up(self, now: float) -> SessionUp:
        self.setup_until = None
        return SessionUp(
            self.tunnel,
            self.session,
            self.peer_tunnel,
            self.peer_session,
            self.sequencing,
            now - self.since,
        )

    def _goodbye(self, reason: Reason, detail: str) -> list[SessionOutput]:
        code = code_for(Closes.SESSION, reason)
        told = f"we sent {describe(Closes.SESSION, code)}"
        said = Say(self.peer_session, Cdn(code, self.session))
        return [said, *self._down(reason, f"{detail}; {told}" if detail else told)]

    def _down(self, reason: Reason, detail: str) -> list[SessionOutput]:
        self.setup_until = None
        return [SessionDown(self.tunnel, self.session, reason, detail)]


SessionHandler: TypeAlias = Callable[[Session, SessionEvent, float], list[SessionOutput]]

S, T = SessionState, SessionTrigger


def _row(
    state: SessionState,
    trigger: SessionTrigger,
    handler: SessionHandler,
    following: SessionState,
    section: str,
) -> Row[SessionState, SessionTrigger, SessionHandler]:
    return Row(state, trigger, handler, following, f"RFC 2661 {section}")


_ALIVE = (S.WAIT_REPLY, S.WAIT_CONNECT, S.ESTABLISHED)

SESSION_TABLE: Final = TransitionTable[SessionState, SessionTrigger, SessionHandler](
    "session",
    SessionState,
    SessionTrigger,
    [
        _row(S.IDLE, T.OPEN, Session.on_open, S.WAIT_REPLY, "7.4.1"),
        _row(S.IDLE, T.ICRQ, Session.on_icrq, S.WAIT_CONNECT, "7.4.2"),
        _row(S.WAIT_REPLY, T.ICRP, Session.on_icrp, S.ESTABLISHED, "7.4.1"),
        _row(S.WAIT_REPLY, T.ICRQ, Session.on_improper, S.CLEARED, "7.4.1"),
        _row(S.WAIT_REPLY, T.ICCN, Session.on_improper, S.CLEARED, "7.4.1"),
        _row(S.WAIT_REPLY, T.SETUP_OVER, Session.on_setup_over, S.CLEARED, "7.4.1"),
        _row(S.WAIT_CONNECT, T.ICCN, Session.on_iccn, S.ESTABLISHED, "7.4.2"),
        _row(S.WAIT_CONNECT, T.ICRQ, Session.on_improper, S.CLEARED, "7.4.2"),
        _row(S.WAIT_CONNECT, T.ICRP, Session.on_improper, S.CLEARED, "7.4.2"),
        _row(S.WAIT_CONNECT, T.SETUP_OVER, Session.on_setup_over, S.CLEARED, "7.4.2"),
        _row(S.ESTABLISHED, T.ICRQ, Session.on_improper, S.CLEARED, "7.4.1"),
        _row(S.ESTABLISHED, T.ICRP, Session.on_improper, S.CLEARED, "7.4.1"),
        _row(S.ESTABLISHED, T.ICCN, Session.on_improper, S.CLEARED, "7.4.1"),
        *(_row(state, T.CDN, Session.on_cdn, S.CLEARED, "5.7") for state in _ALIVE),
        *(_row(state, T.OUTGOING, Session.on_improper, S.CLEARED, "7.4") for state in _ALIVE),
        *(_row(state, T.FAULT, Session.on_fault, S.CLEARED, "7.1") for state in _ALIVE),
        *(_row(state, T.CLOSE, Session.on_close, S.CLEARED, "5.7") for state in _ALIVE),
        *(_row(state, T.TUNNEL_DOWN, Session.on_tunnel_down, S.CLEARED, "5.7") for state in _ALIVE),
    ],
    ignored={
        S.IDLE: (T.CLOSE, T.TUNNEL_DOWN, T.SETUP_OVER),
        S.WAIT_REPLY: (T.NEWS,),
        S.WAIT_CONNECT: (T.NEWS,),
        S.ESTABLISHED: (T.NEWS, T.SETUP_OVER),
        S.CLEARED: tuple(T),
    },
    refused={
        S.IDLE: (T.ICRP, T.ICCN, T.CDN, T.OUTGOING, T.NEWS, T.FAULT),
        S.WAIT_REPLY: (T.OPEN,),
        S.WAIT_CONNECT: (T.OPEN,),
        S.ESTABLISHED: (T.OPEN,),
    },
)
del S, T
