"""The sessions of one tunnel (RFC 2661 5.2, 5.3): who gets a message, which calls are taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.l2tp.effects import L2tpDropped
from ferrule.l2tp.identifiers import choose_id
from ferrule.l2tp.messages import Cdn, Icrq, MessageType, Ocrq
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.l2tp.result_codes import Closes, code_for
from ferrule.l2tp.session import Say, Session, SessionOutput, SessionState
from ferrule.l2tp.tunnel_states import Call, Role


@dataclass(slots=True)
class Calls:
    """Sessions by our id. Every verb returns what they say and tell."""

    tunnel: TunnelId
    role: Role
    policy: L2tpPolicy
    entropy: Callable[[int], bytes]
    sessions: dict[int, Session] = field(default_factory=dict)
    placed: int = 0  # calls of ours so far; Call Serial Number

    @property
    def deadline(self) -> Deadline | None:
        return min((d for s in self.sessions.values() if (d := s.deadline)), default=None)

    def place(self, peer_tunnel: TunnelId, now: float) -> list[SessionOutput]:
        """LAC: a call to the peer."""
        if len(self.sessions) >= self.policy.sessions_max:
            return [L2tpDropped(Reason.L2TP_LIMIT, f"{len(self.sessions)} sessions")]
        self.placed += 1
        return self._new(peer_tunnel, now).open(now)

    def receive(self, call: Call, peer_tunnel: TunnelId, now: float) -> list[SessionOutput]:
        """A message for a session. Raises `ProtocolError` when its fault is the tunnel's."""
        session = self._find(call)
        if session is not None:
            return self._deliver(session, call, now)
        if call.session == 0 and call.kind in (MessageType.ICRQ, MessageType.OCRQ):
            return self._on_request(call, peer_tunnel, now)
        detail = f"{call.kind.name} for session {call.session}"
        return [L2tpDropped(Reason.L2TP_UNKNOWN_SESSION, detail)]

    def expire(self, now: float) -> list[SessionOutput]:
        return [output for s in self.sessions.values() for output in s.expire(now)]

    def close_all(self, reason: Reason, detail: str, now: float) -> list[SessionOutput]:
        """CDN for each."""
        return [o for s in self.sessions.values() for o in s.close(reason, detail, now)]

    def lose_all(self, reason: Reason, detail: str, now: float) -> list[SessionOutput]:
        """The tunnel is over."""
        return [o for s in self.sessions.values() for o in s.lose_tunnel(reason, detail, now)]

    def sweep(self) -> None:
        """Forget the cleared ones."""
        for session in tuple(self.sessions.values()):
            if session.state is SessionState.CLEARED:
                del self.sessions[session.session]

    def _deliver(self, session: Session, call: Call, now: float) -> list[SessionOutput]:
        if call.fault is not None and call.kind is not MessageType.CDN:  # that is a goodbye anyway
            return session.receive(call.kind, call.fault, now)
        assert call.message is not None
        return session.receive(call.kind, call.message, now)

    def _find(self, call: Call) -> Session | None:
        if call.session:
            return self.sessions.get(call.session)
        if isinstance(call.message, Cdn) and call.message.assigned_session_id:
            # RFC 2661 4.4.4: the peer gave up before it learnt our id; it says its own.
            return self._of_peer(call.message.assigned_session_id)
        return None

    def _of_peer(self, peer_session: int) -> Session | None:
        matches = (s for s in self.sessions.values() if s.peer_session == peer_session)
        return next(matches, None)

    def _on_request(self, call: Call, peer_tunnel: TunnelId, now: float) -> list[SessionOutput]:
        request = call.message
        if not isinstance(request, Icrq | Ocrq):
            # Without its session id the peer cannot be told which call fails: the tunnel does.
            assert call.fault is not None
            raise ProtocolError(call.fault.reason, call.fault.detail)
        try:
            self._admit(call)
        except ProtocolError as refusal:
            code = code_for(Closes.SESSION, refusal.reason)
            told = Say(request.assigned_session_id, Cdn(code, self._free_id()))
            return [told, L2tpDropped(refusal.reason, refusal.detail)]
        outputs: list[SessionOutput] = []
        if (former := self._of_peer(request.assigned_session_id)) is not None:
            outputs += former.lose_tunnel(Reason.REPLACED_SESSION, "the peer re-used its id", now)
            self.sweep()
        return outputs + self._new(peer_tunnel, now).receive(call.kind, request, now)

    def _admit(self, call: Call) -> None:
        if call.fault is not None:
            raise ProtocolError(call.fault.reason, call.fault.detail)
        if call.kind is MessageType.OCRQ:
            raise ProtocolError(Reason.L2TP_DIAL_OUT, "OCRQ")
        if self.role is Role.LAC:
            raise ProtocolError(Reason.L2TP_UNEXPECTED, "ICRQ to a LAC")
        if len(self.sessions) >= self.policy.sessions_max:
            raise ProtocolError(Reason.L2TP_LIMIT, f"{len(self.sessions)} sessions in the tunnel")

    def _new(self, peer_tunnel: TunnelId, now: float) -> Session:
        session = Session(
            self.tunnel,
            self._free_id(),
            peer_tunnel,
            call_serial_number=self.placed,
            since=now,
            wants_sequencing=self.policy.sequencing,
        )
        self.sessions[session.session] = session
        return session

    def _free_id(self) -> SessionId:
        return SessionId(choose_id(self.entropy, self.sessions))
