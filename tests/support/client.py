"""The other end for tests of the probe's own IP stack: a TCP responder and a bad link."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from ferrule.client.ipv4 import Ipv4Packet, parse_ipv4
from ferrule.client.tcp_segment import (
    MODULUS,
    Flag,
    Segment,
    before,
    build_segment,
    parse_segment,
)

CLIENT = IPv4Address("10.9.0.2")
SERVER = IPv4Address("192.0.2.80")


def entropy_of(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


class TcpResponder:
    """A passive TCP that answers each whole request with `reply(request)` and closes.

    Written apart from the code under test: in order only, one segment in flight at a time."""

    def __init__(self, reply: Callable[[bytes], bytes | None], port: int = 80, mss: int = 1000):
        self.received = b""
        self.aborted = False
        self.finished = False
        self._reply = reply
        self._port = port
        self._mss = mss
        self._peer: tuple[IPv4Address, int] | None = None
        self._next = 0xFFFF_FF00  # our sequence number: wraps early
        self._expected = 0
        self._queue: list[tuple[bytes, bool]] = []
        self._flight: Segment | None = None
        self._open = False
        self.resend_at: float | None = None

    def receive(self, packet: Ipv4Packet, now: float) -> list[bytes]:
        segment = parse_segment(packet)
        if segment.destination_port != self._port:
            return []
        self._peer = (packet.source, segment.source_port)
        if segment.flags & Flag.RST:
            self.aborted = True
            self._flight, self.resend_at = None, None
            return []
        if segment.flags & Flag.SYN:
            if not self._open:
                self._open = True
                self._expected = (segment.sequence + 1) % MODULUS
                return self._emit(Flag.SYN | Flag.ACK, b"", now)
            return self._again(now)
        out = self._take_acknowledgment(segment, now)
        if segment.length:
            if segment.sequence == self._expected:
                self.received += segment.data
                self._expected = (self._expected + segment.length) % MODULUS
                self.finished |= bool(segment.flags & Flag.FIN)
                self._answer()
            out += self._bare_acknowledgment()
        return out + self._pump(now)

    def expire(self, now: float) -> list[bytes]:
        return self._again(now) if self.resend_at is not None and self.resend_at <= now else []

    def _take_acknowledgment(self, segment: Segment, now: float) -> list[bytes]:
        flight = self._flight
        if flight is None or segment.acknowledgment != (flight.sequence + flight.length) % MODULUS:
            return []
        self._flight, self.resend_at = None, None
        return self._pump(now)

    def _answer(self) -> None:
        reply = self._reply(self.received)
        if reply is None or self._queue:
            return
        pieces = [reply[at : at + self._mss] for at in range(0, len(reply), self._mss)] or [b""]
        self._queue = [(piece, False) for piece in pieces]
        self._queue[-1] = (self._queue[-1][0], True)
        self._reply = lambda _: None

    def _pump(self, now: float) -> list[bytes]:
        if self._flight is not None or not self._queue:
            return []
        piece, last = self._queue.pop(0)
        return self._emit(Flag.ACK | (Flag.FIN if last else Flag.ACK), piece, now)

    def _emit(self, flags: Flag, data: bytes, now: float) -> list[bytes]:
        assert self._peer is not None
        segment = Segment(
            self._port, self._peer[1], self._next, self._expected, flags, 4096, data, None, None
        )
        if flags & Flag.SYN:
            segment.mss = self._mss
        self._flight = segment
        self._next = (self._next + segment.length) % MODULUS
        return self._again(now)

    def _again(self, now: float) -> list[bytes]:
        if self._flight is None:
            return []
        assert self._peer is not None
        self.resend_at = now + 0.4
        self._flight.acknowledgment = self._expected
        return [build_segment(self._flight, SERVER, self._peer[0])]

    def _bare_acknowledgment(self) -> list[bytes]:
        assert self._peer is not None
        segment = Segment(
            self._port, self._peer[1], self._next, self._expected, Flag.ACK, 4096, b""
        )
        return [build_segment(segment, SERVER, self._peer[0])]


@dataclass
class BadLink:
    """Carries packets in virtual time: loses, doubles, delays, and so re-orders them."""

    rng: random.Random
    loss: float = 0.0
    duplication: float = 0.0
    delay: tuple[float, float] = (0.01, 0.01)
    _queue: list[tuple[float, int, str, bytes]] = field(default_factory=list)
    _serial: itertools.count[int] = field(default_factory=itertools.count)

    def send(self, to: str, packet: bytes, now: float) -> None:
        for _ in range(2 if self.rng.random() < self.duplication else 1):
            if self.rng.random() >= self.loss:
                at = now + self.rng.uniform(*self.delay)
                heapq.heappush(self._queue, (at, next(self._serial), to, packet))

    @property
    def next(self) -> float | None:
        return self._queue[0][0] if self._queue else None

    def pop(self) -> tuple[str, bytes]:
        return heapq.heappop(self._queue)[2:]


def parsed(packets: list[bytes]) -> list[Segment]:
    """The TCP segments in IPv4 packets."""
    return [parse_segment(parse_ipv4(packet)) for packet in packets]


__all__ = [
    "CLIENT",
    "SERVER",
    "BadLink",
    "TcpResponder",
    "before",
    "entropy_of",
    "parsed",
]
