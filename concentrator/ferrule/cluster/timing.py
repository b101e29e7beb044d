"""The clockwork of membership, and why its numbers must stand in this order.

A member counts its right to serve from when it *sent* the heartbeat that was answered; the others
count its silence from when they *heard* it. So whoever waits longer than `fence_seconds` before it
takes over can be sure that the other one has stopped, or never starts again: no message says so,
only the two clocks, which need to agree in speed, not in time. Therefore

    heartbeat < suspect < fence < depose

and the gap between the last two is what clocks and event loops may be late by. Five seconds after
it was heard last nobody serves any more; a second before that its shards have a new owner.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Raises ValueError for an order that cannot be safe."""

    heartbeat: float = 1.0
    suspect: float = 3.0
    fence: float = 4.0
    depose: float = 4.5
    release: float = 2.0  # for a planned hand-over of shards; then they are let go as they are
    lost: float = 10.0  # a store without us in it, and nobody fills it: we begin anew

    def __post_init__(self) -> None:
        if not 0 < self.heartbeat < self.suspect < self.fence < self.depose <= self.lost:
            raise ValueError("heartbeat < suspect < fence < depose <= lost")
