"""Metrics of one member of a cluster; there are none without one.

As in `metrics`: what happens is recorded, what is is read at each scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STANDINGS: Final = ("joining", "active", "frozen", "fenced", "leaving", "left")


@dataclass(slots=True)
class ClusterSnapshot:
    """How things are at a scrape. `relayed` is by direction and what it was; `clients` by how they
    came or went; `relay_share` of the ESP packets that entered here in the last minute."""

    standing: str = "joining"
    epoch: int = 0
    members: int = 0
    shards: int = 0
    shards_coming: int = 0
    relayed: Mapping[tuple[str, str], int] = field(default_factory=dict)
    relay_share: float = 0.0
    clients: Mapping[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    unreadable: int = 0
    late: int = 0
    store_up: bool = False


class ClusterMetrics:
    """Registers itself; `read` is called at each scrape."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], ClusterSnapshot]) -> None:
        self._take_over = Histogram(
            "ferrule_cluster_take_over_seconds",
            "From the order to serve shards to the last of their clients.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        registry.register(_State(read))

    def took_over(self, seconds: float) -> None:
        self._take_over.observe(seconds)


class _State(Collector):
    def __init__(self, read: Callable[[], ClusterSnapshot]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        return _families(ClusterSnapshot())

    def collect(self) -> Iterable[Metric]:
        return _families(self._read())


def _families(now: ClusterSnapshot) -> Iterable[Metric]:
    for name, text, value in (
        ("cluster_epoch", "Number of the epoch that this member lives in.", now.epoch),
        ("cluster_members", "Members of that epoch.", now.members),
        ("cluster_shards", "Shards, of 1024, that this member serves.", now.shards),
        ("cluster_shards_coming", "Shards whose clients are on their way.", now.shards_coming),
        ("store_up", "1 while the shared store answers.", int(now.store_up)),
        (
            "relay_share",
            "Of the ESP packets that entered here in the last minute, those of other members.",
            now.relay_share,
        ),
    ):
        yield GaugeMetricFamily(f"ferrule_{name}", text, value=value)
    standing = GaugeMetricFamily(
        "ferrule_cluster_standing", "1 for what this member may do.", labels=["standing"]
    )
    for word in STANDINGS:
        standing.add_metric([word], int(word == now.standing))
    yield standing
    relayed = CounterMetricFamily(
        "ferrule_relayed_packets",
        "Packets to and from other members.",
        labels=["direction", "kind"],
    )
    for (direction, kind), count in sorted(now.relayed.items()):
        relayed.add_metric([direction, kind], count)
    yield relayed
    clients = CounterMetricFamily(
        "ferrule_cluster_clients",
        "Clients that came from other members or went to them.",
        labels=["how"],
    )
    for how, count in now.clients.items():
        clients.add_metric([how], count)
    yield clients
    for name, text, value in (
        ("checkpoints_written", "Check-points that the store took.", now.checkpoints),
        ("checkpoints_unreadable", "Check-points that could not be used.", now.unreadable),
        (
            "checkpoint_messages_late",
            "Messages that went out before their check-point was written.",
            now.late,
        ),
    ):
        yield CounterMetricFamily(f"ferrule_{name}", text, value=value)
