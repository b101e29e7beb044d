"""What the cluster costs: set-ups a second with the store against memory, and a relay hop."""

from __future__ import annotations

import time
from typing import Any

from cluster.rig.cluster import Cluster, configuration, full_or, running
from cluster.rig.crowd import crowd
from cluster.rig.flows import Pinging
from cluster.rig.laboratory import ClusterLaboratory
from interop.rig.peers import Client
from interop.rig.scenario import PSK, profile_of
from support.measured import Measured

CLIENTS = full_or(100, 350)
WORST_RATIO = 3.0  # of CPU a set-up: signs of something foolish, not a promise
WORST_HOP = 3.0
STEADY_SECONDS = 10


def _set_ups(laboratory: ClusterLaboratory, settings: dict[str, Any]) -> tuple[float, float]:
    """CPU seconds of one pod a set-up, and CPU share of it with everybody idle but for pings."""
    with running(laboratory, settings, count=1) as cluster, crowd(laboratory, PSK) as people:
        (pod,) = cluster.pods
        people.grow(5)  # what is done once is done
        before = pod.cpu_seconds()
        growth = people.grow(CLIENTS)
        assert growth["up"] == CLIENTS, growth
        each = (pod.cpu_seconds() - before) / CLIENTS
        before = pod.cpu_seconds()
        time.sleep(STEADY_SECONDS)
        idle = (pod.cpu_seconds() - before) / STEADY_SECONDS
        people.leave()
        assert cluster.bugs() == []
    return each, idle


def test_set_ups_with_the_store_and_without(
    laboratory: ClusterLaboratory, measured: Measured
) -> None:
    """One pod, the same clients: the store's share is what differs."""
    memory = configuration()
    del memory["gateway"]["store"]
    alone, alone_idle = _set_ups(laboratory, memory)
    shared, shared_idle = _set_ups(laboratory, configuration())
    measured.add(
        f"CPU of a set-up: {alone * 1000:.2f} ms with Memory, {shared * 1000:.2f} ms with Valkey:"
        f" {1 / alone:.0f} and {1 / shared:.0f} a second of a core, ratio {alone / shared:.2f}"
    )
    measured.add(
        f"{CLIENTS} sessions without traffic: {alone_idle:.1%} of a core with Memory,"
        f" {shared_idle:.1%} with Valkey"
    )
    assert shared < alone * WORST_RATIO


def test_a_relay_hop(cluster: Cluster, alice: Client, measured: Measured) -> None:
    """The same ping and CPU with packets that enter at the owner, and at another pod."""
    alice.connect(profile_of("alice"))
    found = {}
    for name, by in (("at the owner", 0), ("relayed", 1)):
        cluster.balancer.rotate(by)
        alice.ping(count=2)
        at_owner = cluster.balancer.ingress(alice.address, 4500) is cluster.owner_of("alice")
        assert at_owner == (by == 0)
        before = sum(pod.cpu_seconds() for pod in cluster.pods)
        pinging = Pinging(alice, 0.01)
        time.sleep(5)
        pings = pinging.stop()
        spent = sum(pod.cpu_seconds() for pod in cluster.pods) - before
        times = [float(line.split("time=")[1].split()[0]) for line in _replies(alice, pinging)]
        times.sort()
        found[name] = times[len(times) // 2]
        measured.add(
            f"{name}: median {found[name]:.2f} ms of {len(times)} pings, {pings.lost} lost;"
            f" {spent / max(1, pings.sent) * 1e6:.0f} us of CPU each"
        )
    cluster.balancer.rotate(0)
    assert found["relayed"] < found["at the owner"] * WORST_HOP + 1.0


def _replies(client: Client, pinging: Pinging) -> list[str]:
    return [
        text
        for _, source, text in client.guest.lines(pinging.mark)
        if source == pinging.source and "time=" in text
    ]
