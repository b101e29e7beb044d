"""What is carried of a client's L2TP tunnels when it goes to another process: plain data.

Tunnels and sessions in any state but IDLE and GONE are, with the messages that the peer has not
acknowledged. Messages that came too early are not: the peer repeats them. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ferrule.core.ids import SessionId, TunnelId
from ferrule.l2tp.session import Session, SessionState
from ferrule.l2tp.tunnel_states import Role, TunnelState


@dataclass(slots=True)
class MessageImage:
    """A message of ours that is not acknowledged; `session` is that of its header."""

    ns: int
    session: int
    body: bytes


@dataclass(slots=True)
class ChannelImage:
    """`ns` is that of the next new message, `nr` what is expected next."""

    peer_tunnel: int
    peer_window: int
    ns: int
    nr: int
    messages: tuple[MessageImage, ...]


@dataclass(slots=True)
class SessionImage:
    session: SessionId
    peer_session: SessionId
    state: SessionState
    since: float
    sequencing: bool
    call_serial_number: int
    setup_until: float | None


@dataclass(slots=True)
class TunnelImage:
    """`until` is when its set-up or its lingering is over; `challenge` is ours that is not answered
    yet. `request` is the SCCRQ that made it, empty once the peer does not repeat that any more."""

    tunnel: TunnelId
    role: Role
    state: TunnelState
    since: float
    heard_at: float
    until: float | None
    peer_host_name: str
    peer_vendor: str
    channel: ChannelImage
    hello_ns: int | None
    challenge: bytes | None
    request: bytes
    calls_placed: int
    sessions: tuple[SessionImage, ...]


def session_image(session: Session, offset: float) -> SessionImage:
    """`offset` makes Unix time of the machine's clock."""
    until = session.setup_until
    return SessionImage(
        session.session,
        session.peer_session,
        session.state,
        session.since + offset,
        session.sequencing,
        session.call_serial_number,
        None if until is None else until + offset,
    )


def session_of(
    image: SessionImage, tunnel: TunnelId, peer_tunnel: TunnelId, offset: float
) -> Session:
    until = image.setup_until
    return Session(
        tunnel,
        image.session,
        peer_tunnel,
        image.call_serial_number,
        image.since - offset,
        state=image.state,
        peer_session=image.peer_session,
        sequencing=image.sequencing,
        setup_until=None if until is None else until - offset,
    )
