"""What we know about the others: whose heart beats, whom we deny, who may be deposed.

A member is *silent* when no later beat of it came to our knowledge for `suspect` seconds, neither
on the ring nor through the store. Once that was written to the store it is *denied*: we acknowledge
no later beat of it until the store itself shows one. It may be deposed when so many of its peers
deny it that the others could not keep it in service (`proof.py`), and `depose` seconds have passed
since the last beat that any of that could rest on. Nothing here depends on our clock being right,
only on its speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from ferrule.cluster.members import Epoch, EpochId, Identity, Record
from ferrule.cluster.proof import deniers_needed
from ferrule.cluster.timing import Timing

GONE_SECONDS: Final = 60.0  # as long as it matters when a member went


@dataclass(slots=True)
class _Trace:
    """Of one life of a member. `at`: when we first knew of `beat`, its latest by any way."""

    at: float
    beat: int = 0
    ring_beat: int = 0  # the latest that came on the ring
    said_beat: int = 0  # with which it said that it lives in `said`
    said: EpochId | None = None
    silent: bool = False
    denied: int | None = None  # published: we acknowledge nothing beyond this beat


class Suspicion:
    """About all members of the newest epoch but ourselves."""

    __slots__ = ("_denials", "_gone", "_since", "_timing", "_traces")

    def __init__(self, timing: Timing, now: float) -> None:
        self._timing = timing
        self._since = now
        self._traces: dict[Identity, _Trace] = {}
        self._gone: dict[Identity, float] = {}  # since when an epoch is without it
        # (who, whom) -> (beat, when we first read it)
        self._denials: dict[tuple[Identity, Identity], tuple[int, float]] = {}

    # --- what comes in ----------------------------------------------------------------------

    def follow(self, epoch: Epoch, own: Identity, now: float) -> None:
        """Watch the members of this epoch."""
        listed = {member.identity for member in epoch.members}
        for identity in self._traces.keys() - listed:
            del self._traces[identity]
            self._gone[identity] = now
        for member in epoch.members:
            if member.identity != own:
                self._traces.setdefault(member.identity, _Trace(now))
        self._gone = {who: at for who, at in self._gone.items() if now <= at + GONE_SECONDS}
        self._denials = {
            pair: known for pair, known in self._denials.items() if listed.issuperset(pair)
        }

    def heard(self, who: Identity, beat: int, lives_in: EpochId | None, now: float) -> bool:
        """A heartbeat came on the ring; says whether it is later than all before."""
        trace = self._traces.get(who)
        if trace is None or beat <= trace.ring_beat:
            return False
        trace.ring_beat = beat
        self._note(trace, beat, lives_in, now)
        return True

    def read(self, records: Mapping[Identity, Record], now: float) -> None:
        """The store's records."""
        for who, record in records.items():
            trace = self._traces.get(who)
            if trace is None:
                continue
            if trace.denied is not None and record.beat > trace.denied:
                trace.denied = None
            lives_in = record.lives_in.id if record.lives_in is not None else None
            self._note(trace, record.beat, lives_in, now)
            before = self._denials
            self._denials = {pair: known for pair, known in before.items() if pair[0] != who}
            for whom, beat in record.denied.items():
                known = before.get((who, whom))
                same = known is not None and known[0] == beat
                self._denials[who, whom] = known if known is not None and same else (beat, now)

    def _note(self, trace: _Trace, beat: int, lives_in: EpochId | None, now: float) -> None:
        if beat > trace.beat:
            trace.beat, trace.at, trace.silent = beat, now, False
        if beat >= trace.said_beat:
            trace.said_beat, trace.said = beat, lives_in

    def distrust_times(self, now: float) -> None:
        """Our clock jumped, or we were stopped: count everybody's silence from now."""
        for trace in self._traces.values():
            trace.at = now
        self._denials = {pair: (beat, now) for pair, (beat, _) in self._denials.items()}
        self._gone = dict.fromkeys(self._gone, now)
        self._since = now

    # --- what follows -----------------------------------------------------------------------

    def newly_silent(self, now: float) -> list[Identity]:
        """Those whose silence has just become too long."""
        found = []
        for who, trace in self._traces.items():
            if not trace.silent and now >= trace.at + self._timing.suspect:
                trace.silent = True
                found.append(who)
        return found

    def publish(self) -> dict[Identity, int]:
        """Deny the silent ones. What this returns is a promise, to be written to the store."""
        for trace in self._traces.values():
            if trace.silent and trace.denied is None:
                trace.denied = trace.beat
        return self.denied()

    def denied(self) -> dict[Identity, int]:
        return {who: t.denied for who, t in self._traces.items() if t.denied is not None}

    def acknowledgements(self) -> dict[Identity, int]:
        """The latest beats heard on the ring, up to what we promised not to go beyond."""
        return {
            who: trace.ring_beat if trace.denied is None else min(trace.ring_beat, trace.denied)
            for who, trace in self._traces.items()
            if trace.ring_beat
        }

    def silent_since(self, who: Identity) -> float:
        trace = self._traces.get(who)
        return trace.at if trace is not None else -inf

    def all_live_in(self, epoch: EpochId) -> bool:
        """Have all the others said that they live in exactly this epoch?"""
        return all(trace.said == epoch for trace in self._traces.values())

    def next_look(self, now: float) -> float | None:
        """When somebody's silence next becomes too long, or long enough."""
        times = (
            trace.at + (self._timing.depose if trace.silent else self._timing.suspect)
            for trace in self._traces.values()
        )
        return min((at for at in times if at > now), default=None)

    def deposable(
        self, epoch: Epoch, records: Mapping[Identity, Record], own: Identity, now: float
    ) -> list[Identity]:
        """Members of the store's epoch that have certainly stopped serving."""
        listed = {member.identity for member in epoch.members}
        return [
            who
            for who in sorted(listed - {own})
            if (record := records.get(who)) is not None
            and self._has_stopped(record, listed, own, now)
        ]

    def _has_stopped(
        self, record: Record, listed: set[Identity], own: Identity, now: float
    ) -> bool:
        trace = self._traces.get(record.identity)
        if trace is None or not trace.silent:
            return False
        if record.lives_in is None:
            return now >= trace.at + self._timing.depose
        peers = {member.identity for member in record.lives_in.members} - {record.identity}
        if not peers:
            return False  # alone in its epoch, it serves on without any of us
        denied_since = sorted(
            at
            for peer in peers
            if (at := self._denied_since(peer, record, listed, own)) is not None
        )
        needed = deniers_needed(len(peers))
        if len(denied_since) < needed:
            return False
        return now >= max(trace.at, denied_since[needed - 1]) + self._timing.depose

    def _denied_since(
        self, peer: Identity, record: Record, listed: set[Identity], own: Identity
    ) -> float | None:
        """When we knew the last beat of `record.identity` that `peer` can have acknowledged; None
        if it may go on doing that."""
        trace = self._traces[record.identity]
        if peer == own:
            return trace.at if trace.denied is not None and trace.denied >= record.beat else None
        if peer not in listed:
            return self._gone.get(peer, self._since)
        denial = self._denials.get((peer, record.identity))
        if denial is None or denial[0] < record.beat:
            return None
        return trace.at if denial[0] <= trace.beat else denial[1]
