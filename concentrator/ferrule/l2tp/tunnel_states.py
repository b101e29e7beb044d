"""The words of a control connection's state table (RFC 2661 7.2): roles, states, triggers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from ferrule.l2tp.avp import AvpFault
from ferrule.l2tp.messages import SESSION_MESSAGES, Message, MessageType
from ferrule.l2tp.session import Ending


class Role(Enum):
    """What we are in a tunnel: the initiator is the LAC, it places the calls."""

    LNS = "LNS"
    LAC = "LAC"


class TunnelState(Enum):
    """RFC 2661 7.2.1, and what is left of a tunnel after its end."""

    IDLE = "idle"
    WAIT_CTL_REPLY = "wait-ctl-reply"  # LAC: SCCRQ is out
    WAIT_CTL_CONN = "wait-ctl-conn"  # LNS: SCCRP is out
    ESTABLISHED = "established"
    CLOSING = "closing"  # StopCCN is out, not acknowledged yet
    LINGERING = "lingering"  # over; acknowledges what comes late
    GONE = "gone"


class TunnelTrigger(Enum):
    """Messages of the peer, then our own events."""

    SCCRQ = "SCCRQ"
    SCCRP = "SCCRP"
    SCCCN = "SCCCN"
    STOPCCN = "StopCCN"
    HELLO = "Hello"
    CALL = "message for a session"
    FAULT = "message with a fault"
    OPEN = "open"
    CLOSE = "close"
    REPLACED = "the peer started anew"
    ALL_ACKNOWLEDGED = "everything is acknowledged"
    TIMEOUT = "a message was not acknowledged"
    SETUP_OVER = "set-up took too long"
    SILENCE = "nothing came for hello_seconds"
    LINGER_OVER = "lingering is over"


TRIGGERS: Final = {
    MessageType.SCCRQ: TunnelTrigger.SCCRQ,
    MessageType.SCCRP: TunnelTrigger.SCCRP,
    MessageType.SCCCN: TunnelTrigger.SCCCN,
    MessageType.STOPCCN: TunnelTrigger.STOPCCN,
    MessageType.HELLO: TunnelTrigger.HELLO,
    **dict.fromkeys(SESSION_MESSAGES, TunnelTrigger.CALL),
}
SETUP_TIMER: Final = "tunnel set-up"
HELLO_TIMER: Final = "hello"
LINGER_TIMER: Final = "linger"
TIMERS: Final = {
    SETUP_TIMER: TunnelTrigger.SETUP_OVER,
    HELLO_TIMER: TunnelTrigger.SILENCE,
    LINGER_TIMER: TunnelTrigger.LINGER_OVER,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A message for a session, or the fault in it; `session` is that of the header."""

    session: int
    kind: MessageType
    message: Message | None
    fault: AvpFault | None


TunnelEvent: TypeAlias = Message | Call | AvpFault | Ending | None
