"""The reliable delivery of control messages (RFC 2661 5.8 and appendix A).

Sequence numbers, our receive window with a queue for what came too early, the peer's window with
slow start, retransmission, acknowledgement at once or on the back of a reply. Knows no AVP: bodies
in, messages out. Data messages have nothing to do with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from ferrule.l2tp.header import ControlHeader, build_control
from ferrule.l2tp.image import ChannelImage, MessageImage

WAITS_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 8.0, 8.0)  # before retransmission 1 to 5, then the end
CYCLE_SECONDS: Final = sum(WAITS_SECONDS)
PEER_WINDOW_DEFAULT: Final = 4  # RFC 2661 4.4.3, when the peer does not say
STALE_MAX: Final = 8  # messages that a restored channel may not know of
REPEAT_SECONDS: Final = 0.5  # what comes again sooner was doubled on the way
BACKLOG_MAX: Final = 32  # of ours; beyond it we take nothing new, so the peer must acknowledge
_SEQUENCE: Final = 1 << 16
_HALF: Final = 1 << 15


@dataclass(slots=True)
class Incoming:
    """A message in its order: `session` of its header and its AVPs."""

    session: int
    body: bytes


@dataclass(slots=True)
class Arrival:
    """What one datagram brought. `dropped` says why its message was not taken, "" if it was;
    `acknowledged`: it freed something of ours."""

    messages: list[Incoming] = field(default_factory=list)
    dropped: str = ""
    acknowledged: bool = False


@dataclass(slots=True)
class Outgoing:
    """A message of ours, kept until it is acknowledged. Ns is that of its first sending."""

    ns: int
    session: int
    body: bytes
    sent: bool = False


class Channel:
    """One end of a control connection. Times are seconds of the caller's monotonic clock."""

    __slots__ = (
        "_cwnd",
        "_cwnd_credit",
        "_due",
        "_early",
        "_early_since",
        "_first_sent",
        "_in_flight",
        "_nr",
        "_ns",
        "_owes_ack",
        "_restored_ns",
        "_retries",
        "_ssthresh",
        "_stale",
        "_waiting",
        "_window",
        "peer_tunnel",
        "peer_window",
    )

    def __init__(self, receive_window: int) -> None:
        self.peer_tunnel = 0  # the peer's tunnel id, once it is known
        self.peer_window = PEER_WINDOW_DEFAULT
        self._window = receive_window
        self._ns = 0  # of the next new message
        self._nr = 0  # expected next
        self._early: dict[int, Incoming] = {}
        self._in_flight: list[Outgoing] = []  # short, and lists are small
        self._waiting: list[Outgoing] = []
        self._owes_ack = False
        self._retries = 0
        self._due: float | None = None
        self._first_sent = 0.0  # of the head of _in_flight
        self._cwnd = 1
        self._cwnd_credit = 0
        self._ssthresh = _HALF
        # After `restore`, until the peer has said what it has of ours, and what it thinks that we
        # have of its: what we were restored from may be older than what was sent.
        self._restored_ns: int | None = None
        self._stale = False
        self._early_since = 0.0

    def export(self) -> ChannelImage:
        messages = tuple(
            MessageImage(message.ns, message.session, message.body)
            for message in chain(self._in_flight, self._waiting)
        )
        return ChannelImage(self.peer_tunnel, self.peer_window, self._ns, self._nr, messages)

    def restore(self, image: ChannelImage, now: float) -> list[bytes]:
        """Go on where another process stood; returns what to send at once. All that the peer has
        not acknowledged counts as sent, and is sent again as the window opens."""
        self.peer_tunnel, self.peer_window = image.peer_tunnel, image.peer_window
        self._ns, self._nr = image.ns, image.nr
        self._waiting = [
            Outgoing(message.ns, message.session, message.body, sent=True)
            for message in image.messages
        ]
        self._restored_ns, self._stale = image.ns, True
        return self.flush(now)

    @property
    def due(self) -> float | None:
        """When the oldest unacknowledged message is sent again, or None."""
        return self._due

    @property
    def idle(self) -> bool:
        """Everything of ours is acknowledged."""
        return not self._in_flight and not self._waiting

    @property
    def next_ns(self) -> int:
        """The Ns that the next message of ours gets."""
        return self._ns

    @property
    def head(self) -> Outgoing | None:
        """The oldest message of ours that is not acknowledged."""
        return self._in_flight[0] if self._in_flight else None

    @property
    def head_sent(self) -> float:
        """When the head was sent first, or last forgiven."""
        return self._first_sent

    def receive(self, header: ControlHeader, body: bytes, now: float) -> Arrival:
        """Take in a message. Call `flush` and `acknowledge` afterwards to send what it caused."""
        arrival = Arrival(acknowledged=self._on_nr(header.nr, now))
        if not body:  # a ZLB: its Ns is that of a message yet to come
            return arrival
        ahead = (header.ns - self._nr) % _SEQUENCE
        if ahead >= _HALF:
            # RFC 2661 5.8: a duplicate is acknowledged, for its acknowledgement may be lost.
            self._owes_ack = True
            arrival.dropped = f"duplicate Ns {header.ns}"
        elif len(self._in_flight) + len(self._waiting) >= BACKLOG_MAX:
            arrival.dropped = f"Ns {header.ns} while {BACKLOG_MAX} of ours are unacknowledged"
        elif ahead >= self._window:
            arrival.dropped = f"Ns {header.ns} is beyond the window at {self._nr}"
        elif ahead and header.ns in self._early and not self._is_behind(ahead, now):
            arrival.dropped = f"duplicate Ns {header.ns}"
        else:
            if ahead and header.ns in self._early:
                self._nr = min(self._early, key=lambda ns: (ns - self._nr) % _SEQUENCE)
            elif not self._early:
                self._early_since = now
            self._early[header.ns] = Incoming(header.session, body)
            while (message := self._early.pop(self._nr, None)) is not None:
                arrival.messages.append(message)
                self._nr = (self._nr + 1) % _SEQUENCE
                self._owes_ack = True
                self._stale = False
        return arrival

    def send(self, session: int, body: bytes, now: float) -> list[bytes]:
        """Queue a message; returns what may be sent at once."""
        self._waiting.append(Outgoing(self._ns, session, body))
        self._ns = (self._ns + 1) % _SEQUENCE
        return self.flush(now)

    def flush(self, now: float) -> list[bytes]:
        """What the window lets through of what waits."""
        sent: list[bytes] = []
        while self._waiting and len(self._in_flight) < min(self._cwnd, self.peer_window):
            if not self._in_flight:
                self._start_cycle(now)
            message = self._waiting.pop(0)
            message.sent = True
            self._in_flight.append(message)
            sent.append(self._frame(message))
        return sent

    def acknowledge(self) -> list[bytes]:
        """A ZLB, if the peer is owed an acknowledgement that no message carried."""
        if not self._owes_ack:
            return []
        self._owes_ack = False
        return [build_control(ControlHeader(self.peer_tunnel, 0, self._ns_on_wire(), self._nr))]

    def expire(self, now: float) -> list[bytes] | None:
        """Send the oldest message again if it is time; None when the last wait is over."""
        if self._due is None or now < self._due:
            return []
        self._retries += 1
        if self._retries == len(WAITS_SECONDS):
            self._due = None
            return None
        # Appendix A.3: a loss halves the threshold and starts over with a window of 1. What was
        # in flight behind the lost message waits again and is repeated as the window opens.
        self._ssthresh = max(1, min(self._cwnd, self.peer_window) // 2)
        self._cwnd, self._cwnd_credit = 1, 0
        self._waiting[:0] = self._in_flight[1:]
        del self._in_flight[1:]
        self._due = now + WAITS_SECONDS[self._retries]
        return [self._frame(self._in_flight[0])]

    def forgive(self, now: float, seconds: float) -> list[bytes]:
        """The head is not acknowledged, but the peer lives: begin a new cycle in `seconds`, and
        let what is queued behind it go out."""
        self._retries = 0
        self._first_sent = now
        self._due = now + seconds
        self._cwnd = max(self._cwnd, self.peer_window)
        return self.flush(now)

    def abandon(self) -> None:
        """Send nothing of ours again; only acknowledge."""
        self._in_flight.clear()
        self._waiting.clear()
        self._early.clear()
        self._due = None

    def _on_nr(self, nr: int, now: float) -> bool:
        """Free what `nr` acknowledges. An Nr that fits nothing we sent is old, or a lie."""
        if self._restored_ns is not None:
            self._catch_up(nr, self._restored_ns)
            self._restored_ns = None
        count = 0
        for position, message in enumerate(chain(self._in_flight, self._waiting), 1):
            if not message.sent:
                break
            if (message.ns + 1) % _SEQUENCE == nr:
                count = position
        if not count:
            return False
        for _ in range(count):
            (self._in_flight or self._waiting).pop(0)
        self._retries = 0
        self._due = None
        if self._in_flight:
            self._start_cycle(now)
        self._grow(count)
        return True

    def _is_behind(self, ahead: int, now: float) -> bool:
        """After `restore` the peer repeats a message that came too early, and none before it: those
        were acknowledged where we come from."""
        return self._stale and ahead <= STALE_MAX and now >= self._early_since + REPEAT_SECONDS

    def _catch_up(self, nr: int, restored_ns: int) -> None:
        """The peer has had messages of whom we come from that we do not know of. What we said since
        then bore their numbers, so it was taken for them: it goes out again with new ones."""
        beyond = (nr - self._ns) % _SEQUENCE
        if not 0 < beyond <= STALE_MAX:
            return
        ours = [
            message
            for message in chain(self._in_flight, self._waiting)
            if (message.ns - restored_ns) % _SEQUENCE < _HALF
        ]
        for number, message in enumerate(ours):
            message.ns, message.sent = (nr + number) % _SEQUENCE, False
        self._in_flight, self._waiting = [], ours
        self._ns = (nr + len(ours)) % _SEQUENCE
        self._retries, self._due = 0, None

    def _grow(self, count: int) -> None:
        for _ in range(count):
            if self._cwnd < self._ssthresh:  # slow start
                self._cwnd += 1
            else:  # congestion avoidance
                self._cwnd_credit += 1
                if self._cwnd_credit >= self._cwnd:
                    self._cwnd, self._cwnd_credit = self._cwnd + 1, 0
        self._cwnd = min(self._cwnd, self.peer_window)

    def _start_cycle(self, now: float) -> None:
        self._first_sent = now
        self._due = now + WAITS_SECONDS[0]

    def _frame(self, message: Outgoing) -> bytes:
        self._owes_ack = False
        header = ControlHeader(self.peer_tunnel, message.session, message.ns, self._nr)
        return build_control(header, message.body)

    def _ns_on_wire(self) -> int:
        """RFC 2661 5.8: a ZLB carries the Ns of the next message to be sent."""
        return next((message.ns for message in self._waiting if not message.sent), self._ns)
