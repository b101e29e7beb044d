"""The receiving half of TCP: early data waits, contiguous data goes up (RFC 9293 3.10.7.4)."""

from __future__ import annotations

from typing import Final

from ferrule.client.tcp_segment import MODULUS, Flag, Segment, before

WINDOW_OCTETS: Final = 256 * 1024
_EARLY_MAX: Final = 512  # pieces that wait out of order


class Reassembly:
    """`expected` is RCV.NXT. The memory in use is bounded by the window and the piece count."""

    __slots__ = ("_early", "_fin", "expected")

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._early: dict[int, bytes] = {}  # sequence number -> data
        self._fin: int | None = None  # the peer's FIN, once seen

    @property
    def finished(self) -> bool:
        """Everything up to and with the peer's FIN is there."""
        return self._fin is not None and before(self._fin, self.expected)

    def take(self, segment: Segment) -> list[bytes]:
        """Put the data where it belongs; returns what has become contiguous, in order."""
        if self.finished:
            return []
        data, at = segment.data, segment.sequence
        ahead = (at - self.expected) % MODULUS
        if ahead >= MODULUS // 2:  # it starts with what we have
            data, at, ahead = data[MODULUS - ahead :], self.expected, 0
        room = WINDOW_OCTETS - ahead
        if room <= 0 or (ahead and len(self._early) >= _EARLY_MAX):
            return []
        if segment.flags & Flag.FIN and len(data) <= room:
            self._fin = (segment.sequence + len(segment.data)) % MODULUS
        if len(data) > len(self._early.get(at, b"")):
            self._early[at] = data[:room]
        pieces = self._contiguous()
        if self._fin == self.expected:
            self.expected = (self.expected + 1) % MODULUS
            self._early.clear()
        return pieces

    def _contiguous(self) -> list[bytes]:
        pieces: list[bytes] = []
        while self._early:
            piece = self._early.pop(self.expected, None) or self._overlapping()
            if piece is None:
                break
            self.expected = (self.expected + len(piece)) % MODULUS
            pieces.append(piece)
        return pieces

    def _overlapping(self) -> bytes | None:
        """The rest of a piece that starts before what is expected; drops stale ones."""
        for at in [at for at in self._early if before(at, self.expected)]:
            rest = self._early.pop(at)[(self.expected - at) % MODULUS :]
            if rest:
                return rest
        return None
