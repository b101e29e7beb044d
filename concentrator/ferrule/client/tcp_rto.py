"""The retransmission time-out of TCP: smoothed round-trip time and its variance (RFC 6298)."""

from __future__ import annotations

from typing import Final

_FIRST: Final = 1.0  # seconds
# DEVIATION: RFC 6298 2.4 wants at least 1 s; a probe has less patience than a file transfer.
_LEAST: Final = 0.2
_MOST: Final = 8.0


class RetransmissionTimeout:
    """`seconds` is the RTO now."""

    __slots__ = ("_smoothed", "_variance", "seconds")

    def __init__(self) -> None:
        self.seconds = _FIRST
        self._smoothed: float | None = None
        self._variance = 0.0

    def measure(self, sample: float) -> None:
        """A round trip of `sample` seconds, of a segment that was sent once (2.2, 2.3)."""
        if self._smoothed is None:
            self._smoothed, self._variance = sample, sample / 2
        else:
            self._variance += (abs(self._smoothed - sample) - self._variance) / 4
            self._smoothed += (sample - self._smoothed) / 8
        self.seconds = min(max(self._smoothed + 4 * self._variance, _LEAST), _MOST)

    def back_off(self) -> None:
        """It expired (5.5)."""
        self.seconds = min(self.seconds * 2, _MOST)
