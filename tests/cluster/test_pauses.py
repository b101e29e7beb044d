"""A pod that was stopped and comes back, and a ring that is cut: nobody does harm."""

from __future__ import annotations

import time

import pytest

from cluster.rig.cluster import Cluster, until
from cluster.rig.crowd import Crowd
from cluster.rig.flows import Clock, Pinging, started_anew
from cluster.rig.pod import Pod
from cluster.rig.witness import EspWitness
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from support.measured import Measured

CLIENTS = 30
SETTLE_SECONDS = 15
WORST_SECONDS = 10.0


def assert_one_each(cluster: Cluster, count: int) -> None:
    """Soon there is each session once, with an address of its own, and no user above one."""

    def right() -> bool:
        rows = [row for _, row in cluster.sessions()]
        return (
            len(rows)
            == count
            == len({row["address"] for row in rows})
            == len({row["user"] for row in rows})
        )

    try:
        until(right, SETTLE_SECONDS, "not each session once")
    except AssertionError as error:
        owned = {pod.name: len(pod.sessions()) for pod in cluster.pods if pod.running}
        raise AssertionError(f"{error}: {owned}") from error


@pytest.mark.parametrize("seconds", [2, 4, 20])
def test_stopped_and_continued(
    seconds: int,
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """SIGSTOP of the owner: short, its sessions wait; long, others have them, and it obeys."""
    assert people.grow(CLIENTS)["up"] == CLIENTS
    alice.connect(profile_of("alice", esp="aes256gcm128"))
    clock = Clock(alice.guest)
    people.traffic(4)
    pinging = Pinging(alice)
    time.sleep(1)
    victim = cluster.owner_of("alice")
    owned = {row["address"] for row in victim.sessions()}
    at = victim.pause()
    time.sleep(seconds)
    victim.resume()
    first = pinging.await_answer(clock.to_guest(at) + 0.05, WORST_SECONDS)
    assert first is not None
    time.sleep(6)
    pings = pinging.stop()
    report = people.report()
    back = [c.back(at) for c in report.clients if c.address in owned]
    worst = max((when - at for when in back if when is not None), default=0.0)
    measured.add(
        f"alice was through after {first - clock.to_guest(at):.2f} s, {pings.lost} lost;"
        f" {len(owned)} sessions of {victim.name}, the last through after {worst:.2f} s; {report}"
    )
    assert report.ended == []
    assert worst < max(WORST_SECONDS, seconds / 2)
    assert pings.twice == 0
    assert started_anew(alice.guest, pinging.mark) == []
    assert_one_each(cluster, CLIENTS + 1)
    cluster.balancer.await_serving(len(cluster.pods))
    people.leave()
    measured.add(witness.verdict())


def _went_on(
    cluster: Cluster, people: Crowd, alice: Client, pinging: Pinging, measured: Measured, count: int
) -> None:
    """Nobody had to start anew, and there are so many sessions."""
    time.sleep(6)
    pings = pinging.stop()
    report = people.report()
    measured.add(f"alice: {pings.lost} of {pings.sent} lost; {report}")
    assert report.ended == []
    assert pings.twice == 0
    assert started_anew(alice.guest, pinging.mark) == []
    assert_one_each(cluster, count)


def _begin(cluster: Cluster, people: Crowd, alice: Client) -> tuple[Pod, Pinging]:
    assert people.grow(CLIENTS)["up"] == CLIENTS
    alice.connect(profile_of("alice"))
    people.traffic(4)
    pinging = Pinging(alice, 0.1)
    time.sleep(1)
    return cluster.owner_of("alice"), pinging


def test_ring_partition(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """The owner hears no other pod for ten seconds, but the store: it serves on."""
    owner, pinging = _begin(cluster, people, alice)
    others = [pod for pod in cluster.pods if pod is not owner]
    with cluster.cut(owner, *others):
        time.sleep(10)
        growth = people.grow(1, seconds=20)
        measured.add(f"while the ring is cut: {growth}")
    _went_on(cluster, people, alice, pinging, measured, CLIENTS + 1 + growth["up"])
    people.leave()
    measured.add(witness.verdict())


def test_cut_off_from_ring_and_store(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """The owner is alone: it fences itself, others take over, and it comes back without harm."""
    owner, pinging = _begin(cluster, people, alice)
    clock = Clock(alice.guest)
    others = [pod for pod in cluster.pods if pod is not owner]
    at = time.monotonic()
    with cluster.cut(owner, *others, store=True):
        taken = _taken_over_from(cluster, owner)
        measured.add(f"{taken.name} has it after {time.monotonic() - at:.2f} s")
        # Packets still enter the cut-off pod: clients wait until its readiness probe has failed.
        first = pinging.await_answer(clock.to_guest(at) + 6.0, 20)
        assert first is not None
        measured.add(f"alice is through again {first - clock.to_guest(at):.2f} s after the cut")
    _went_on(cluster, people, alice, pinging, measured, CLIENTS + 1)
    cluster.balancer.await_serving(len(cluster.pods))
    people.leave()
    measured.add(witness.verdict())


def _taken_over_from(cluster: Cluster, owner: Pod) -> Pod:
    """The pod that takes alice's session over from `owner`, which may still list it."""
    end = time.monotonic() + WORST_SECONDS
    while time.monotonic() < end:
        for pod, _ in cluster.sessions("alice"):
            if pod is not owner:
                return pod
        time.sleep(0.1)
    raise AssertionError(f"nobody takes over from {owner.name}")
