"""All L2TP tunnels with one remote host, whichever side opened them.

One endpoint an IKE peer: tunnel ids of two clients never meet, and addresses play no part. Finds
the tunnel of a message by our id, and for SCCRQ (which cannot know it) tells a repetition from a
peer that started anew; RFC 2661 5.1, 4.4.3 (Tie Breaker), 5.8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.l2tp.avp import AvpFault, AvpList, AvpType, parse_avps
from ferrule.l2tp.channel import CYCLE_SECONDS
from ferrule.l2tp.effects import L2tpDropped, L2tpEffect, SendL2tp
from ferrule.l2tp.header import ControlHeader, build_control, parse_control
from ferrule.l2tp.identifiers import choose_id
from ferrule.l2tp.image import TunnelImage
from ferrule.l2tp.messages import MessageType
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.l2tp.session import Ending, SessionState
from ferrule.l2tp.tunnel import Tunnel
from ferrule.l2tp.tunnel_states import Role, TunnelState

ENDED_MAX: Final = 8  # tunnels that are over and only acknowledge; the oldest goes first


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as others may see it."""

    tunnel: TunnelId
    session: SessionId
    peer_tunnel: TunnelId
    peer_session: SessionId
    established: bool
    sequencing: bool


class L2tpEndpoint:
    """Octets in, effects out. No call raises for anything that a peer can send.

    Every tunnel and session ends in TunnelDown or SessionDown, those too that never came up: a
    refused SCCRQ is a TunnelDown. A refused call is only a L2tpDropped.
    """

    __slots__ = ("_entropy", "_policy", "_requests", "_tunnels")

    def __init__(self, policy: L2tpPolicy, entropy: Callable[[int], bytes]) -> None:
        self._policy = policy
        self._entropy = entropy
        self._tunnels: dict[int, Tunnel] = {}  # by our id, oldest first
        self._requests: dict[int, bytes] = {}  # our id -> the SCCRQ that made the tunnel

    # --- verbs ---------------------------------------------------------------------------

    @property
    def deadline(self) -> Deadline | None:
        """The next timer of all tunnels."""
        return min((d for t in self._tunnels.values() if (d := t.deadline)), default=None)

    def receive(self, message: bytes, now: float) -> list[L2tpEffect]:
        """A control message (T bit set) of the peer."""
        try:
            header, body = parse_control(message)
        except ProtocolError as fault:
            return [L2tpDropped(fault.reason, fault.detail)]
        try:
            tunnel = self._tunnel_of(header, body)
        except ProtocolError as fault:
            return [*self._farewell(header, body), L2tpDropped(fault.reason, fault.detail)]
        if tunnel is None:
            effects = self._on_request(header, body, now)
        else:
            effects = tunnel.receive(header, body, now)
        self._sweep()
        return effects

    def expire(self, now: float) -> list[L2tpEffect]:
        """Run the timers that are due at `now`."""
        effects: list[L2tpEffect] = []
        for tunnel in tuple(self._tunnels.values()):
            deadline = tunnel.deadline
            if deadline is not None and deadline.at <= now:
                effects += tunnel.expire(now)
        self._sweep()
        return effects

    def close(self, reason: Reason, now: float) -> list[L2tpEffect]:
        """CDN for every session and StopCCN for every tunnel. What is left acknowledges and
        repeats until `deadline` is None."""
        effects: list[L2tpEffect] = []
        for tunnel in tuple(self._tunnels.values()):
            effects += tunnel.close(reason, "", now)
        self._sweep()
        return effects

    def close_session(
        self, tunnel: TunnelId, session: SessionId, reason: Reason, now: float
    ) -> list[L2tpEffect]:
        """CDN, and as LNS also StopCCN when it was the last session of its tunnel."""
        found = self._tunnels.get(tunnel)
        if found is None:
            return [L2tpDropped(Reason.L2TP_UNKNOWN_TUNNEL, f"no tunnel {tunnel}")]
        effects = found.close_session(session, reason, now)
        self._sweep()
        return effects

    def heard(self, now: float) -> None:
        """Authenticated traffic of any kind came from the peer: no Hello is needed yet."""
        for tunnel in self._tunnels.values():
            tunnel.heard_at = max(tunnel.heard_at, now)

    def open_tunnel(self, now: float) -> list[L2tpEffect]:
        """LAC: ends in TunnelUp or TunnelDown."""
        if self._live_count() >= self._policy.tunnels_max:
            return [L2tpDropped(Reason.L2TP_LIMIT, f"{self._live_count()} tunnels")]
        return self._new(Role.LAC, now).open(now)

    def open_session(self, tunnel: TunnelId, now: float) -> list[L2tpEffect]:
        """LAC: place a call over a tunnel that is up; ends in SessionUp or SessionDown."""
        found = self._tunnels.get(tunnel)
        if found is None:
            return [L2tpDropped(Reason.L2TP_UNKNOWN_TUNNEL, f"no tunnel {tunnel}")]
        return found.open_session(now)

    def sessions(self) -> tuple[SessionView, ...]:
        """The sessions that stand or are being set up."""
        return tuple(
            SessionView(
                session.tunnel,
                session.session,
                session.peer_tunnel,
                session.peer_session,
                session.state is SessionState.ESTABLISHED,
                session.sequencing,
            )
            for tunnel in self._tunnels.values()
            for session in tunnel.calls.sessions.values()
        )

    # --- to another process and back -----------------------------------------------------

    def export(self, offset: float, now: float) -> tuple[TunnelImage, ...]:
        """All tunnels, oldest first. `offset` makes Unix time of the caller's clock."""
        return tuple(
            tunnel.export(
                self._requests.get(number, b"") if now < tunnel.since + CYCLE_SECONDS else b"",
                offset,
            )
            for number, tunnel in self._tunnels.items()
            if tunnel.state not in (TunnelState.IDLE, TunnelState.GONE)
        )

    def restore(self, images: Iterable[TunnelImage], offset: float, now: float) -> list[L2tpEffect]:
        """Go on with these tunnels: repeats what the peer has not acknowledged."""
        effects: list[L2tpEffect] = []
        for image in images:
            tunnel = Tunnel(image.tunnel, image.role, self._policy, self._entropy, now)
            self._tunnels[image.tunnel] = tunnel
            if image.role is Role.LNS:
                self._requests[image.tunnel] = image.request
            effects += tunnel.restore(image, offset, now)
        return effects

    # --- which tunnel --------------------------------------------------------------------

    def _tunnel_of(self, header: ControlHeader, body: bytes) -> Tunnel | None:
        """The tunnel of a message; None: it is a request for a new one. Raises `ProtocolError`."""
        if header.tunnel:
            if (found := self._tunnels.get(header.tunnel)) is None:
                # No answer but to its goodbye: RFC 2661 has none, and the peer's timers end it.
                raise ProtocolError(Reason.L2TP_UNKNOWN_TUNNEL, f"tunnel {header.tunnel}")
            return found
        if not body:
            raise ProtocolError(Reason.L2TP_UNKNOWN_TUNNEL, "ZLB for tunnel 0")
        avps = parse_avps(body, self._policy.tunnel_secret)
        if avps.message_type == MessageType.STOPCCN:
            # RFC 2661 4.4.3: the peer gave up before it learnt our id; it says its own.
            if (found := self._newest_of(_peer_tunnel(avps))) is not None:
                return found
            raise ProtocolError(Reason.L2TP_UNKNOWN_TUNNEL, "StopCCN for tunnel 0")
        if avps.message_type != MessageType.SCCRQ:
            detail = f"message type {avps.message_type} for tunnel 0"
            raise ProtocolError(Reason.L2TP_UNKNOWN_TUNNEL, detail)
        return None

    def _farewell(self, header: ControlHeader, body: bytes) -> list[L2tpEffect]:
        """Acknowledge the StopCCN of a tunnel that is not here, so that the peer is done with it.

        QUIRK(xl2tpd): it dials again only after its goodbye was acknowledged or repeated for half
        a minute, which is how long a restart of ours would cost it. RFC 2661 5.7 has whoever gets
        a StopCCN acknowledge it; the message tells the peer's id and what it expects next.
        """
        if not header.tunnel or not body:
            return []
        try:
            avps = parse_avps(body, self._policy.tunnel_secret)
        except ProtocolError:
            return []
        peer_tunnel = _peer_tunnel(avps)
        if avps.message_type != MessageType.STOPCCN or not peer_tunnel:
            return []
        expected = (header.ns + 1) % 0x10000
        return [SendL2tp(build_control(ControlHeader(peer_tunnel, 0, header.nr, expected)))]

    def _newest_of(self, peer_tunnel: int) -> Tunnel | None:
        """The newest tunnel that the peer opened under its id `peer_tunnel`."""
        for number in reversed(self._requests):
            if self._tunnels[number].channel.peer_tunnel == peer_tunnel:
                return self._tunnels[number]
        return None

    # --- SCCRQ ---------------------------------------------------------------------------

    def _on_request(self, header: ControlHeader, body: bytes, now: float) -> list[L2tpEffect]:
        avps = parse_avps(body, self._policy.tunnel_secret)
        peer_tunnel = _peer_tunnel(avps)
        if not peer_tunnel:
            # There is nobody to answer; the usual cause is an id hidden with another secret.
            missing = AvpFault(Reason.L2TP_MISSING_AVP, "SCCRQ without Assigned Tunnel ID")
            fault = avps.faults[0] if avps.faults else missing
            return [L2tpDropped(fault.reason, fault.detail)]
        if header.ns != 0:
            return [L2tpDropped(Reason.L2TP_WINDOW, f"SCCRQ with Ns {header.ns}")]
        effects: list[L2tpEffect] = []
        former = self._newest_of(peer_tunnel)
        if former is not None:
            if self._is_repetition(former, body, now):
                return former.receive(header, body, now)
            if former.live:
                effects += former.replace("the peer started anew with the same tunnel id", now)
        broken, refusal = self._break_tie(avps.values.get(AvpType.TIE_BREAKER), now)
        effects += broken
        if refusal:
            return [*effects, L2tpDropped(Reason.L2TP_REFUSED, refusal)]
        tunnel = self._new(Role.LNS, now)
        tunnel.channel.peer_tunnel = peer_tunnel
        self._requests[tunnel.tunnel] = body
        return effects + tunnel.receive(header, body, now)

    def _is_repetition(self, former: Tunnel, body: bytes, now: float) -> bool:
        """The same SCCRQ again, and not a new life of a peer that counts its ids from 1.

        QUIRK(mikrotik): after a restart it uses the same tunnel ids, in the same octets. But a
        peer that has had our answer does not repeat its request, and none repeats it for longer
        than a retransmission cycle.
        """
        if self._requests[former.tunnel] != body:
            return False
        if former.state is TunnelState.ESTABLISHED:
            return now - former.since < CYCLE_SECONDS
        return former.state in (TunnelState.WAIT_CTL_CONN, TunnelState.CLOSING)

    def _break_tie(self, theirs: bytes | None, now: float) -> tuple[list[L2tpEffect], str]:
        """RFC 2661 4.4.3, when both sides sent SCCRQ: what becomes of ours, and why theirs is
        silently discarded ("" if it is not)."""
        effects: list[L2tpEffect] = []
        for tunnel in tuple(self._tunnels.values()):
            ours = tunnel.tie_breaker
            if tunnel.state is not TunnelState.WAIT_CTL_REPLY or (theirs is None and ours is None):
                continue  # without tie breakers both tunnels are opened
            if theirs is None or (ours is not None and ours < theirs):
                return effects, "our tie breaker won"
            if ours == theirs:
                effects += tunnel.replace("equal tie breakers", now)
                return effects, "equal tie breakers: neither tunnel is opened"
            effects += tunnel.replace("the peer's tie breaker won", now)
        return effects, ""

    # --- the set of tunnels --------------------------------------------------------------

    def _live_count(self) -> int:
        return sum(tunnel.live for tunnel in self._tunnels.values())

    def _new(self, role: Role, now: float) -> Tunnel:
        refusal = None
        if self._live_count() >= self._policy.tunnels_max:
            refusal = Ending(Reason.L2TP_LIMIT, f"{self._live_count()} tunnels of this client")
        number = TunnelId(choose_id(self._entropy, self._tunnels))
        tunnel = Tunnel(number, role, self._policy, self._entropy, now, refusal)
        self._tunnels[number] = tunnel
        return tunnel

    def _sweep(self) -> None:
        """Forget tunnels that are gone, and the oldest of those that only acknowledge."""
        ended = [t for t in self._tunnels.values() if not t.live]
        surplus = len(ended) - ENDED_MAX
        for position, tunnel in enumerate(ended):
            if tunnel.state is TunnelState.GONE or position < surplus:
                del self._tunnels[tunnel.tunnel]
                self._requests.pop(tunnel.tunnel, None)


def _peer_tunnel(avps: AvpList) -> int:
    """The peer's id for the tunnel, 0 if it does not say."""
    return int.from_bytes(avps.values.get(AvpType.ASSIGNED_TUNNEL_ID, b""), "big")
