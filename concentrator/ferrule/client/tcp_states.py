"""The words of the small TCP: its states, what moves them, and its effects (RFC 9293 3.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(slots=True)
class SendPacket:
    """Send this IPv4 packet."""

    packet: bytes


@dataclass(slots=True)
class Connected:
    """The handshake is done, `seconds` after `open`."""

    seconds: float


@dataclass(slots=True)
class Received:
    """The next octets of the stream."""

    data: bytes


@dataclass(slots=True)
class PeerFinished:
    """The peer will send no more."""


@dataclass(slots=True)
class Closed:
    """The connection is over. `detail` is "" if both sides closed it in good order."""

    detail: str


TcpEffect: TypeAlias = SendPacket | Connected | Received | PeerFinished | Closed


class State(Enum):
    """RFC 9293 3.3.2, without LISTEN and SYN-RECEIVED."""

    SYN_SENT = "syn-sent"
    ESTABLISHED = "established"
    FIN_WAIT_1 = "fin-wait-1"
    FIN_WAIT_2 = "fin-wait-2"
    CLOSING = "closing"
    TIME_WAIT = "time-wait"
    CLOSE_WAIT = "close-wait"
    LAST_ACK = "last-ack"
    CLOSED = "closed"


class Trigger(Enum):
    """What moves the state; data and acknowledgments alone don't."""

    SYN_ACK = "syn-ack"
    CLOSE = "close"  # asked by us
    FIN_ACKED = "fin-acked"
    PEER_FIN = "peer-fin"
    RESET = "reset"
    WAIT_OVER = "wait-over"  # a timer of a state that sends nothing
    GIVE_UP = "give-up"  # retransmissions are exhausted, or `abort`
