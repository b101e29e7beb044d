"""Any pod may receive any packet: 500 and 4500 apart, and flows that change their pod."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cluster.rig.cluster import RELAYED, Cluster
from cluster.rig.crowd import Crowd
from cluster.rig.flows import Download, Pinging, started_anew
from cluster.rig.laboratory import PODS
from cluster.rig.witness import EspWitness, RingWitness
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from support.measured import Measured

TRAFFIC_SECONDS = 5


@pytest.fixture
def ring(cluster: Cluster) -> Iterator[list[RingWitness]]:
    """What each pod says to the others."""
    witnesses = [RingWitness(cluster.laboratory, number) for number in range(PODS)]
    yield witnesses
    for witness in witnesses:
        witness.close()


def relayed(ring: list[RingWitness]) -> int:
    """Packets of clients that crossed the ring so far, in both directions."""
    return sum(witness.count(*RELAYED) for witness in ring)


def relayed_esp(cluster: Cluster) -> float:
    """What the pods themselves count: clients' ESP that crossed the ring, in both directions."""
    return sum(
        cluster.metric("ferrule_relayed_packets_total", direction=direction, kind="esp")
        for direction in ("to_owner", "to_client")
    )


@pytest.mark.parametrize("bridge", ["wan", "lan"])
def test_500_and_4500_on_different_pods(
    bridge: str,
    cluster: Cluster,
    alice: Client,
    witness: EspWitness,
    ring: list[RingWitness],
    measured: Measured,
) -> None:
    """It connects; when it is up, no packet of it is relayed any more."""
    cluster.laboratory.nat.reset()
    alice.move(cluster.laboratory, bridge)
    try:
        session = alice.connect(profile_of("alice"))
        measured.add(session)
        outer = alice.address if bridge == "wan" else "192.0.2.2"
        first, second = (cluster.balancer.ingress(outer, port) for port in (500, 4500))
        assert first is not None
        assert second is not None
        assert first is not second
        assert cluster.owner_of("alice") is second
        measured.add(f"relayed during the set-up: {relayed(ring)}, of {first.name}, {second.name}")
        assert relayed(ring) > 0, "then nothing was split"
        before, counted = relayed(ring), relayed_esp(cluster)
        pinging = Pinging(alice)
        download = Download(alice, TRAFFIC_SECONDS)
        octets = sum(download.finish())
        pings = pinging.stop()
        share = relayed(ring) - before
        measured.add(
            f"{pings.sent} pings, {pings.lost} lost, {octets / 1e6:.1f} MB; relayed {share}"
        )
        assert pings.lost == 0
        assert octets > 0
        assert share == 0
        assert relayed_esp(cluster) - counted == 0
        assert started_anew(alice.guest, pinging.mark) == []
        measured.add(witness.verdict())
    finally:
        alice.reset()
        alice.move(cluster.laboratory, "wan")


def test_a_crowd_binds_late_too(
    cluster: Cluster,
    people: Crowd,
    witness: EspWitness,
    ring: list[RingWitness],
    measured: Measured,
) -> None:
    """Sixty clients, all of them split; afterwards the ring is quiet."""
    growth = people.grow(60)
    measured.add(f"{growth['up']} up in {growth['seconds']:.1f} s {growth['failures'] or ''}")
    assert growth["up"] == 60
    assert len(set(cluster.addresses())) == 60
    owned = {pod.name: len(pod.sessions()) for pod in cluster.pods}
    measured.add(f"owned: {owned}; relayed during the set-ups: {relayed(ring)}")
    assert all(owned.values())
    before, counted = relayed(ring), relayed_esp(cluster)
    people.traffic(5)
    time.sleep(TRAFFIC_SECONDS)
    people.traffic(0)
    report = people.report()
    measured.add(f"relayed with traffic: {relayed(ring) - before}")
    assert relayed(ring) - before == 0
    assert relayed_esp(cluster) - counted == 0
    assert report.ended == []
    people.leave()
    assert cluster.sessions() == []
    measured.add(witness.verdict())


def test_flows_that_change_their_pod(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    ring: list[RingWitness],
    measured: Measured,
) -> None:
    """The balancer sends everybody somewhere else: relays carry it, and nothing is lost."""
    people.grow(30)
    alice.connect(profile_of("alice"))
    people.traffic(5)
    pinging = Pinging(alice)
    time.sleep(1)
    before, counted = relayed(ring), relayed_esp(cluster)
    for by in (1, 2, 0, 1):
        cluster.balancer.rotate(by)
        time.sleep(2)
    cluster.balancer.rotate(0)
    pings = pinging.stop()
    report = people.report()
    people.traffic(0)
    measured.add(f"alice: {pings.sent} pings, {pings.lost} lost; relayed {relayed(ring) - before}")
    measured.add(str(report))
    assert relayed(ring) > before
    measured.add(f"the pods counted {relayed_esp(cluster) - counted:.0f} of ESP")
    assert relayed_esp(cluster) > counted
    assert pings.lost == 0
    assert pings.twice == 0
    assert report.ended == []
    # What is under way when a flow changes its pod comes back through the old one, and is lost.
    assert report.lost <= report.sent / 200
    assert started_anew(alice.guest, pinging.mark) == []
    people.leave()
    measured.add(witness.verdict())
