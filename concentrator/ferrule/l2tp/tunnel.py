"""A control connection (RFC 2661 5.1, 5.5, 5.7 and 7.2), LNS and LAC: from SCCRQ to StopCCN.

It owns the reliable channel and the sessions: messages come in order from the one, go to the others
or to the state table below, and what both say goes out through the channel. A tunnel that ended
lingers for a full retransmission cycle, so that a goodbye whose acknowledgement was lost is
acknowledged again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable, Verdict
from ferrule.l2tp.authentication import TunnelAuthentication
from ferrule.l2tp.avp import AvpFault, parse_avps
from ferrule.l2tp.calls import Calls
from ferrule.l2tp.channel import CYCLE_SECONDS, Channel, Incoming
from ferrule.l2tp.effects import L2tpDropped, L2tpEffect, SendL2tp, TunnelDown, TunnelUp
from ferrule.l2tp.header import ControlHeader
from ferrule.l2tp.image import TunnelImage, session_image, session_of
from ferrule.l2tp.messages import (
    FRAMING_SYNC_AND_ASYNC,
    PROTOCOL_VERSION,
    Hello,
    MessageType,
    Parsed,
    Scccn,
    Sccrp,
    Sccrq,
    StopCcn,
    build_message,
    read_message,
)
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.l2tp.result_codes import Closes, code_for, describe, printable
from ferrule.l2tp.session import Ending, Say, SessionOutput
from ferrule.l2tp.tunnel_states import (
    HELLO_TIMER,
    LINGER_TIMER,
    SETUP_TIMER,
    TIMERS,
    TRIGGERS,
    Call,
    Role,
    TunnelEvent,
    TunnelState,
    TunnelTrigger,
)

SETUP_SECONDS: Final = 60.0  # from SCCRQ to SCCCN; beyond it the tunnel is given up
TEXT_OCTETS_MAX: Final = 200  # of our host and vendor name
NAME_CHARACTERS_MAX: Final = 64  # of the peer's, in effects
FIRMWARE_REVISION: Final = 1
STOPCCN_LEAVING: Final = (1, 6)  # result codes of a peer that goes for reasons of its own
STOPCCN_NOT_AUTHORIZED: Final = 4

RESTORED_SECONDS: Final = 1.0  # in which a peer may show life after another process took over

TunnelOutput: TypeAlias = SessionOutput
_UNTIL: Final = {
    TunnelState.WAIT_CTL_REPLY: SETUP_TIMER,
    TunnelState.WAIT_CTL_CONN: SETUP_TIMER,
    TunnelState.LINGERING: LINGER_TIMER,
}


class Tunnel:
    """One control connection. The endpoint finds it by id and drops it when it is GONE."""

    __slots__ = (
        "_authentication",
        "_deadlines",
        "_entropy",
        "_hello_ns",
        "_policy",
        "_refusal",
        "calls",
        "channel",
        "heard_at",
        "peer_host_name",
        "peer_vendor",
        "role",
        "since",
        "state",
        "tie_breaker",
        "tunnel",
    )

    def __init__(
        self,
        tunnel: TunnelId,
        role: Role,
        policy: L2tpPolicy,
        entropy: Callable[[int], bytes],
        now: float,
        refusal: Ending | None = None,
    ) -> None:
        """`refusal`: as LNS, answer the SCCRQ with StopCCN for this reason."""
        self.tunnel = tunnel
        self.role = role
        self.state = TunnelState.IDLE
        self.since = now
        self.heard_at = now
        self.channel = Channel(policy.receive_window)
        self.calls = Calls(tunnel, role, policy, entropy)
        self.peer_host_name = ""
        self.peer_vendor = ""
        self.tie_breaker: bytes | None = None
        self._refusal = refusal
        self._policy = policy
        self._entropy = entropy
        self._deadlines = Deadlines()
        self._authentication = TunnelAuthentication(policy.tunnel_secret)
        self._hello_ns: int | None = None  # of a Hello that may still be unacknowledged

    # --- verbs ---------------------------------------------------------------------------

    @property
    def peer_tunnel(self) -> TunnelId:
        return TunnelId(self.channel.peer_tunnel)

    @property
    def live(self) -> bool:
        """Neither over nor about to be."""
        return self.state not in (TunnelState.CLOSING, TunnelState.LINGERING, TunnelState.GONE)

    @property
    def deadline(self) -> Deadline | None:
        candidates = [self._deadlines.next, self.calls.deadline]
        if self.channel.due is not None:
            candidates.append(Deadline(self.channel.due, "retransmission"))
        return min((d for d in candidates if d is not None), default=None)

    def receive(self, header: ControlHeader, body: bytes, now: float) -> list[L2tpEffect]:
        """A control message for this tunnel."""
        self.heard_at = now
        arrival = self.channel.receive(header, body, now)
        effects: list[L2tpEffect] = []
        if arrival.dropped:
            effects.append(L2tpDropped(Reason.L2TP_WINDOW, arrival.dropped))
        if arrival.acknowledged and self.channel.idle:
            effects += self._run(TunnelTrigger.ALL_ACKNOWLEDGED, None, now)
        for incoming in arrival.messages:
            effects += self._say(self._on_incoming(incoming, now), now)
        effects += _sends(self.channel.flush(now))
        effects += _sends(self.channel.acknowledge())
        return effects

    def open(self, now: float) -> list[L2tpEffect]:
        """LAC: send SCCRQ."""
        return self._run(TunnelTrigger.OPEN, None, now)

    def open_session(self, now: float) -> list[L2tpEffect]:
        """LAC: place a call."""
        if self.state is not TunnelState.ESTABLISHED or self.role is not Role.LAC:
            detail = f"no call over tunnel {self.tunnel} which is {self.state.value}"
            return [L2tpDropped(Reason.L2TP_UNEXPECTED, detail)]
        return self._say(self.calls.place(self.peer_tunnel, now), now)

    def expire(self, now: float) -> list[L2tpEffect]:
        """Run the timers that are due."""
        effects: list[L2tpEffect] = []
        repeated = self.channel.expire(now)
        if repeated is None:
            effects += self._on_exhausted(now)
        else:
            effects += _sends(repeated)
        for name in self._deadlines.pop_expired(now):
            effects += self._run(TIMERS[name], None, now)
        effects += self._say(self.calls.expire(now), now)
        return effects

    def close(self, reason: Reason, detail: str, now: float) -> list[L2tpEffect]:
        """CDN for each session, then StopCCN; retransmitted until acknowledged."""
        return self._run(TunnelTrigger.CLOSE, Ending(reason, detail), now)

    def close_session(self, session_id: SessionId, reason: Reason, now: float) -> list[L2tpEffect]:
        """CDN. As LNS also StopCCN when it was the last: clients that wait for their tunnel to
        end, and not only their call, then see it at once."""
        session = self.calls.sessions.get(session_id)
        if session is None:
            return [L2tpDropped(Reason.L2TP_UNKNOWN_SESSION, f"no session {session_id}")]
        effects = self._say(session.close(reason, "", now), now)
        if not self.calls.sessions and self.role is Role.LNS:
            effects += self.close(reason, "", now)
        return effects

    def replace(self, detail: str, now: float) -> list[L2tpEffect]:
        """The peer no longer knows this tunnel: drop it without a word."""
        return self._run(TunnelTrigger.REPLACED, Ending(Reason.REPLACED_SESSION, detail), now)

    # --- to another process and back -----------------------------------------------------

    def export(self, request: bytes, offset: float) -> TunnelImage:
        """`request` is the SCCRQ that made it, as long as that may come again. `offset` makes Unix
        time of the caller's clock."""
        until = self._deadlines.get(_UNTIL.get(self.state, ""))
        return TunnelImage(
            self.tunnel,
            self.role,
            self.state,
            self.since + offset,
            self.heard_at + offset,
            None if until is None else until + offset,
            self.peer_host_name,
            self.peer_vendor,
            self.channel.export(),
            self._hello_ns,
            self._authentication.challenge,
            request,
            self.calls.placed,
            tuple(session_image(session, offset) for session in self.calls.sessions.values()),
        )

    def restore(self, image: TunnelImage, offset: float, now: float) -> list[L2tpEffect]:
        """Go on where another process stood: repeats what the peer has not acknowledged."""
        self.state = image.state
        self.since, self.heard_at = image.since - offset, image.heard_at - offset
        self.peer_host_name, self.peer_vendor = image.peer_host_name, image.peer_vendor
        self._hello_ns = image.hello_ns
        self._authentication.challenge = image.challenge
        self.calls.placed = image.calls_placed
        sent = self.channel.restore(image.channel, now)
        for one in image.sessions:
            session = session_of(one, self.tunnel, self.peer_tunnel, offset)
            self.calls.sessions[session.session] = session
        timer = _UNTIL.get(self.state)
        if timer is not None and image.until is not None:
            self._deadlines.set(timer, image.until - offset)
        if self.state is TunnelState.ESTABLISHED:
            silent = self.heard_at + self._policy.hello_seconds
            self._deadlines.set(HELLO_TIMER, max(silent, now + RESTORED_SECONDS))
        return _sends(sent)

    # --- dispatch ------------------------------------------------------------------------

    def _run(self, trigger: TunnelTrigger, event: TunnelEvent, now: float) -> list[L2tpEffect]:
        return self._say(self._pull(trigger, event, now), now)

    def _pull(self, trigger: TunnelTrigger, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        cell = TUNNEL_TABLE.lookup(self.state, trigger)
        if cell is Verdict.IGNORED:
            return []
        if isinstance(cell, Verdict):
            detail = f"{trigger.value} in tunnel {self.tunnel} which is {self.state.value}"
            return [L2tpDropped(Reason.L2TP_UNEXPECTED, detail)]
        if cell.next is not None:
            self.state = cell.next
        try:
            return cell.handler(self, event, now)
        except ProtocolError as fault:
            return self._goodbye(Ending(fault.reason, fault.detail), now)

    def _on_incoming(self, incoming: Incoming, now: float) -> list[TunnelOutput]:
        try:
            parsed = read_message(parse_avps(incoming.body, self._policy.tunnel_secret))
        except Malformed as broken:
            parsed = Parsed(None, None, AvpFault(broken.reason, broken.detail))
        kind, fault = parsed.kind, parsed.fault
        if kind is None:
            if fault is None:
                return [L2tpDropped(Reason.L2TP_UNEXPECTED, "unknown message, not mandatory")]
            return self._pull(TunnelTrigger.FAULT, fault, now)
        if isinstance(parsed.message, Sccrq | Sccrp) and not self.channel.peer_tunnel:
            self.channel.peer_tunnel = parsed.message.assigned_tunnel_id
        trigger = TRIGGERS[kind]
        if trigger is TunnelTrigger.CALL:
            call = Call(incoming.session, kind, parsed.message, fault)
            return self._pull(trigger, call, now)
        if fault is not None and kind is not MessageType.STOPCCN:
            return self._pull(TunnelTrigger.FAULT, fault, now)
        return self._pull(trigger, parsed.message, now)

    def _say(self, outputs: Iterable[TunnelOutput], now: float) -> list[L2tpEffect]:
        """Send what was said through the channel; pass on the rest."""
        effects: list[L2tpEffect] = []
        for output in outputs:
            if isinstance(output, Say):
                hide = self._policy.tunnel_secret if self._policy.hide_avps else None
                body = build_message(output.message, hide, self._entropy)
                effects += _sends(self.channel.send(output.session, body, now))
            else:
                effects.append(output)
        self.calls.sweep()
        return effects

    # --- control connection --------------------------------------------------------------

    def on_open(self, _event: TunnelEvent, now: float) -> list[TunnelOutput]:
        self._deadlines.set(SETUP_TIMER, now + SETUP_SECONDS)
        policy = self._policy
        if policy.tie_breaker:
            self.tie_breaker = self._entropy(8)
        request = Sccrq(
            self.tunnel,
            policy.host_name.encode()[:TEXT_OCTETS_MAX],
            framing_capabilities=FRAMING_SYNC_AND_ASYNC,
            tie_breaker=self.tie_breaker,
            firmware_revision=FIRMWARE_REVISION,
            vendor_name=policy.vendor.encode()[:TEXT_OCTETS_MAX],
            receive_window_size=policy.receive_window,
            challenge=self._authentication.ask(self._entropy),
        )
        return [Say(0, request)]

    def on_sccrq(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, Sccrq)
        if self._refusal is not None:
            raise ProtocolError(self._refusal.reason, self._refusal.detail)
        self._learn(event)
        response = self._authentication.answer(MessageType.SCCRP, event.challenge)
        self.state = TunnelState.WAIT_CTL_CONN
        self._deadlines.set(SETUP_TIMER, now + SETUP_SECONDS)
        policy = self._policy
        reply = Sccrp(
            self.tunnel,
            policy.host_name.encode()[:TEXT_OCTETS_MAX],
            framing_capabilities=FRAMING_SYNC_AND_ASYNC,
            firmware_revision=FIRMWARE_REVISION,
            vendor_name=policy.vendor.encode()[:TEXT_OCTETS_MAX],
            receive_window_size=policy.receive_window,
            challenge=self._authentication.ask(self._entropy),
            challenge_response=response,
        )
        return [Say(0, reply)]

    def on_sccrp(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, Sccrp)
        self._learn(event)
        self._authentication.check(MessageType.SCCRP, event.challenge_response)
        response = self._authentication.answer(MessageType.SCCCN, event.challenge)
        return [Say(0, Scccn(response)), self._up(now)]

    def on_scccn(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, Scccn)
        self._authentication.check(MessageType.SCCCN, event.challenge_response)
        return [self._up(now)]

    def on_stopccn(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        """RFC 2661 5.7: acknowledged, and the state kept to acknowledge it again."""
        assert isinstance(event, StopCcn)
        code = event.result_code
        reason = Reason.PEER_CLOSED
        if self.state is TunnelState.WAIT_CTL_REPLY or (
            self.state is TunnelState.WAIT_CTL_CONN and code and code.result not in STOPCCN_LEAVING
        ):
            reason = Reason.L2TP_REFUSED
        if code is not None and code.result == STOPCCN_NOT_AUTHORIZED:
            reason = Reason.L2TP_TUNNEL_AUTH
        if event.assigned_tunnel_id and not self.channel.peer_tunnel:
            self.channel.peer_tunnel = event.assigned_tunnel_id  # where our ZLB goes
        detail = describe(Closes.TUNNEL, code)
        return self._end(reason, detail, TunnelState.LINGERING, now)

    def on_improper(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        name = type(event).__name__.upper()
        return self._goodbye(Ending(Reason.L2TP_UNEXPECTED, f"improper {name}"), now)

    def on_fault(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, AvpFault)
        return self._goodbye(Ending(event.reason, event.detail), now)

    def on_close(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, Ending)
        calls = self.calls.close_all(event.reason, event.detail, now)
        return calls + self._goodbye(event, now)

    def on_replaced(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, Ending)
        return self._end(event.reason, event.detail, TunnelState.GONE, now)

    def on_timeout(self, _event: TunnelEvent, now: float) -> list[TunnelOutput]:
        detail = f"a message was not acknowledged in {CYCLE_SECONDS:.0f} s"
        return self._end(Reason.L2TP_TIMEOUT, detail, TunnelState.GONE, now)

    def on_setup_over(self, _event: TunnelEvent, now: float) -> list[TunnelOutput]:
        detail = f"no control connection in {SETUP_SECONDS:.0f} s"
        return self._goodbye(Ending(Reason.L2TP_TIMEOUT, detail), now)

    def on_silence(self, _event: TunnelEvent, now: float) -> list[TunnelOutput]:
        """RFC 2661 5.5: Hello after a time without any sign of life."""
        due = self.heard_at + self._policy.hello_seconds
        if now < due:
            self._deadlines.set(HELLO_TIMER, due)
            return []
        self._deadlines.set(HELLO_TIMER, now + self._policy.hello_seconds)
        if not self.channel.idle:
            return []  # what is out already asks for a sign of life
        self._hello_ns = self.channel.next_ns
        return [Say(0, Hello())]

    def on_farewell_acknowledged(self, _event: TunnelEvent, now: float) -> list[TunnelOutput]:
        self._linger(now)
        return []

    def on_crossed(self, _event: TunnelEvent, now: float) -> list[TunnelOutput]:
        """Both sides said StopCCN at once: the peer will not acknowledge ours any more."""
        self._linger(now)
        return []

    def on_forgotten(self, _event: TunnelEvent, _now: float) -> list[TunnelOutput]:
        self.channel.abandon()
        self._deadlines.clear_all()
        return []

    def on_call(self, event: TunnelEvent, now: float) -> list[TunnelOutput]:
        assert isinstance(event, Call)
        return self.calls.receive(event, self.peer_tunnel, now)

    # --- what both roles do --------------------------------------------------------------

    def _learn(self, event: Sccrq | Sccrp) -> None:
        if event.protocol_version >> 8 != PROTOCOL_VERSION >> 8:
            version = f"{event.protocol_version >> 8}.{event.protocol_version & 0xFF}"
            raise ProtocolError(Reason.L2TP_VERSION, f"protocol version {version}")
        self.peer_host_name = printable(event.host_name, NAME_CHARACTERS_MAX)
        self.peer_vendor = printable(event.vendor_name or b"", NAME_CHARACTERS_MAX)
        if event.receive_window_size is not None:
            self.channel.peer_window = event.receive_window_size

    def _up(self, now: float) -> TunnelUp:
        self.state = TunnelState.ESTABLISHED
        self._deadlines.clear(SETUP_TIMER)
        self._deadlines.set(HELLO_TIMER, now + self._policy.hello_seconds)
        seconds = now - self.since
        return TunnelUp(
            self.tunnel, self.peer_tunnel, self.peer_host_name, self.peer_vendor, seconds
        )

    def _goodbye(self, why: Ending, now: float) -> list[TunnelOutput]:
        """StopCCN; also for a tunnel that was only made to refuse its SCCRQ."""
        code = code_for(Closes.TUNNEL, why.reason)
        told = f"we sent {describe(Closes.TUNNEL, code)}"
        detail = f"{why.detail}; {told}" if why.detail else told
        said = Say(0, StopCcn(self.tunnel, code))
        return [said, *self._end(why.reason, detail, TunnelState.CLOSING, now)]

    def _end(
        self, reason: Reason, detail: str, state: TunnelState, now: float
    ) -> list[TunnelOutput]:
        """The tunnel and all in it are over for the outside; `state` is what is left."""
        outputs = self.calls.lose_all(reason, detail, now)
        self.state = state
        self._deadlines.clear_all()
        if state is TunnelState.LINGERING:
            self._linger(now)
        elif state is TunnelState.GONE:
            self.channel.abandon()
        return [*outputs, TunnelDown(self.tunnel, reason, detail)]

    def _linger(self, now: float) -> None:
        self.channel.abandon()
        self._deadlines.clear_all()
        self._deadlines.set(LINGER_TIMER, now + CYCLE_SECONDS)

    def _on_exhausted(self, now: float) -> list[L2tpEffect]:
        head = self.channel.head
        is_hello = head is not None and head.ns == self._hello_ns
        if is_hello and self.heard_at > self.channel.head_sent:
            # QUIRK(android): 9 and 10 ignore Hello. Whoever sends data is alive all the same.
            return _sends(self.channel.forgive(now, self._policy.hello_seconds))
        return self._run(TunnelTrigger.TIMEOUT, None, now)


def _sends(messages: Iterable[bytes]) -> list[L2tpEffect]:
    return [SendL2tp(message) for message in messages]


TunnelHandler: TypeAlias = Callable[[Tunnel, TunnelEvent, float], list[TunnelOutput]]

S, T = TunnelState, TunnelTrigger


def _row(
    state: TunnelState,
    trigger: TunnelTrigger,
    handler: TunnelHandler,
    following: TunnelState | None,
    section: str,
) -> Row[TunnelState, TunnelTrigger, TunnelHandler]:
    return Row(state, trigger, handler, following, f"RFC 2661 {section}")


_ALIVE = (S.WAIT_CTL_REPLY, S.WAIT_CTL_CONN, S.ESTABLISHED)

TUNNEL_TABLE: Final = TransitionTable[TunnelState, TunnelTrigger, TunnelHandler](
    "control connection",
    TunnelState,
    TunnelTrigger,
    [
        _row(S.IDLE, T.OPEN, Tunnel.on_open, S.WAIT_CTL_REPLY, "7.2.1"),
        _row(S.IDLE, T.SCCRQ, Tunnel.on_sccrq, None, "7.2.1"),
        _row(S.IDLE, T.FAULT, Tunnel.on_fault, None, "7.2.1"),
        _row(S.WAIT_CTL_REPLY, T.SCCRP, Tunnel.on_sccrp, None, "7.2.1"),
        _row(S.WAIT_CTL_REPLY, T.SCCRQ, Tunnel.on_improper, None, "7.2.1"),
        _row(S.WAIT_CTL_REPLY, T.SCCCN, Tunnel.on_improper, None, "7.2.1"),
        _row(S.WAIT_CTL_CONN, T.SCCCN, Tunnel.on_scccn, None, "7.2.1"),
        _row(S.WAIT_CTL_CONN, T.SCCRQ, Tunnel.on_improper, None, "7.2.1"),
        _row(S.WAIT_CTL_CONN, T.SCCRP, Tunnel.on_improper, None, "7.2.1"),
        _row(S.ESTABLISHED, T.SCCRQ, Tunnel.on_improper, None, "7.2.1"),
        _row(S.ESTABLISHED, T.SCCRP, Tunnel.on_improper, None, "7.2.1"),
        _row(S.ESTABLISHED, T.SCCCN, Tunnel.on_improper, None, "7.2.1"),
        _row(S.ESTABLISHED, T.CALL, Tunnel.on_call, None, "5.2"),
        _row(S.ESTABLISHED, T.SILENCE, Tunnel.on_silence, None, "5.5"),
        *(_row(state, T.STOPCCN, Tunnel.on_stopccn, None, "5.7") for state in _ALIVE),
        *(_row(state, T.FAULT, Tunnel.on_fault, None, "7.1") for state in _ALIVE),
        *(_row(state, T.CLOSE, Tunnel.on_close, None, "5.7") for state in _ALIVE),
        *(_row(state, T.REPLACED, Tunnel.on_replaced, None, "5.8") for state in _ALIVE),
        *(_row(state, T.TIMEOUT, Tunnel.on_timeout, None, "5.8") for state in _ALIVE),
        _row(S.WAIT_CTL_REPLY, T.SETUP_OVER, Tunnel.on_setup_over, None, "7.2.1"),
        _row(S.WAIT_CTL_CONN, T.SETUP_OVER, Tunnel.on_setup_over, None, "7.2.1"),
        _row(S.CLOSING, T.STOPCCN, Tunnel.on_crossed, S.LINGERING, "5.7"),
        _row(S.CLOSING, T.ALL_ACKNOWLEDGED, Tunnel.on_farewell_acknowledged, S.LINGERING, "5.7"),
        _row(S.CLOSING, T.TIMEOUT, Tunnel.on_forgotten, S.GONE, "5.8"),
        _row(S.CLOSING, T.REPLACED, Tunnel.on_forgotten, S.GONE, "5.8"),
        _row(S.LINGERING, T.LINGER_OVER, Tunnel.on_forgotten, S.GONE, "5.8"),
        _row(S.LINGERING, T.REPLACED, Tunnel.on_forgotten, S.GONE, "5.8"),
    ],
    ignored={
        S.IDLE: (
            *(T.CLOSE, T.REPLACED, T.ALL_ACKNOWLEDGED, T.TIMEOUT),
            *(T.SETUP_OVER, T.SILENCE, T.LINGER_OVER),
        ),
        S.WAIT_CTL_REPLY: (T.HELLO, T.ALL_ACKNOWLEDGED, T.SILENCE, T.LINGER_OVER),
        S.WAIT_CTL_CONN: (T.HELLO, T.ALL_ACKNOWLEDGED, T.SILENCE, T.LINGER_OVER),
        S.ESTABLISHED: (T.HELLO, T.ALL_ACKNOWLEDGED, T.SETUP_OVER, T.LINGER_OVER),
        S.CLOSING: (
            *(T.SCCRQ, T.SCCRP, T.SCCCN, T.HELLO, T.CALL, T.FAULT, T.OPEN, T.CLOSE),
            *(T.SETUP_OVER, T.SILENCE, T.LINGER_OVER),
        ),
        S.LINGERING: tuple(t for t in T if t not in (T.LINGER_OVER, T.REPLACED)),
        S.GONE: tuple(T),
    },
    refused={
        S.IDLE: (T.SCCRP, T.SCCCN, T.STOPCCN, T.HELLO, T.CALL),
        S.WAIT_CTL_REPLY: (T.CALL, T.OPEN),
        S.WAIT_CTL_CONN: (T.CALL, T.OPEN),
        S.ESTABLISHED: (T.OPEN,),
    },
)
del S, T
