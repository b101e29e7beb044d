"""What is told of a member and its cluster: to `ferrule cluster`, metrics, the operator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ferrule.dataplane.interface import Plane
from ferrule.telemetry.cluster_metrics import ClusterSnapshot

if TYPE_CHECKING:
    from ferrule.runtime.member import Member

SHARE_SAMPLES: Final = 12  # one each 5 s
TAKE_OVERS_KEPT: Final = 20
_DIRECTIONS: Final = ("to_owner", "from_ingress", "to_client", "from_owner")


@dataclass(frozen=True, slots=True)
class Taken:
    """A take-over. `at` is Unix time; from the order to the last client it took `seconds`."""

    at: float
    seconds: float
    shards: int
    clients: int


class MemberView:
    """`sample` wants to be called each 5 s."""

    def __init__(self, member: Member, wall: Callable[[], float]) -> None:
        self.taken: deque[Taken] = deque(maxlen=TAKE_OVERS_KEPT)
        self._member = member
        self._wall = wall
        self._plane: Plane | None = None
        self._samples: deque[tuple[int, int]] = deque([(0, 0)], maxlen=SHARE_SAMPLES + 1)

    def attach(self, plane: Plane) -> None:
        self._plane = plane

    def took_over(self, seconds: float, shards: int, clients: int) -> None:
        self.taken.append(Taken(self._wall(), seconds, shards, clients))

    def sample(self) -> None:
        self._samples.append(self._esp())

    def relay_share(self) -> float:
        """Of the ESP packets that entered at this member in the last minute, those of others."""
        relayed, entered = self._esp()
        relayed_before, entered_before = self._samples[0]
        new = entered - entered_before
        return (relayed - relayed_before) / new if new > 0 else 0.0

    def _esp(self) -> tuple[int, int]:
        """Relayed, and entered at our own sockets, so far."""
        counts = self._member.relay.counts
        relayed = counts["to_owner", "esp"]
        ours = self._plane.counters().esp_in if self._plane is not None else 0
        return relayed, max(0, ours - counts["from_ingress", "esp"]) + relayed

    def snapshot(self) -> ClusterSnapshot:
        member = self._member
        cluster, relay, writer = member.cluster, member.relay, member.checkpoints
        newest = cluster.newest
        relayed = {(way, kind): 0 for way in _DIRECTIONS for kind in ("esp", "ike")}
        relayed |= {("to_address", "ip"): 0, ("from_address", "ip"): 0}
        return ClusterSnapshot(
            standing=cluster.standing.value,
            epoch=newest.id.number if newest is not None else 0,
            members=len(newest.members) if newest is not None else 0,
            shards=len(cluster.held) - member.takeover.coming,
            shards_coming=member.takeover.coming,
            relayed=relayed | relay.counts,
            relay_share=self.relay_share(),
            clients={
                "taken_over": member.takeover.adopted - member.late_binding.received,
                "handed_over": member.takeover.released,
                "lost": member.takeover.lost,
                "bound_here": member.late_binding.received,
                "bound_away": member.late_binding.sent,
            },
            checkpoints=writer.count,
            unreadable=member.images.unreadable,
            late=writer.late,
            store_up=cluster.watch.up,
        )

    def store(self) -> dict[str, Any]:
        watch = self._member.cluster.watch
        return {"type": "Valkey", "up": watch.up, "why": watch.why}

    def members(self) -> list[str]:
        newest = self._member.cluster.newest
        return [member.name for member in newest.members] if newest is not None else []

    def describe(self) -> dict[str, Any]:
        """For `ferrule cluster`."""
        cluster, now = self._member.cluster, self.snapshot()
        newest = cluster.newest
        sessions = self._member.sessions_by_member()
        return {
            "member": cluster.name,
            "standing": now.standing,
            "why": cluster.why,
            "epoch": now.epoch,
            "store": self.store(),
            "members": [
                {
                    "name": member.name,
                    "address": str(member.address),
                    "state": "draining" if member.draining else "serving",
                    "shards": len(cluster.shards_of(member.name)),
                    "sessions": sessions.get(member.name, 0),
                }
                for member in (newest.members if newest is not None else ())
            ],
            "shards": now.shards,
            "shards_coming": now.shards_coming,
            "relay_share": round(now.relay_share, 4),
            "relayed": {" ".join(key): count for key, count in sorted(now.relayed.items())},
            "clients": dict(now.clients),
            "checkpoints": now.checkpoints,
            "take_overs": [
                {
                    "at": round(one.at, 3),
                    "seconds": round(one.seconds, 3),
                    "shards": one.shards,
                    "clients": one.clients,
                }
                for one in self.taken
            ],
        }
