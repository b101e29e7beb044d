"""The store fails over to its replica: whoever is on stays on, and is taken over from there."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cluster.rig.cluster import Cluster, configuration, running, until
from cluster.rig.crowd import crowd
from cluster.rig.laboratory import ClusterLaboratory
from cluster.rig.store import SENTINEL_URL
from cluster.rig.witness import EspWitness
from interop.rig.scenario import PSK
from support.measured import Measured

CLIENTS = 30
TAKE_OVER_SECONDS = 10.0


@pytest.fixture
def with_sentinel(laboratory: ClusterLaboratory) -> Iterator[Cluster]:
    """A cluster whose store is a primary, a replica and a sentinel."""
    settings = configuration()
    settings["gateway"]["store"]["url"] = SENTINEL_URL
    with running(laboratory, settings, sentinel=True) as cluster:
        yield cluster
        assert cluster.bugs() == []


def test_failing_over(with_sentinel: Cluster, measured: Measured) -> None:
    """The primary dies, the replica takes its place; then a pod dies, and all is taken over."""
    cluster = with_sentinel
    witness = EspWitness(cluster.laboratory)
    with crowd(cluster.laboratory, PSK) as people:
        assert people.grow(CLIENTS)["up"] == CLIENTS
        people.traffic(4)
        time.sleep(2)
        cluster.store.stop()
        seconds = until(lambda: people.grow(1, seconds=10)["up"] == 1, 40, "nobody new gets in")
        measured.add(f"the next one is let in {seconds:.1f} s after the primary's end")
        cluster.assert_no_conflict(CLIENTS + 1)
        time.sleep(6)
        assert people.report().ended == []
        victim = cluster.pods[1]
        owned = {row["address"] for row in victim.sessions()}
        at = victim.kill()
        time.sleep(8)
        report = people.report()
        back = [c.back(at) for c in report.clients if c.address in owned]
        measured.add(f"a kill after that: {report}; {sorted(w - at for w in back if w)[-1:]}")
        assert report.ended == []
        assert all(when is not None and when - at < TAKE_OVER_SECONDS for when in back)
        cluster.assert_no_conflict(CLIENTS + 1)
        people.leave()
    measured.add(witness.verdict())
