"""What an L2TP endpoint asks of the outside: a closed union, matched with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason


@dataclass(slots=True)
class SendL2tp:
    """Send a whole L2TP control message (the UDP payload)."""

    message: bytes


@dataclass(slots=True)
class TunnelUp:
    """SCCCN (as LNS) or SCCRP (as LAC) was accepted."""

    tunnel: TunnelId
    peer_tunnel: TunnelId
    peer_host_name: str
    peer_vendor: str
    seconds: float  # from SCCRQ to now


@dataclass(slots=True)
class TunnelDown:
    """The tunnel is over; each of its sessions got a SessionDown before."""

    tunnel: TunnelId
    reason: Reason
    detail: str  # result code and message, readable


@dataclass(slots=True)
class SessionUp:
    """ICCN was accepted (LNS) or sent (LAC): PPP may start.

    `sequencing`: data messages carry Ns/Nr. `framed_offset` never matters to the sender: we send
    no offset."""

    tunnel: TunnelId
    session: SessionId
    peer_tunnel: TunnelId
    peer_session: SessionId
    sequencing: bool
    seconds: float  # from ICRQ to now


@dataclass(slots=True)
class SessionDown:
    tunnel: TunnelId
    session: SessionId
    reason: Reason
    detail: str


@dataclass(slots=True)
class L2tpDropped:
    """A message was dropped or refused: counted, logged at DEBUG."""

    reason: Reason
    detail: str


L2tpEffect: TypeAlias = SendL2tp | TunnelUp | TunnelDown | SessionUp | SessionDown | L2tpDropped
