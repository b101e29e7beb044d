"""What must hold after every attack, and the numbers that were measured."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from interop.hostile.attacks import Blow
from interop.hostile.eavesdropper import Dossier, Eavesdropper
from interop.hostile.witnesses import Sink, tally, vitals

MEGABYTE = 1 << 20
AFTERMATH_SECONDS = 0.4  # of ordinary traffic that must pass after an attack
FLIGHT_SECONDS = 0.4  # after which a packet has arrived, or is lost


class Pings(Protocol):
    """The victim's echo requests, numbered from 0."""

    @property
    def sent(self) -> int: ...
    @property
    def answered(self) -> Sequence[int]:
        """The numbers of the replies as they came."""


class Judge:
    """`sessions` gives what `ferrule sessions --json` prints, `drops` the metric
    ferrule_dropped_total by reason, `bugs` the log lines of bugs.

    Made before the first attack: what it sees then must stay."""

    def __init__(
        self,
        ears: Eavesdropper,
        victim: Dossier,
        pings: Pings,
        sink: Sink,
        *,
        pid: int,
        sessions: Callable[[], list[dict[str, Any]]],
        drops: Callable[[], Mapping[str, float]],
        bugs: Callable[[], Sequence[object]],
        tell: Callable[[str], None],
    ) -> None:
        self._ears = ears
        self._host = victim.peer.host
        self._pings = pings
        self._sink = sink
        self._pid = pid
        self._sessions = sessions
        self._drops = drops
        self._bugs = bugs
        self._tell = tell
        (self._session,) = [s for s in sessions() if s["peer"] == str(victim.peer)]
        self.at_first = vitals(pid)
        self._mark()

    def _mark(self) -> None:
        self._first = self._pings.sent, self._sink.next
        self._before = vitals(self._pid)
        self._told = self._answers()
        self._dropped = Counter(self._drops())

    def _answers(self) -> int:
        """Octets of payload that the server sent, but for the ESP of the victim's host."""
        host = self._host
        return self._ears.answered_to(host, ("ike",)) + self._ears.answered_strangers(host)

    def judge(
        self, name: str, blow: Blow, *, losses: int, answer_share: float, drop_share: float
    ) -> None:
        """`losses`: pings and datagrams that may be missing; `answer_share`: octets that the
        server may have answered, as a share of the attack's; `drop_share`: what it must have
        dropped and counted, as a share of the attack's datagrams. Raises AssertionError."""
        time.sleep(AFTERMATH_SECONDS)
        ends = self._pings.sent, self._sink.next
        time.sleep(FLIGHT_SECONDS)
        answered = self._answers() - self._told
        now, before = vitals(self._pid), self._before
        answers, arrived = tuple(self._pings.answered), tuple(self._sink.arrived)
        pings = tally(answers, self._first[0], ends[0])
        stream = tally(arrived, self._first[1], ends[1])
        dropped = Counter(self._drops()) - self._dropped
        reasons = ", ".join(f"{count:.0f} {reason}" for reason, count in dropped.most_common(4))
        self._tell(
            f"{name}: {blow}; dropped: {reasons or 'none'}; answered with {answered} octets;"
            f" pings: {pings}; stream: {stream};"
            f" server: {now.cpu_seconds - before.cpu_seconds:.2f} s of CPU,"
            f" {now.resident_octets / MEGABYTE:.1f} MB resident,"
            f" {now.overflowed - before.overflowed} datagrams lost at its sockets"
        )
        # A replay may be of what arrived long ago.
        assert tally(answers, 0, ends[0]).twice == 0, f"{name}: ping replies came twice"
        assert tally(arrived, 0, ends[1]).twice == 0, f"{name}: datagrams were delivered twice"
        assert pings.sent >= 3, f"{name}: the client does not ping"
        assert pings.lost <= losses, f"{name}: {pings}"
        assert stream.lost <= losses, f"{name}: {stream}"
        assert answered <= answer_share * blow.octets, f"{name}: {answered} octets of answers"
        assert dropped.total() >= drop_share * blow.datagrams, f"{name}: {dropped}"
        found = {row["session"]: row for row in self._sessions()}
        row = found.get(self._session["session"])
        assert row is not None, f"{name}: the session is gone; there are {found}"
        for field in ("user", "peer", "address", "state"):
            assert row[field] == self._session[field], f"{name}: another {field}"
        assert not self._bugs(), f"{name}: bugs in the log"
        self._mark()
