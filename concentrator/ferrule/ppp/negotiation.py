"""One run of the option negotiation: automaton, restart timer, identifiers, loop limits.

RFC 1661 4.4 (actions), 4.6 (counters and timers) and 5.1 to 5.7 (packets). LCP and IPCP each own
one; what they negotiate is their `OptionSet`. Codes above 7 are theirs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, TypeAlias

from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.automaton import TIMED, Action, Event, State, step
from ferrule.ppp.image import AgreedImage
from ferrule.ppp.options import Judgement, OptionSet, Refused
from ferrule.ppp.packet import (
    Code,
    Option,
    Packet,
    build_options,
    build_packet,
    parse_options,
)

# DEVIATION: RFC 1661 4.6 has 3 s throughout. A request lost at the start is the usual cause of a
# slow connect, so the first repetition comes after 1 s; then the timer grows to the RFC's.
RESTART_SECONDS: Final = (1.0, 2.0, 3.0)
# A peer that starts to speak later than this after our request may not have heard it.
REPEAT_SECONDS: Final = 0.02
MAX_CONFIGURE: Final = 10
MAX_TERMINATE: Final = 2
MAX_FAILURE: Final = 5  # Configure-Naks that we send before we reject
MAX_REFUSALS: Final = 10  # Configure-Naks and -Rejects that we take before we give up
REJECT_OCTETS: Final = 128  # of a rejected packet that we send back


class Layer(Enum):
    """What the layers above and below learn (RFC 1661 4.4)."""

    UP = "up"
    DOWN = "down"
    STARTED = "started"
    FINISHED = "finished"


Output: TypeAlias = Packet | Layer


class Negotiation:
    """Events in, packets and layer changes out. `timer` names its deadline in `deadlines`.

    `late_peer`: the peer may not have been there when our first request went out.
    """

    __slots__ = (
        "_acked",
        "_asked_at",
        "_awaited",
        "_deadlines",
        "_expects_late_peer",
        "_identifier",
        "_naks_sent",
        "_options",
        "_reacks",
        "_refusals",
        "_restarts",
        "_restarts_left",
        "_sent_twice",
        "_timer",
        "state",
    )

    def __init__(
        self, options: OptionSet, deadlines: Deadlines, timer: str, *, late_peer: bool = False
    ) -> None:
        self.state = State.INITIAL
        self._options = options
        self._deadlines = deadlines
        self._timer = timer
        self._identifier = 0
        self._awaited: tuple[int, bytes] | None = None  # our request that has no reply yet
        self._acked: tuple[int, bytes] | None = None  # the peer's request that we acknowledged
        self._asked_at = 0.0
        self._expects_late_peer = late_peer  # until its first Configure-Request
        self._sent_twice: tuple[int, bytes] | None = None  # may be acknowledged twice
        self._reacks = 0
        self._restarts = 0
        self._restarts_left = 0
        self._naks_sent = 0
        self._refusals = 0

    # --- to another process and back ----------------------------------------------------------

    def export(self) -> AgreedImage | None:
        """None: it is not open."""
        if self.state is not State.OPENED or self._acked is None:
            return None
        return AgreedImage(self._identifier, *self._acked)

    def restore(self, image: AgreedImage) -> None:
        """It is open, as it was elsewhere; the options are restored by their owner."""
        self.state = State.OPENED
        self._identifier = image.identifier
        self._acked = (image.request_identifier, image.request)
        self._restarts_left = MAX_CONFIGURE
        self._expects_late_peer = False

    # --- the verbs ----------------------------------------------------------------------------

    def open(self, now: float) -> list[Output]:
        """Administrative Open with the lower layer up: the first Configure-Request."""
        return self.on_event(Event.OPEN, now) + self.on_event(Event.UP, now)

    def close(self, now: float) -> list[Output]:
        return self.on_event(Event.CLOSE, now)

    def expire(self, now: float) -> list[Output]:
        """The restart timer ran out."""
        return self.on_event(Event.TO_PLUS if self._restarts_left > 0 else Event.TO_MINUS, now)

    def receive(self, packet: Packet, now: float) -> list[Output]:
        """Raises Malformed and ProtocolError (drop the packet), Refused (end the link)."""
        handler = _HANDLERS.get(packet.code)
        if handler is None:
            rejected = build_packet(packet)[:REJECT_OCTETS]
            reply = Packet(Code.CODE_REJECT, self.next_identifier(), rejected)
            return self.on_event(Event.RUC, now, reply)
        return handler(self, packet, now)

    def next_identifier(self) -> int:
        self._identifier = self._identifier % 255 + 1
        return self._identifier

    # --- packets (RFC 1661 5) -----------------------------------------------------------------

    def _on_configure_request(self, packet: Packet, now: float) -> list[Output]:
        options = parse_options(packet.data)
        request = (packet.identifier, packet.data)
        if self.state is State.OPENED and request == self._acked and self._reacks < MAX_CONFIGURE:
            # DEVIATION: RFC 1661 4.1 renegotiates. The octets of the request that we acknowledged
            # are a repetition by a peer that lost our answer, not a wish to start again.
            self._reacks += 1
            return [Packet(Code.CONFIGURE_ACK, packet.identifier, packet.data)]
        code, replied = self._verdict(options, self._options.judge(options))
        reply = Packet(code, packet.identifier, build_options(replied))
        good = code is Code.CONFIGURE_ACK
        repeated = self._repeated_request(now)
        return repeated + self.on_event(Event.RCR_PLUS if good else Event.RCR_MINUS, now, reply)

    def _repeated_request(self, now: float) -> list[Output]:
        """Our request again, once, if the peer's first one comes while ours has no reply.

        QUIRK(pppd): xl2tpd starts pppd after the call is up, so the request that we sent at once
        found nobody, and the peer would wait for our timer. It goes out before our answer: a
        peer that did hear the first one acknowledges it twice, which harms nothing.
        """
        late, self._expects_late_peer = self._expects_late_peer, False
        if not late or self._awaited is None or now - self._asked_at < REPEAT_SECONDS:
            return []
        self._sent_twice = self._awaited
        return [Packet(Code.CONFIGURE_REQUEST, *self._awaited)]

    def _verdict(self, options: list[Option], judgement: Judgement) -> tuple[Code, list[Option]]:
        """RFC 1661 5.2 to 5.4: the reply's code and options."""
        if judgement.rejects:
            return Code.CONFIGURE_REJECT, judgement.rejects
        if not judgement.naks:
            return Code.CONFIGURE_ACK, options
        if self._naks_sent < MAX_FAILURE:
            return Code.CONFIGURE_NAK, judgement.naks
        # RFC 1661 4.6: after Max-Failure naks the options in dispute are rejected.
        types = {option.type for option in judgement.naks}
        if types & self._options.indispensable or not judgement.nakked:
            raise Refused(self._options.unconverged, f"the peer insists on options {sorted(types)}")
        return Code.CONFIGURE_REJECT, judgement.nakked

    def _on_configure_ack(self, packet: Packet, now: float) -> list[Output]:
        if self._awaited is None and (packet.identifier, packet.data) == self._sent_twice:
            self._sent_twice = None
            return []
        self._take_reply(packet)
        self._refusals = 0
        return self.on_event(Event.RCA, now)

    def _on_configure_nak(self, packet: Packet, now: float) -> list[Output]:
        options = parse_options(packet.data)
        self._take_reply(packet)
        self._count_refusal()
        self._options.on_nak(options)
        return self.on_event(Event.RCN, now)

    def _on_configure_reject(self, packet: Packet, now: float) -> list[Output]:
        options = parse_options(packet.data)
        self._take_reply(packet)
        self._count_refusal()
        self._options.on_reject(options)
        return self.on_event(Event.RCN, now)

    def _take_reply(self, packet: Packet) -> None:
        """RFC 1661 5.2 to 5.4: a reply has the identifier of the last request; an Ack repeats it.

        A second reply to the same request is stale, so that a duplicate never restarts anything.
        """
        awaited = self._awaited
        if awaited is None or packet.identifier != awaited[0]:
            raise ProtocolError(Reason.PPP_PHASE, f"stale reply {packet.identifier}")
        if packet.code == Code.CONFIGURE_ACK and packet.data != awaited[1]:
            raise ProtocolError(Reason.PPP_MALFORMED, "Configure-Ack of something else")
        self._awaited = None

    def _count_refusal(self) -> None:
        self._refusals += 1
        if self._refusals > MAX_REFUSALS:
            raise Refused(self._options.unconverged, "the peer refuses whatever we ask")

    def _on_terminate_request(self, packet: Packet, now: float) -> list[Output]:
        return self.on_event(Event.RTR, now, Packet(Code.TERMINATE_ACK, packet.identifier, b""))

    def _on_terminate_ack(self, packet: Packet, now: float) -> list[Output]:
        del packet
        return self.on_event(Event.RTA, now)

    def _on_code_reject(self, packet: Packet, now: float) -> list[Output]:
        code = packet.data[0] if packet.data else 0
        if Code.CONFIGURE_REQUEST <= code <= Code.CODE_REJECT:
            raise Refused(self._options.unconverged, f"the peer rejects code {code}")
        return self.on_event(Event.RXJ_PLUS, now)

    # --- actions (RFC 1661 4.4) ---------------------------------------------------------------

    def on_event(self, event: Event, now: float, reply: Packet | None = None) -> list[Output]:
        """Run one cell of the table. `reply` is what sca, scn, sta and scj send."""
        actions, self.state = step(self.state, event)
        outputs: list[Output] = []
        for action in actions:
            match action:
                case Action.TLU:
                    outputs.append(Layer.UP)
                case Action.TLD:
                    self._forget()
                    outputs.append(Layer.DOWN)
                case Action.TLS:
                    outputs.append(Layer.STARTED)
                case Action.TLF:
                    outputs.append(Layer.FINISHED)
                case Action.IRC:
                    self._restarts = 0
                    self._restarts_left = MAX_TERMINATE if Action.STR in actions else MAX_CONFIGURE
                case Action.ZRC:
                    self._restarts_left = 0
                    self._deadlines.set(self._timer, now + RESTART_SECONDS[0])
                case Action.SCR:
                    outputs.append(self._configure_request(now))
                case Action.STR:
                    self._start_timer(now)
                    outputs.append(Packet(Code.TERMINATE_REQUEST, self.next_identifier(), b""))
                case Action.STA:
                    ours = reply is None or reply.code != Code.TERMINATE_ACK
                    identifier = self.next_identifier() if ours or not reply else reply.identifier
                    outputs.append(Packet(Code.TERMINATE_ACK, identifier, b""))
                case Action.SCA if reply is not None:
                    self._acked = (reply.identifier, reply.data)
                    self._reacks = self._naks_sent = 0
                    self._options.accept(parse_options(reply.data))
                    outputs.append(reply)
                case Action.SCN if reply is not None:
                    if reply.code == Code.CONFIGURE_NAK:
                        self._naks_sent += 1
                    outputs.append(reply)
                case Action.SCJ if reply is not None:
                    outputs.append(reply)
                case _:
                    pass  # ser: LCP answers echoes itself
        if self.state not in TIMED:
            self._deadlines.clear(self._timer)
        return outputs

    def _configure_request(self, now: float) -> Packet:
        """RFC 1661 5.1: a new identifier unless this repeats a request that has no reply."""
        data = build_options(self._options.request())
        if self._awaited is None or self._awaited[1] != data:
            self._awaited = (self.next_identifier(), data)
        self._asked_at = now
        self._start_timer(now)
        return Packet(Code.CONFIGURE_REQUEST, *self._awaited)

    def _start_timer(self, now: float) -> None:
        seconds = RESTART_SECONDS[min(self._restarts, len(RESTART_SECONDS) - 1)]
        self._restarts += 1
        self._restarts_left -= 1
        self._deadlines.set(self._timer, now + seconds)

    def _forget(self) -> None:
        self._awaited = self._acked = None
        self._reacks = self._naks_sent = self._refusals = 0
        self._restarts = 0
        self._restarts_left = MAX_CONFIGURE
        self._options.reset()


_HANDLERS: Final[Mapping[int, Callable[[Negotiation, Packet, float], list[Output]]]] = {
    Code.CONFIGURE_REQUEST: Negotiation._on_configure_request,
    Code.CONFIGURE_ACK: Negotiation._on_configure_ack,
    Code.CONFIGURE_NAK: Negotiation._on_configure_nak,
    Code.CONFIGURE_REJECT: Negotiation._on_configure_reject,
    Code.TERMINATE_REQUEST: Negotiation._on_terminate_request,
    Code.TERMINATE_ACK: Negotiation._on_terminate_ack,
    Code.CODE_REJECT: Negotiation._on_code_reject,
}
