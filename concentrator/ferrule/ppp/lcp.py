"""LCP (RFC 1661) with its own codes: echo both ways, Protocol-Reject, Identification (RFC 1570).

Option negotiation is `negotiation` with `lcp_options`. Link quality and authentication are not
here; what a phase may do is decided in `phases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.automaton import State
from ferrule.ppp.lcp_options import LcpOptions
from ferrule.ppp.negotiation import Layer, Negotiation
from ferrule.ppp.options import Refused
from ferrule.ppp.packet import HEADER_OCTETS, Code, Packet
from ferrule.ppp.policy import PppPolicy

RESTART: Final = "lcp-restart"
ECHO: Final = "echo"
_LOOPED_ECHOES_MAX: Final = 3
_IDENTIFICATIONS_MAX: Final = 8
_TEXT_MAX: Final = 128


@dataclass(slots=True)
class Identified:
    """Identification: the peer's software names itself."""

    text: str


@dataclass(slots=True)
class ProtocolRejected:
    """The peer does not know a protocol that we sent."""

    protocol: int


LcpOutput: TypeAlias = Packet | Layer | Identified | ProtocolRejected


def readable(octets: bytes) -> str:
    """Text of the peer's for a log: printable ASCII, at most 128 characters."""
    return "".join(chr(octet) if 0x20 <= octet < 0x7F else "?" for octet in octets[:_TEXT_MAX])


class Lcp:
    """The Link Control Protocol of one link."""

    __slots__ = (
        "_deadlines",
        "_heard_at",
        "_identifications",
        "_looped_echoes",
        "_policy",
        "_unanswered",
        "negotiation",
        "options",
    )

    def __init__(self, policy: PppPolicy, options: LcpOptions, deadlines: Deadlines) -> None:
        self.options = options
        self.negotiation = Negotiation(options, deadlines, RESTART, late_peer=options.authenticator)
        self._policy = policy
        self._deadlines = deadlines
        self._heard_at = 0.0
        self._unanswered = 0
        self._identifications = 0
        self._looped_echoes = 0

    @property
    def opened(self) -> bool:
        return self.negotiation.state is State.OPENED

    def receive(self, packet: Packet, now: float) -> list[LcpOutput]:
        """Raises Malformed and ProtocolError (drop), Refused (end the link)."""
        handler = _HANDLERS.get(packet.code)
        if handler is None:
            return [*self.negotiation.receive(packet, now)]
        return handler(self, packet)

    # --- echo (RFC 1661 5.8) ------------------------------------------------------------------

    def start_echo(self, now: float) -> None:
        """LCP is open: from now on silence is looked into."""
        self._heard_at = max(self._heard_at, now)
        self._unanswered = 0
        if self._policy.echo_seconds > 0:
            self._deadlines.set(ECHO, now + self._policy.echo_seconds)

    def heard(self, at: float) -> None:
        """The peer showed life at `at`, which may lie in the past."""
        if at > self._heard_at:
            self._heard_at = at
            self._unanswered = 0

    def expire_echo(self, now: float) -> list[LcpOutput]:
        """An Echo-Request if the peer was silent. Raises Refused when it is gone."""
        due = self._heard_at + self._policy.echo_seconds
        if due > now and not self._unanswered:
            self._deadlines.set(ECHO, due)
            return []
        if self._unanswered >= self._policy.echo_failures:
            raise Refused(Reason.LCP_ECHO_TIMEOUT, f"{self._unanswered} echoes unanswered")
        self._unanswered += 1
        self._deadlines.set(ECHO, now + self._policy.echo_seconds)
        identifier = self.negotiation.next_identifier()
        return [Packet(Code.ECHO_REQUEST, identifier, self.options.magic)]

    def _on_echo_request(self, packet: Packet) -> list[LcpOutput]:
        if not self.opened:
            raise ProtocolError(Reason.PPP_PHASE, "Echo-Request before LCP is open")
        if len(packet.data) < 4:
            raise Malformed(Reason.PPP_MALFORMED, "Echo-Request without a magic number")
        if any(self.options.magic) and packet.data[:4] == self.options.magic:
            self._looped_echoes += 1
            if self._looped_echoes >= _LOOPED_ECHOES_MAX:
                raise Refused(Reason.LCP_LOOPED, "our Echo-Request came back")
        return [Packet(Code.ECHO_REPLY, packet.identifier, self.options.magic + packet.data[4:])]

    def _on_sign_of_life(self, packet: Packet) -> list[LcpOutput]:
        """Echo-Reply, Discard-Request, Time-Remaining: `heard` has done what there is to do."""
        del packet
        return []

    # --- the rest -----------------------------------------------------------------------------

    def _on_protocol_reject(self, packet: Packet) -> list[LcpOutput]:
        if len(packet.data) < 2:
            raise Malformed(Reason.PPP_MALFORMED, "Protocol-Reject of nothing")
        return [ProtocolRejected(int.from_bytes(packet.data[:2]))]

    def _on_identification(self, packet: Packet) -> list[LcpOutput]:
        self._identifications += 1
        if self._identifications > _IDENTIFICATIONS_MAX:
            raise ProtocolError(Reason.PPP_PHASE, "one Identification after the other")
        return [Identified(readable(packet.data[4:]))]

    def protocol_reject(self, protocol: int, information: bytes) -> Packet:
        """RFC 1661 5.7: what is rejected, cut down to the peer's MRU."""
        data = protocol.to_bytes(2) + information
        data = data[: self.options.peer_mru - HEADER_OCTETS]
        return Packet(Code.PROTOCOL_REJECT, self.negotiation.next_identifier(), data)


_HANDLERS: Final[Mapping[int, Callable[[Lcp, Packet], list[LcpOutput]]]] = {
    Code.PROTOCOL_REJECT: Lcp._on_protocol_reject,
    Code.ECHO_REQUEST: Lcp._on_echo_request,
    Code.ECHO_REPLY: Lcp._on_sign_of_life,
    Code.DISCARD_REQUEST: Lcp._on_sign_of_life,
    Code.IDENTIFICATION: Lcp._on_identification,
    Code.TIME_REMAINING: Lcp._on_sign_of_life,
}
