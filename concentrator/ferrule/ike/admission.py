"""Who may start a phase 1: token buckets a source, and limits on half-open exchanges.

The limits are generous, since a hotel is one source. Message 1 may be forged, so whoever says it
again is let in although its source has no tokens left: forgers must not lock a neighbourhood out.
Message 3 can't be forged, since it carries our cookie, and is what costs: its bucket is strict. A
flood of spoofed first messages pushes out its own kind, oldest first: an honest client needs its
place for one round trip. Exchanges past message 3 are never pushed out by strangers.
"""

from __future__ import annotations

from typing import Final

from ferrule.core.ids import Address, Cookie, IsakmpSaId

SOURCES_MAX: Final = 16_384
REFUSED_MAX: Final = 4096
SWEEP_SECONDS: Final = 30.0
REPORT_RATE: Final = 10.0  # refused first messages a second that count as failures, not noise
REPORT_BURST: Final = 100


class Buckets:
    """A token bucket for each source, at most `SOURCES_MAX` of them."""

    __slots__ = ("_levels",)

    def __init__(self) -> None:
        # least recently used first: (tokens, at)
        self._levels: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, host: str, rate: float, burst: int, now: float) -> bool:
        """Whether `host` may cause one more piece of work. `rate` is in tokens a second."""
        key, levels = _source(host), self._levels
        level = levels.pop(key, None)
        levels[key], allowed = _take(level or (float(burst), now), rate, burst, now)
        if len(levels) > SOURCES_MAX:
            del levels[next(iter(levels))]
        return allowed

    def sweep(self, now: float) -> None:
        """Forget sources that were silent for `SWEEP_SECONDS`; their bucket is full again."""
        silent = now - SWEEP_SECONDS
        for host, (_, at) in list(self._levels.items()):
            if at > silent:
                return
            del self._levels[host]


class Admission:
    """Bounded by `SOURCES_MAX`, `REFUSED_MAX` and the policy's number of half-open exchanges."""

    __slots__ = ("_claimed", "_proofs", "_proven", "_refused", "_reports", "_unproven")

    def __init__(self) -> None:
        self._claimed = Buckets()  # by the source address that a first message claims
        self._proofs = Buckets()  # by the address that a third message came from
        self._refused: dict[tuple[Cookie, Address], None] = {}  # oldest first
        self._unproven: dict[IsakmpSaId, None] = {}  # oldest first
        self._proven: set[IsakmpSaId] = set()
        self._reports = (float(REPORT_BURST), 0.0)

    def __len__(self) -> int:
        """Half-open exchanges."""
        return len(self._unproven) + len(self._proven)

    @property
    def sources(self) -> int:
        return max(len(self._claimed), len(self._proofs))

    def take_token(self, host: str, rate: float, burst: int, now: float) -> bool:
        """Whether a message that may be forged may cause work. `rate` is in tokens a second."""
        return self._claimed.take(host, rate, burst, now)

    def take_proof(self, host: str, rate: float, burst: int, now: float) -> bool:
        """Whether somebody who surely is at `host` may cause work that costs."""
        return self._proofs.take(host, rate, burst, now)

    def comes_again(self, icookie: Cookie, peer: Address) -> bool:
        """Whether this first message was refused before, for want of a token. Remembers it."""
        refused, key = self._refused, (icookie, peer)
        if key in refused:
            del refused[key]
            return True
        if len(refused) >= REFUSED_MAX:
            del refused[next(iter(refused))]
        refused[key] = None
        return False

    def may_report(self, now: float) -> bool:
        """Whether one more refused first message of a stranger may be reported as a failure."""
        self._reports, allowed = _take(self._reports, REPORT_RATE, REPORT_BURST, now)
        return allowed

    def sweep(self, now: float) -> None:
        """Forget silent sources, and with the last of them whom they were refused for."""
        self._claimed.sweep(now)
        self._proofs.sweep(now)
        if not self._claimed:
            self._refused.clear()

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
