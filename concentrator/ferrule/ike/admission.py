"""Who may start a phase 1: a token bucket a source, and limits on half-open exchanges.

The limits are generous, since a hotel is one source. A flood of spoofed first messages pushes out
its own kind, oldest first: an honest client needs its place for one round trip. Exchanges whose
peer has shown its address (message 3 carries our cookie) are never pushed out by strangers.
"""

from __future__ import annotations

from typing import Final

from ferrule.core.ids import IsakmpSaId

SOURCES_MAX: Final = 16_384
SWEEP_SECONDS: Final = 30.0
REPORT_RATE: Final = 10.0  # refused first messages a second that count as failures, not noise
REPORT_BURST: Final = 100


class Admission:
    """Bounded by `SOURCES_MAX` buckets and by the policy's number of half-open exchanges."""

    __slots__ = ("_buckets", "_proven", "_reports", "_unproven")

    def __init__(self) -> None:
        # least recently used first: (tokens, at)
        self._buckets: dict[str, tuple[float, float]] = {}
        self._unproven: dict[IsakmpSaId, None] = {}  # oldest first
        self._proven: set[IsakmpSaId] = set()
        self._reports = (float(REPORT_BURST), 0.0)

    def __len__(self) -> int:
        """Half-open exchanges."""
        return len(self._unproven) + len(self._proven)

    @property
    def sources(self) -> int:
        return len(self._buckets)

    def take_token(self, host: str, rate: float, burst: int, now: float) -> bool:
        """Whether `host` may cause one more piece of work. `rate` is in tokens a second."""
        key = _source(host)
        bucket = self._buckets.pop(key, None)
        self._buckets[key], allowed = _take(bucket or (float(burst), now), rate, burst, now)
        if len(self._buckets) > SOURCES_MAX:
            del self._buckets[next(iter(self._buckets))]
        return allowed

    def may_report(self, now: float) -> bool:
        """Whether one more refused first message of a stranger may be reported as a failure."""
        self._reports, allowed = _take(self._reports, REPORT_RATE, REPORT_BURST, now)
        return allowed

    def sweep(self, now: float) -> None:
        """Forget sources that were silent for `SWEEP_SECONDS`; their bucket is full again."""
        silent = now - SWEEP_SECONDS
        for host, (_, at) in list(self._buckets.items()):
            if at > silent:
                return
            del self._buckets[host]

    def victim(self, limit: int) -> IsakmpSaId | None:
        """Who must go before one more may come in, if anybody."""
        if len(self) < limit or not self._unproven:
            return None
        return next(iter(self._unproven))

    def has_room(self, limit: int) -> bool:
        return len(self) < limit

    def add(self, sa: IsakmpSaId) -> None:
        self._unproven[sa] = None

    def prove(self, sa: IsakmpSaId) -> None:
        """Its peer has answered with our cookie."""
        if sa in self._unproven:
            del self._unproven[sa]
            self._proven.add(sa)

    def disprove(self, sa: IsakmpSaId) -> None:
        """It failed and only answers duplicates: the first to go."""
        if sa in self._proven:
            self._proven.remove(sa)
            self._unproven[sa] = None

    def remove(self, sa: IsakmpSaId) -> None:
        self._unproven.pop(sa, None)
        self._proven.discard(sa)


def _take(
    bucket: tuple[float, float], rate: float, burst: int, now: float
) -> tuple[tuple[float, float], bool]:
    """A bucket (tokens, at) after one token was asked for, and whether it was there."""
    tokens, at = bucket
    tokens = min(float(burst), tokens + max(0.0, now - at) * rate)
    return ((tokens - 1.0, now), True) if tokens >= 1.0 else ((tokens, now), False)


def _source(host: str) -> str:
    """IPv6 hosts own a /64 (RFC 6177), so that counts as one source."""
    if ":" not in host:
        return host
    left, _, right = host.partition("::")
    groups = left.split(":") if left else []
    if "::" in host:
        tail = right.split(":") if right else []
        groups += ["0"] * (8 - len(groups) - len(tail)) + tail
    return ":".join(groups[:4])
