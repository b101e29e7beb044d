"""A small TCP in user space, the active side only (RFC 9293; RFC 6298 timer; RFC 5681 slow start).

One connection: IPv4 packets in, effects out, one deadline. In-order delivery with a queue for what
came early, go-back-N retransmission, window scaling, FIN and RST both ways. Left out: passive and
simultaneous open, urgent data, SACK, timestamps, fast retransmit, delayed acknowledgments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ferrule.client.ipv4 import HEADER_OCTETS as IP_HEADER_OCTETS
from ferrule.client.ipv4 import Ipv4Packet
from ferrule.client.tcp_reassembly import WINDOW_OCTETS, Reassembly
from ferrule.client.tcp_rto import RetransmissionTimeout
from ferrule.client.tcp_segment import (
    HEADER_OCTETS,
    MODULUS,
    Endpoint,
    Flag,
    Segment,
    before,
    build_segment,
    parse_segment,
)
from ferrule.client.tcp_states import (
    Closed,
    Connected,
    PeerFinished,
    Received,
    SendPacket,
    State,
    TcpEffect,
    Trigger,
)
from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.tables import Row, TransitionTable, Verdict

__all__ = [
    "TRANSITIONS",
    "Closed",
    "Connected",
    "PeerFinished",
    "Received",
    "SendPacket",
    "State",
    "TcpConnection",
    "TcpEffect",
    "Trigger",
]

_SCALE: Final = 3
_PEER_MSS_DEFAULT: Final = 536  # RFC 9293 3.7.1
_TRIES_MAX: Final = 7
_TIME_WAIT_SECONDS: Final = 0.5  # ports are drawn at random, so an old segment finds no one
_FIN_WAIT_SECONDS: Final = 5.0
_INITIAL_SEGMENTS: Final = 10  # RFC 6928


class TcpConnection:
    """One connection from `local` to `remote`; `mtu` bounds our packets, in octets."""

    def __init__(
        self, local: Endpoint, remote: Endpoint, mtu: int, entropy: Callable[[int], bytes]
    ) -> None:
        self.state = State.CLOSED
        self._local = local
        self._remote = remote
        self._our_mss = mtu - IP_HEADER_OCTETS - HEADER_OCTETS
        self._peer_mss = _PEER_MSS_DEFAULT
        self._timers = Deadlines()
        # sending
        self._initial = int.from_bytes(entropy(4), "big")
        self._una = self._next = self._initial  # SND.UNA, SND.NXT
        self._max_sent = self._initial  # the highest SND.NXT so far
        self._window = 0  # SND.WND in octets
        self._window_from = (0, 0)  # SND.WL1, SND.WL2
        self._peer_scale = 0
        self._our_scale = 0
        self._buffer = bytearray()  # not acknowledged yet; starts at SND.UNA
        self._fin: int | None = None  # the sequence number of our FIN, once it is due
        self._congestion_window = 0
        self._threshold = 1 << 30
        # retransmission timer
        self._rto = RetransmissionTimeout()
        self._timed: tuple[int, float] | None = None  # (acknowledgment awaited, sent at)
        self._tries = 0
        self._opened_at = 0.0
        self._incoming = Reassembly(0)

    # --- verbs

    @property
    def deadline(self) -> Deadline | None:
        return self._timers.next

    def open(self, now: float) -> list[TcpEffect]:
        """Send SYN."""
        self.state = State.SYN_SENT
        self._opened_at = now
        out: list[TcpEffect] = []
        self._send_syn(now, out)
        return out

    def send(self, data: bytes, now: float) -> list[TcpEffect]:
        """Queue `data`; it goes out as the windows allow. Only before `close`."""
        if self._fin is not None or self.state is State.CLOSED:
            raise ValueError("send after close")
        self._buffer += data
        out: list[TcpEffect] = []
        self._transmit(now, out)
        return out

    def close(self, now: float) -> list[TcpEffect]:
        """Send FIN after what is queued."""
        return self._step(Trigger.CLOSE, now, [])

    def abort(self, detail: str, now: float) -> list[TcpEffect]:
        """Send RST and be over."""
        out: list[TcpEffect] = []
        if self.state not in (State.CLOSED, State.SYN_SENT):
            self._emit(Flag.RST | Flag.ACK, self._next, b"", out)
        if self.state is not State.CLOSED:
            self._die(detail, out)
        return out

    def receive(self, packet: Ipv4Packet, now: float) -> list[TcpEffect]:
        """A packet from the tunnel; what is not of this connection is ignored."""
        try:
            segment = parse_segment(packet)
        except ProtocolError:
            return []
        ours = (
            packet.source == self._remote.address
            and segment.source_port == self._remote.port
            and segment.destination_port == self._local.port
        )
        if not ours or self.state is State.CLOSED:
            return []
        out: list[TcpEffect] = []
        if self.state is State.SYN_SENT:
            self._receive_in_syn_sent(segment, now, out)
        else:
            self._receive_synchronized(segment, now, out)
        return out

    def expire(self, now: float) -> list[TcpEffect]:
        out: list[TcpEffect] = []
        for name in self._timers.pop_expired(now):
            if name == "retransmit":
                self._on_retransmit(now, out)
            else:
                self._step(Trigger.WAIT_OVER, now, out)
        return out

    # --- the state table

    def _step(self, trigger: Trigger, now: float, out: list[TcpEffect]) -> list[TcpEffect]:
        row = TRANSITIONS.lookup(self.state, trigger)
        if isinstance(row, Verdict):
            return out
        if row.next is not None:
            self.state = row.next
        row.handler(self, now, out)
        return out

    def _on_syn_ack(self, now: float, out: list[TcpEffect]) -> None:
        out.append(Connected(now - self._opened_at))

    def _on_close(self, now: float, out: list[TcpEffect]) -> None:
        self._fin = (self._una + len(self._buffer)) % MODULUS
        self._transmit(now, out)

    def _on_peer_fin(self, now: float, out: list[TcpEffect]) -> None:
        del now
        out.append(PeerFinished())

    def _on_fin_wait_2(self, now: float, out: list[TcpEffect]) -> None:
        del out
        self._timers.set("wait", now + _FIN_WAIT_SECONDS)

    def _on_time_wait(self, now: float, out: list[TcpEffect]) -> None:
        del out
        self._timers.clear_all()
        self._timers.set("wait", now + _TIME_WAIT_SECONDS)

    def _on_last_fin(self, now: float, out: list[TcpEffect]) -> None:
        self._on_peer_fin(now, out)
        self._on_time_wait(now, out)

    def _on_closed(self, now: float, out: list[TcpEffect]) -> None:
        del now
        self._die("", out)

    def _on_refused(self, now: float, out: list[TcpEffect]) -> None:
        del now
        self._die("connection refused", out)

    def _on_reset(self, now: float, out: list[TcpEffect]) -> None:
        del now
        self._die("connection reset by the peer", out)

    def _on_give_up(self, now: float, out: list[TcpEffect]) -> None:
        del now
        self._die("no answer", out)

    def _die(self, detail: str, out: list[TcpEffect]) -> None:
        self.state = State.CLOSED
        self._timers.clear_all()
        self._buffer.clear()
        out.append(Closed(detail))

    # --- receiving

    def _receive_in_syn_sent(self, segment: Segment, now: float, out: list[TcpEffect]) -> None:
        """RFC 9293 3.10.7.3."""
        if not segment.flags & Flag.ACK or segment.acknowledgment != self._next:
            return
        if segment.flags & Flag.RST:
            self._step(Trigger.RESET, now, out)
            return
        if not segment.flags & Flag.SYN:
            return
        self._incoming = Reassembly((segment.sequence + 1) % MODULUS)
        self._peer_mss = max(64, min(segment.mss or _PEER_MSS_DEFAULT, self._our_mss))
        if segment.scale is not None:
            self._peer_scale, self._our_scale = segment.scale, _SCALE
        self._congestion_window = _INITIAL_SEGMENTS * self._peer_mss
        self._una = segment.acknowledgment
        self._window = segment.window  # RFC 7323 2.2: never scaled in a SYN
        self._window_from = (segment.sequence, segment.acknowledgment)
        self._timers.clear("retransmit")
        if not self._tries:
            self._rto.measure(now - self._opened_at)
        self._timed, self._tries = None, 0
        self._step(Trigger.SYN_ACK, now, out)
        sent = len(out)
        self._transmit(now, out)
        if len(out) == sent:
            self._acknowledge(out)

    def _receive_synchronized(self, segment: Segment, now: float, out: list[TcpEffect]) -> None:
        """RFC 9293 3.10.7.4."""
        if segment.flags & Flag.RST:
            # RFC 5961 3.2: only the very next sequence number resets.
            if segment.sequence == self._incoming.expected:
                self._step(Trigger.RESET, now, out)
            return
        if segment.flags & Flag.SYN or not segment.flags & Flag.ACK:
            self._acknowledge(out)
            return
        self._take_acknowledgment(segment, now, out)
        if self.state is State.CLOSED:
            return
        if segment.length:
            self._take_data(segment, now, out)
            self._acknowledge(out)

    def _take_acknowledgment(self, segment: Segment, now: float, out: list[TcpEffect]) -> None:
        acknowledged = segment.acknowledgment
        if before(self._max_sent, acknowledged):
            return  # it acknowledges what was never sent
        if before(self._window_from[0], segment.sequence) or (
            segment.sequence == self._window_from[0]
            and not before(acknowledged, self._window_from[1])
        ):
            self._window = segment.window << self._peer_scale
            self._window_from = (segment.sequence, acknowledged)
        if before(self._una, acknowledged):
            self._advance(acknowledged, now)
            if self._fin is not None and before(self._fin, acknowledged):
                self._step(Trigger.FIN_ACKED, now, out)
        self._transmit(now, out)

    def _advance(self, acknowledged: int, now: float) -> None:
        """Forget what the peer has; grow the congestion window; restart the timer."""
        octets = (acknowledged - self._una) % MODULUS
        del self._buffer[:octets]
        self._una = acknowledged
        if before(self._next, acknowledged):
            self._next = acknowledged  # it had more than we thought when we went back
        if self._timed is not None and not before(acknowledged, self._timed[0]):
            self._rto.measure(now - self._timed[1])
            self._timed = None
        self._tries = 0
        if self._congestion_window < self._threshold:
            self._congestion_window += min(octets, self._peer_mss)
        else:
            self._congestion_window += self._peer_mss**2 // self._congestion_window or 1
        if self._una == self._max_sent:
            self._timers.clear("retransmit")
        else:
            self._timers.set("retransmit", now + self._rto.seconds)

    def _take_data(self, segment: Segment, now: float, out: list[TcpEffect]) -> None:
        incoming = self._incoming
        was_finished = incoming.finished
        out += map(Received, incoming.take(segment))
        if incoming.finished and not was_finished:
            self._step(Trigger.PEER_FIN, now, out)

    # --- sending

    def _emit(self, flags: Flag, sequence: int, data: bytes, out: list[TcpEffect]) -> None:
        segment = Segment(
            self._local.port,
            self._remote.port,
            sequence,
            self._incoming.expected if flags & Flag.ACK else 0,
            flags,
            min(WINDOW_OCTETS >> self._our_scale, 0xFFFF),
            data,
        )
        if flags & Flag.SYN:
            segment.mss, segment.scale = self._our_mss, _SCALE
        out.append(SendPacket(build_segment(segment, self._local.address, self._remote.address)))

    def _acknowledge(self, out: list[TcpEffect]) -> None:
        self._emit(Flag.ACK, self._next, b"", out)

    def _send_syn(self, now: float, out: list[TcpEffect]) -> None:
        self._emit(Flag.SYN, self._initial, b"", out)
        self._next = self._max_sent = (self._initial + 1) % MODULUS
        self._timers.set("retransmit", now + self._rto.seconds)

    def _transmit(self, now: float, out: list[TcpEffect], *, probe: bool = False) -> None:
        """Send what both windows allow, and FIN behind the last octet. `probe`: an octet more
        than a closed window allows (RFC 9293 3.8.6.1)."""
        if self.state in (State.SYN_SENT, State.CLOSED):
            return
        window = min(self._window, self._congestion_window)
        if probe and not window:
            window = 1
        while True:
            offset = (self._next - self._una) % MODULUS
            size = max(0, min(self._peer_mss, len(self._buffer) - offset, window - offset))
            if not size and self._next != self._fin:
                break
            data = bytes(self._buffer[offset : offset + size])
            flags = Flag.ACK | Flag.PSH if data else Flag.ACK
            if self._fin is not None and offset + size == len(self._buffer):
                flags |= Flag.FIN
            self._emit(flags, self._next, data, out)
            if self._next == self._max_sent and self._timed is None:
                self._timed = ((self._next + size) % MODULUS, now)
            self._next = (self._next + size + bool(flags & Flag.FIN)) % MODULUS
            if before(self._max_sent, self._next):
                self._max_sent = self._next
        waiting = self._una != self._max_sent or len(self._buffer) > 0
        if waiting and self._timers.get("retransmit") is None:
            self._timers.set("retransmit", now + self._rto.seconds)

    def _on_retransmit(self, now: float, out: list[TcpEffect]) -> None:
        """RFC 6298 5.4 to 5.6: send the earliest again, double the timer."""
        self._tries += 1
        if self._tries > _TRIES_MAX:
            self._step(Trigger.GIVE_UP, now, out)
            return
        self._rto.back_off()
        self._timed = None  # Karn: never measure what was sent twice
        if self.state is State.SYN_SENT:
            self._send_syn(now, out)
            return
        self._threshold = max(self._congestion_window // 2, 2 * self._peer_mss)
        self._congestion_window = self._peer_mss
        self._next = self._una
        self._timers.set("retransmit", now + self._rto.seconds)
        self._transmit(now, out, probe=True)


_Handler: TypeAlias = Callable[[TcpConnection, float, list[TcpEffect]], None]
_C, _S, _T = TcpConnection, State, Trigger
_SYNCHRONIZED = [s for s in State if s not in (_S.SYN_SENT, _S.CLOSED)]
_RESETS: list[Row[State, Trigger, _Handler]] = [
    Row(s, _T.RESET, _C._on_reset, _S.CLOSED, "RFC 5961 3.2") for s in _SYNCHRONIZED
]
_GIVE_UPS: list[Row[State, Trigger, _Handler]] = [
    Row(s, _T.GIVE_UP, _C._on_give_up, _S.CLOSED, "RFC 9293 3.10.8")
    for s in _SYNCHRONIZED
    if s not in (_S.FIN_WAIT_2, _S.TIME_WAIT)
]

TRANSITIONS: Final[TransitionTable[State, Trigger, _Handler]] = TransitionTable(
    "tcp",
    State,
    Trigger,
    [
        Row(_S.SYN_SENT, _T.SYN_ACK, _C._on_syn_ack, _S.ESTABLISHED, "RFC 9293 3.10.7.3"),
        Row(_S.SYN_SENT, _T.CLOSE, _C._on_closed, _S.CLOSED, "RFC 9293 3.10.4"),
        Row(_S.SYN_SENT, _T.RESET, _C._on_refused, _S.CLOSED, "RFC 9293 3.10.7.3"),
        Row(_S.SYN_SENT, _T.GIVE_UP, _C._on_give_up, _S.CLOSED, "RFC 9293 3.10.8"),
        Row(_S.ESTABLISHED, _T.CLOSE, _C._on_close, _S.FIN_WAIT_1, "RFC 9293 3.10.4"),
        Row(_S.ESTABLISHED, _T.PEER_FIN, _C._on_peer_fin, _S.CLOSE_WAIT, "RFC 9293 3.10.7.4"),
        Row(_S.FIN_WAIT_1, _T.FIN_ACKED, _C._on_fin_wait_2, _S.FIN_WAIT_2, "RFC 9293 3.10.7.4"),
        Row(_S.FIN_WAIT_1, _T.PEER_FIN, _C._on_peer_fin, _S.CLOSING, "RFC 9293 3.10.7.4"),
        Row(_S.FIN_WAIT_2, _T.PEER_FIN, _C._on_last_fin, _S.TIME_WAIT, "RFC 9293 3.10.7.4"),
        Row(_S.FIN_WAIT_2, _T.WAIT_OVER, _C._on_closed, _S.CLOSED, "RFC 9293 3.10.8"),
        Row(_S.CLOSING, _T.FIN_ACKED, _C._on_time_wait, _S.TIME_WAIT, "RFC 9293 3.10.7.4"),
        Row(_S.CLOSE_WAIT, _T.CLOSE, _C._on_close, _S.LAST_ACK, "RFC 9293 3.10.4"),
        Row(_S.LAST_ACK, _T.FIN_ACKED, _C._on_closed, _S.CLOSED, "RFC 9293 3.10.7.4"),
        Row(_S.TIME_WAIT, _T.WAIT_OVER, _C._on_closed, _S.CLOSED, "RFC 9293 3.10.8"),
        *_RESETS,
        *_GIVE_UPS,
    ],
    ignored={
        _S.SYN_SENT: [_T.FIN_ACKED, _T.PEER_FIN, _T.WAIT_OVER],
        _S.ESTABLISHED: [_T.SYN_ACK, _T.FIN_ACKED, _T.WAIT_OVER],
        _S.FIN_WAIT_1: [_T.SYN_ACK, _T.CLOSE, _T.WAIT_OVER],
        _S.FIN_WAIT_2: [_T.SYN_ACK, _T.CLOSE, _T.FIN_ACKED, _T.GIVE_UP],
        _S.CLOSING: [_T.SYN_ACK, _T.CLOSE, _T.PEER_FIN, _T.WAIT_OVER],
        _S.TIME_WAIT: [_T.SYN_ACK, _T.CLOSE, _T.FIN_ACKED, _T.PEER_FIN, _T.GIVE_UP],
        _S.CLOSE_WAIT: [_T.SYN_ACK, _T.FIN_ACKED, _T.PEER_FIN, _T.WAIT_OVER],
        _S.LAST_ACK: [_T.SYN_ACK, _T.CLOSE, _T.PEER_FIN, _T.WAIT_OVER],
        _S.CLOSED: list(Trigger),
    },
)
