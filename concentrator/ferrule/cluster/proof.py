"""Our own right to serve: the times of heartbeats of ours that were answered.

The store's answer is proof, for whoever deposes us must write there first. While the store is
away, so is the acknowledgement of so many peers that with us they are most members: before anybody
could depose us, so many would have to deny us that the others do not suffice, and who denies does
not acknowledge. That holds for the peers of an epoch which the store knows that we live in, so
acknowledgements count only from there on. Who is alone in its epoch cannot be deposed at all.
"""

from __future__ import annotations

from collections import OrderedDict
from math import inf
from typing import Final

from ferrule.cluster.members import Epoch, Identity

BEATS_KEPT: Final = 64


def peers_needed(peers: int) -> int:
    """So many that they and we are most members."""
    return (peers + 1) // 2


def deniers_needed(peers: int) -> int:
    """So many that the others do not suffice."""
    return peers - peers_needed(peers) + 1


class Proof:
    """Until when the proofs hold. Times are those of the machine's clock."""

    __slots__ = ("_acknowledged", "_confirmed", "_fence_seconds", "_sent", "_store_at")

    def __init__(self, fence_seconds: float) -> None:
        self._fence_seconds = fence_seconds
        self._sent: OrderedDict[int, float] = OrderedDict()  # beat -> when
        self._store_at = -inf
        self._acknowledged: dict[Identity, float] = {}
        self._confirmed = False

    @property
    def store_at(self) -> float:
        """When the newest heartbeat that the store answered was sent."""
        return self._store_at

    def sent(self, beat: int, now: float) -> None:
        self._sent[beat] = now
        if len(self._sent) > BEATS_KEPT:
            self._sent.popitem(last=False)

    def store_answered(self, beat: int, *, knows_our_epoch: bool) -> None:
        """The store holds our record of this beat, and lists us."""
        self._store_at = max(self._store_at, self._sent.get(beat, -inf))
        self._confirmed = self._confirmed or knows_our_epoch

    def acknowledged(self, peer: Identity, beat: int) -> None:
        """`peer`, who lives in our epoch, heard this beat of ours."""
        sent_at = self._sent.get(beat, -inf)
        self._acknowledged[peer] = max(self._acknowledged.get(peer, -inf), sent_at)

    def epoch_changed(self) -> None:
        """What others said in the epoch before counts no more."""
        self._acknowledged.clear()
        self._confirmed = False

    def forget(self) -> None:
        """The clock went back, or we begin anew: all times are worthless."""
        self._sent.clear()
        self._store_at = -inf
        self._acknowledged.clear()

    def store_until(self) -> float:
        return self._store_at + self._fence_seconds

    def peers_until(self, epoch: Epoch, own: Identity) -> float:
        """Until when the acknowledgements of most peers hold."""
        if not self._confirmed:
            return -inf
        peers = [member.identity for member in epoch.members if member.identity != own]
        needed = peers_needed(len(peers))
        if needed == 0:
            return inf
        times = sorted((self._acknowledged.get(peer, -inf) for peer in peers), reverse=True)
        return times[needed - 1] + self._fence_seconds
