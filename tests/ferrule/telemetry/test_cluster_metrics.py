"""Metrics of a member: named as the others, there from the start."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ferrule.cluster.effects import Standing
from ferrule.telemetry.cluster_metrics import STANDINGS, ClusterMetrics, ClusterSnapshot


def test_what_is_told() -> None:
    registry = CollectorRegistry()
    now = ClusterSnapshot(
        standing="frozen",
        epoch=7,
        members=3,
        shards=341,
        shards_coming=2,
        relayed={("to_owner", "esp"): 5},
        relay_share=0.25,
        clients={"taken_over": 4},
        checkpoints=9,
        unreadable=1,
        late=2,
        store_up=True,
    )
    metrics = ClusterMetrics(registry, lambda: now)
    metrics.took_over(0.3)
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    samples = {}
    for family in families:
        assert re.fullmatch(r"ferrule_[a-z_]+", family.name)
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            samples[sample.name, labels] = sample.value
    assert samples["ferrule_cluster_epoch", ""] == 7
    assert samples["ferrule_cluster_members", ""] == 3
    assert samples["ferrule_cluster_shards", ""] == 341
    assert samples["ferrule_cluster_shards_coming", ""] == 2
    assert samples["ferrule_cluster_standing", "standing=frozen"] == 1
    assert samples["ferrule_cluster_standing", "standing=active"] == 0
    assert samples["ferrule_relayed_packets_total", "direction=to_owner,kind=esp"] == 5
    assert samples["ferrule_relay_share", ""] == 0.25
    assert samples["ferrule_cluster_clients_total", "how=taken_over"] == 4
    assert samples["ferrule_checkpoints_written_total", ""] == 9
    assert samples["ferrule_checkpoints_unreadable_total", ""] == 1
    assert samples["ferrule_checkpoint_messages_late_total", ""] == 2
    assert samples["ferrule_store_up", ""] == 1
    assert samples["ferrule_cluster_take_over_seconds_count", ""] == 1


def test_every_standing_has_a_series() -> None:
    assert set(STANDINGS) == {standing.value for standing in Standing}
