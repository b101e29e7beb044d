"""The phases of a PPP link (RFC 1661 3), common to both roles.

Dispatches frames by phase and protocol, joins LCP, authentication, IPCP and the refusal of CCP,
and turns what they say into effects. What differs between server and client is in `link`.

After the last effect, `LinkDown`, a link is dead and does nothing any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVarTuple, assert_never

from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable, Verdict
from ferrule.ppp import auth, ccp, ipcp, lcp
from ferrule.ppp.auth import Authenticator, AuthOutput, Claim, Failed, Passed, Supplicant
from ferrule.ppp.budget import Budget
from ferrule.ppp.effects import (
    Authenticated,
    AuthenticationFailed,
    LinkDown,
    NetworkDown,
    NetworkUp,
    PeerIdentified,
    PppAnswer,
    PppDropped,
    PppEffect,
    SendPpp,
)
from ferrule.ppp.frame import Protocol, build_frame, parse_frame
from ferrule.ppp.ipcp import Granted, Ipcp, IpcpOutput
from ferrule.ppp.ipcp_options import GiverOptions, TakerOptions
from ferrule.ppp.lcp import Identified, Lcp, LcpOutput, ProtocolRejected
from ferrule.ppp.lcp_options import LcpOptions
from ferrule.ppp.negotiation import Layer
from ferrule.ppp.options import Refused
from ferrule.ppp.packet import Code, Packet, build_packet, parse_packet
from ferrule.ppp.phase import ARRIVALS, Arrival, Phase
from ferrule.ppp.policy import PppPolicy

__all__ = ["DISPATCH", "Phase", "Phases"]

_ESTABLISHING: Final = "lcp"  # these three bound a whole phase
_AUTHENTICATING: Final = "auth"
_NETWORKING: Final = "ipcp"
_LINGERING: Final = "linger"
LINGER_SECONDS: Final = 1.0

Ts = TypeVarTuple("Ts")


class Phases(ABC):
    """One link. Verbs return effects; state is plain data but for `entropy`."""

    __slots__ = (
        "_auth",
        "_deadlines",
        "_effects",
        "_entropy",
        "_failure",
        "_ipcp",
        "_lcp",
        "_lcp_heard",
        "_phase",
        "_policy",
        "_rejects",
        "_restarts",
        "_started",
    )

    def __init__(
        self, policy: PppPolicy, entropy: Callable[[int], bytes], *, authenticator: bool
    ) -> None:
        self._policy = policy
        self._entropy = entropy
        self._deadlines = Deadlines()
        self._phase = Phase.DEAD
        options = LcpOptions(policy, entropy, authenticator=authenticator)
        self._lcp = Lcp(policy, options, self._deadlines)
        self._auth: Authenticator | Supplicant | None = None
        self._ipcp: Ipcp | None = None
        self._effects: list[PppEffect] = []
        self._failure: tuple[Reason, str] | None = None  # of the last attempt to authenticate
        self._lcp_heard = False
        self._started = 0.0
        self._rejects = Budget(burst=16, per_second=1)
        self._restarts = Budget(burst=16, per_second=0.1)  # of LCP once it was open

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def deadline(self) -> Deadline | None:
        return self._deadlines.next

    # --- the verbs ----------------------------------------------------------------------------

    def start(self, now: float) -> list[PppEffect]:
        """The lower layer is up: our first Configure-Request."""
        return self._guarded(now, self._start)

    def receive(self, frame: bytes, now: float) -> list[PppEffect]:
        """One PPP frame, with or without FF 03 and with a protocol field of one or two octets."""
        self._lcp.heard(now)
        return self._guarded(now, self._dispatch, frame)

    @abstractmethod
    def answer(self, reply: PppAnswer, now: float) -> list[PppEffect]:
        """The answer to a question. One to a question that is not open does nothing."""

    def expire(self, now: float) -> list[PppEffect]:
        """Run every timer that is due."""
        return self._guarded(now, self._expire)

    def close(self, reason: Reason, now: float) -> list[PppEffect]:
        """End the link at once: one Terminate-Request, then LinkDown; nobody waits for the Ack."""
        return self._guarded(now, self._terminate, reason, "")

    def heard(self, at: float) -> None:
        """Data came from the peer at `at` (which may lie in the past): no echo is needed yet."""
        self._lcp.heard(at)

    def _guarded(
        self, now: float, work: Callable[[float, *Ts], None], *args: *Ts
    ) -> list[PppEffect]:
        """Run `work`. What it raises leaves as effects, behind those that it made before."""
        if self._phase is not Phase.OVER:
            try:
                work(now, *args)
            except Refused as refused:
                self._terminate(now, refused.reason, refused.detail)
            except ProtocolError as error:
                self._drop(error.reason, error.detail)
        effects, self._effects = self._effects, []
        return effects

    # --- what the roles differ in -------------------------------------------------------------

    @abstractmethod
    def _authenticate(self, now: float) -> None:
        """LCP is open."""

    @abstractmethod
    def _why_closed(self, text: str) -> tuple[Reason, str]:
        """The peer sent a Terminate-Request that says `text`."""

    @abstractmethod
    def _on_claim(self, claim: Claim) -> None:
        """The peer gave a proof."""

    @abstractmethod
    def _enter_network(self, now: float, username: str) -> None:
        """Authentication is over (or was not asked for): open IPCP."""

    @abstractmethod
    def _hold_ipcp(self, packet: Packet) -> None:
        """The peer speaks IPCP before we can."""

    @abstractmethod
    def _forget_questions(self) -> None:
        """LCP starts again: no open question matters any more."""

    # --- frames -------------------------------------------------------------------------------

    def _start(self, now: float) -> None:
        if self._phase is Phase.DEAD:
            self._establish(now)
            self._carry_lcp(now, self._lcp.negotiation.open(now))

    def _establish(self, now: float) -> None:
        self._phase = Phase.ESTABLISH
        self._started = now
        self._lcp_heard = False
        self._deadlines.set(_ESTABLISHING, now + self._policy.lcp_seconds)

    def _dispatch(self, now: float, frame: bytes) -> None:
        protocol, information = parse_frame(frame)
        arrival = ARRIVALS.get(protocol, Arrival.OTHER)
        row = DISPATCH.lookup(self._phase, arrival)
        if isinstance(row, Verdict):
            self._drop(Reason.PPP_PHASE, f"{protocol:#06x} in phase {self._phase.value}")
        else:
            row.handler(self, now, protocol, information)

    def _send(self, protocol: int, packet: Packet) -> None:
        self._effects.append(SendPpp(build_frame(protocol, build_packet(packet))))

    def _drop(self, reason: Reason, detail: str) -> None:
        self._effects.append(PppDropped(reason, detail))

    def _reject(self, now: float, protocol: int, information: bytes) -> None:
        """RFC 1661 5.7: a protocol that we do not have.

        QUIRK(apple): 0x8235 and IPV6CP come right after authentication, and IPCP goes on.
        """
        if self._rejects.spend(now):
            self._send(Protocol.LCP, self._lcp.protocol_reject(protocol, information))
        self._drop(Reason.PPP_UNKNOWN_PROTOCOL, f"{protocol:#06x}")

    def _terminate(self, now: float, reason: Reason, detail: str) -> None:
        for output in self._lcp.negotiation.close(now):
            if isinstance(output, Packet):
                self._send(Protocol.LCP, output)
        self._finish(reason, detail)

    def _finish(self, reason: Reason, detail: str) -> None:
        self._phase = Phase.OVER
        self._deadlines.clear_all()
        self._effects.append(LinkDown(reason, detail))

    # --- LCP ----------------------------------------------------------------------------------

    def _on_lcp(self, now: float, protocol: int, information: bytes) -> None:
        packet = parse_packet(information)
        self._lcp_heard = True
        if packet.code == Code.TERMINATE_REQUEST:
            # The automaton would wait in Stopping for the peer's next words: there are none.
            self._send(protocol, Packet(Code.TERMINATE_ACK, packet.identifier, b""))
            self._finish(*(self._failure or self._why_closed(lcp.readable(packet.data))))
        elif self._phase is not Phase.TERMINATE:
            self._carry_lcp(now, self._lcp.receive(packet, now))

    def _carry_lcp(self, now: float, outputs: Sequence[LcpOutput]) -> None:
        for output in outputs:
            match output:
                case Packet():
                    self._send(Protocol.LCP, output)
                case Identified(text):
                    self._effects.append(PeerIdentified(text))
                case ProtocolRejected(protocol):
                    self._on_protocol_rejected(protocol)
                case Layer.UP:
                    self._deadlines.clear(_ESTABLISHING)
                    self._lcp.start_echo(now)
                    self._authenticate(now)
                case Layer.DOWN:
                    self._on_lcp_down(now)
                case Layer.FINISHED:
                    self._on_lcp_timeout(now)
                case Layer.STARTED:
                    pass
                case _:
                    assert_never(output)

    def _on_lcp_down(self, now: float) -> None:
        """The peer negotiates LCP again: everything above starts anew (RFC 1661 3.4)."""
        if not self._restarts.spend(now):
            raise Refused(Reason.LCP_NO_CONVERGENCE, "the peer starts LCP again and again")
        if self._ipcp is not None and self._ipcp.up:
            self._effects.append(NetworkDown(Reason.PPP_RENEGOTIATED))
        self._auth = None
        self._ipcp = None
        self._failure = None
        for name in (lcp.ECHO, auth.RESTART, ipcp.RESTART, _AUTHENTICATING, _NETWORKING):
            self._deadlines.clear(name)
        self._forget_questions()
        self._establish(now)

    def _on_lcp_timeout(self, now: float) -> None:
        del now
        if self._lcp_heard:
            raise Refused(Reason.LCP_NO_CONVERGENCE, "LCP was not open in time")
        raise Refused(Reason.LCP_TIMEOUT, "no LCP packet came")

    def _on_protocol_rejected(self, protocol: int) -> None:
        if not self._lcp.opened:
            raise ProtocolError(Reason.PPP_PHASE, "Protocol-Reject before LCP is open")
        detail = f"the peer rejects protocol {protocol:#06x}"
        if protocol == Protocol.LCP:
            raise Refused(Reason.LCP_NO_CONVERGENCE, detail)
        if protocol == Protocol.IPCP:
            raise Refused(Reason.IPCP_NO_CONVERGENCE, detail)
        if self._phase is Phase.AUTHENTICATE and self._auth and protocol == self._auth.protocol:
            raise Refused(Reason.NO_AUTH_METHOD, detail)
        self._drop(Reason.PPP_UNKNOWN_PROTOCOL, detail)

    # --- authentication -----------------------------------------------------------------------

    def _authenticate_by(self, now: float, machine: Authenticator | Supplicant) -> None:
        self._phase = Phase.AUTHENTICATE
        self._auth = machine
        self._deadlines.set(_AUTHENTICATING, now + self._policy.auth_seconds)
        self._carry_auth(now, machine, machine.start(now))

    def _on_auth(self, now: float, protocol: int, information: bytes) -> None:
        if self._auth is None or self._auth.protocol != protocol:
            raise ProtocolError(Reason.PPP_PHASE, f"{protocol:#06x} was not agreed on")
        self._carry_auth(now, self._auth, self._auth.receive(parse_packet(information), now))

    def _carry_auth(
        self, now: float, machine: Authenticator | Supplicant, outputs: list[AuthOutput]
    ) -> None:
        for output in outputs:
            match output:
                case Packet():
                    self._send(machine.protocol, output)
                case Claim():
                    self._on_claim(output)
                case Passed(username):
                    self._failure = None
                    seconds = now - self._started
                    self._effects.append(Authenticated(username, machine.method, seconds))
                    self._networking(now, username)
                case Failed():
                    self._on_failed(now, machine.method, output)
                case _:
                    assert_never(output)

    def _on_failed(self, now: float, method: str, failed: Failed) -> None:
        self._failure = (failed.reason, failed.detail)
        self._effects.append(
            AuthenticationFailed(failed.username, method, failed.reason, failed.detail)
        )
        if not failed.final:
            self._deadlines.set(_AUTHENTICATING, now + self._policy.auth_seconds)
        elif isinstance(self._auth, Authenticator):
            # The peer reads the reason and closes by itself; a Terminate-Request on the heels of
            # the verdict could overtake it, and the person would see no reason at all.
            self._phase = Phase.TERMINATE
            self._deadlines.clear_all()
            self._deadlines.set(_LINGERING, now + LINGER_SECONDS)
        else:
            self._terminate(now, failed.reason, failed.detail)

    # --- IPCP and the other network protocols -------------------------------------------------

    def _networking(self, now: float, username: str) -> None:
        self._phase = Phase.NETWORK
        self._deadlines.clear(_AUTHENTICATING)
        self._deadlines.set(_NETWORKING, now + self._policy.ipcp_seconds)
        self._enter_network(now, username)

    def _open_ipcp(self, now: float, options: GiverOptions | TakerOptions) -> None:
        self._ipcp = Ipcp(options, self._deadlines)
        self._carry_ipcp(now, self._ipcp.open(now))

    def _on_ipcp(self, now: float, protocol: int, information: bytes) -> None:
        del protocol
        packet = parse_packet(information)
        if self._ipcp is None:
            self._hold_ipcp(packet)
        else:
            self._carry_ipcp(now, self._ipcp.receive(packet, now))

    def _carry_ipcp(self, now: float, outputs: list[IpcpOutput]) -> None:
        for output in outputs:
            match output:
                case Packet():
                    self._send(Protocol.IPCP, output)
                case Granted():
                    self._deadlines.clear(_NETWORKING)
                    self._effects.append(self._network_up(now, output))
                case NetworkDown():
                    self._deadlines.set(_NETWORKING, now + self._policy.ipcp_seconds)
                    self._effects.append(output)
                case _:
                    assert_never(output)

    def _network_up(self, now: float, granted: Granted) -> NetworkUp:
        policy, agreed = self._policy, self._lcp.options
        return NetworkUp(
            local=granted.local,
            peer=granted.peer,
            dns=granted.dns,
            wins=granted.wins,
            mru=min(agreed.peer_mru, policy.mtu_max),
            compress_protocol=policy.compress_header and agreed.peer_pfc,
            compress_address=policy.compress_header and agreed.peer_acfc,
            seconds=now - self._started,
        )

    def _on_ipcp_timeout(self, now: float) -> None:
        del now
        if self._ipcp is None:
            raise Refused(Reason.IPCP_TIMEOUT, "no address was found in time")
        raise self._ipcp.give_up()

    def _on_ccp(self, now: float, protocol: int, information: bytes) -> None:
        match ccp.refuse(parse_packet(information)):
            case Packet() as packet if self._rejects.spend(now):
                self._send(Protocol.CCP, packet)
            case ccp.Refusal.PROTOCOL:
                self._reject(now, protocol, information)
            case _:
                pass

    # --- timers -------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for name in self._deadlines.pop_expired(now):
            # An earlier one may have ended the link, or moved this one.
            if self._phase is not Phase.OVER and self._deadlines.get(name) is None:
                _TIMERS[name](self, now)

    def _on_lcp_restart(self, now: float) -> None:
        self._carry_lcp(now, self._lcp.negotiation.expire(now))

    def _on_echo(self, now: float) -> None:
        self._carry_lcp(now, self._lcp.expire_echo(now))

    def _on_auth_restart(self, now: float) -> None:
        if self._auth is not None:
            self._carry_auth(now, self._auth, self._auth.expire(now))

    def _on_ipcp_restart(self, now: float) -> None:
        if self._ipcp is None:
            return
        if not self._ipcp.heard and isinstance(self._auth, Authenticator):
            # A pppd whose Success got lost drops our IPCP for good and never asks again.
            for packet in self._auth.remind():
                self._send(self._auth.protocol, packet)
        self._carry_ipcp(now, self._ipcp.expire(now))

    def _on_auth_timeout(self, now: float) -> None:
        self._terminate(now, *(self._failure or (Reason.AUTH_TIMEOUT, "")))

    def _on_linger(self, now: float) -> None:
        self._terminate(now, *(self._failure or (Reason.AUTH_TIMEOUT, "")))


_TIMERS: Final[Mapping[str, Callable[[Phases, float], None]]] = {
    lcp.RESTART: Phases._on_lcp_restart,
    lcp.ECHO: Phases._on_echo,
    auth.RESTART: Phases._on_auth_restart,
    ipcp.RESTART: Phases._on_ipcp_restart,
    _ESTABLISHING: Phases._on_lcp_timeout,
    _AUTHENTICATING: Phases._on_auth_timeout,
    _NETWORKING: Phases._on_ipcp_timeout,
    _LINGERING: Phases._on_linger,
}

_Handler: TypeAlias = Callable[[Phases, float, int, bytes], None]
_P, _A = Phase, Arrival

DISPATCH: Final[TransitionTable[Phase, Arrival, _Handler]] = TransitionTable(
    "ppp.phases",
    Phase,
    Arrival,
    [
        Row(_P.ESTABLISH, _A.LCP, Phases._on_lcp, None, "RFC 1661 3.4"),
        Row(_P.AUTHENTICATE, _A.LCP, Phases._on_lcp, None, "RFC 1661 3.5"),
        Row(_P.AUTHENTICATE, _A.PAP, Phases._on_auth, None, "RFC 1661 3.5"),
        Row(_P.AUTHENTICATE, _A.CHAP, Phases._on_auth, None, "RFC 1661 3.5"),
        Row(_P.NETWORK, _A.LCP, Phases._on_lcp, None, "RFC 1661 3.6"),
        Row(_P.NETWORK, _A.PAP, Phases._on_auth, None, "RFC 1334 2.2.1"),
        Row(_P.NETWORK, _A.CHAP, Phases._on_auth, None, "RFC 1994 4.2"),
        Row(_P.NETWORK, _A.IPCP, Phases._on_ipcp, None, "RFC 1661 3.6"),
        Row(_P.NETWORK, _A.CCP, Phases._on_ccp, None, "RFC 1962 2"),
        Row(_P.NETWORK, _A.OTHER, Phases._reject, None, "RFC 1661 5.7"),
        Row(_P.TERMINATE, _A.LCP, Phases._on_lcp, None, "RFC 1661 3.7"),
        Row(_P.TERMINATE, _A.PAP, Phases._on_auth, None, "RFC 1334 2.2.1"),
        Row(_P.TERMINATE, _A.CHAP, Phases._on_auth, None, "RFC 1994 4.2"),
    ],
    # RFC 1661 3.4, 3.5: what comes too early is dropped in silence, not rejected. IP in the
    # network phase is data that the plane did not let through.
    refused={
        _P.DEAD: tuple(Arrival),
        _P.ESTABLISH: tuple(arrival for arrival in Arrival if arrival is not _A.LCP),
        _P.AUTHENTICATE: (_A.IPCP, _A.CCP, _A.IP, _A.OTHER),
        _P.NETWORK: (_A.IP,),
        _P.TERMINATE: (_A.IPCP, _A.CCP, _A.IP, _A.OTHER),
        _P.OVER: tuple(Arrival),
    },
)
