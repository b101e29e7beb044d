"""The store stops, forgets, is slow, hangs: no session that lives is lost."""

from __future__ import annotations

import time

from cluster.rig.cluster import Cluster, full_or, until
from cluster.rig.crowd import Crowd
from cluster.rig.flows import Clock, Pinging, started_anew
from cluster.rig.witness import EspWitness
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from support.measured import Measured

CLIENTS = 30
AWAY_SECONDS = full_or(15, 60)
REBUILD_SECONDS = 30
TAKE_OVER_SECONDS = 10.0


def test_stopped_and_back_empty(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """Everybody stays on; who comes meanwhile is let in or told why not; then all is as before,
    to the take-over of who was on when the store forgot everything."""
    assert people.grow(CLIENTS)["up"] == CLIENTS
    alice.connect(profile_of("alice"))
    people.traffic(4)
    pinging = Pinging(alice, 0.1)
    keys = cluster.store.keys()
    cluster.store.stop()
    time.sleep(5)
    growth = people.grow(5, at_once=5, seconds=20)
    measured.add(f"while it is away: {growth['up']} of 5 new ones up, {growth['failures']}")
    assert growth["up"] == 5 or growth["failures"]
    time.sleep(max(0.0, AWAY_SECONDS - 5 - growth["seconds"]))
    count = CLIENTS + 1 + growth["up"]
    cluster.assert_no_conflict(count)
    cluster.store.start()
    seconds = until(
        lambda: people.grow(1, seconds=10)["up"] == 1, REBUILD_SECONDS, "nobody new gets in"
    )
    measured.add(
        f"the next one is let in {seconds:.1f} s after its return;"
        f" {keys} keys before, {cluster.store.keys()} now"
    )
    count += 1
    cluster.assert_no_conflict(count)
    pings = pinging.stop()
    report = people.report()
    measured.add(f"alice: {pings.lost} of {pings.sent} lost; {report}")
    assert report.ended == []
    assert pings.lost == 0
    assert started_anew(alice.guest, pinging.mark) == []
    time.sleep(6)  # check-points of window tops are written each 5 s
    pinging = Pinging(alice)
    victim = cluster.owner_of("alice")
    at = Clock(alice.guest).to_guest(victim.kill())
    first = pinging.await_answer(at + 0.02, TAKE_OVER_SECONDS)
    assert first is not None, "what was filled again is no good for a take-over"
    measured.add(f"a kill after that: alice is through {first - at:.2f} s later")
    pinging.stop()
    assert started_anew(alice.guest, pinging.mark) == []
    cluster.await_owner("alice", but=victim)
    cluster.assert_no_conflict(count)
    people.leave()
    measured.add(witness.verdict())


def test_slow_by_half_a_second(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """Data does not wait for it; set-ups may."""
    assert people.grow(10)["up"] == 10
    alice.connect(profile_of("alice"))
    people.traffic(4)
    pinging = Pinging(alice, 0.1)
    with cluster.store.slow(0.5):
        time.sleep(5)
        growth = people.grow(10, at_once=4, seconds=40)
        measured.add(
            f"{growth['up']} of 10 set up in {growth['seconds']:.1f} s {growth['failures']}"
        )
        assert growth["up"] == 10
        time.sleep(5)
    time.sleep(3)
    pings = pinging.stop()
    report = people.report()
    measured.add(f"alice: {pings.lost} of {pings.sent} lost; {report}")
    assert report.ended == []
    assert pings.lost == 0
    cluster.assert_no_conflict(21)
    people.leave()
    measured.add(witness.verdict())


def test_hung(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """It accepts connections and says nothing for a while: data goes on."""
    assert people.grow(CLIENTS)["up"] == CLIENTS
    alice.connect(profile_of("alice"))
    people.traffic(4)
    pinging = Pinging(alice, 0.1)
    time.sleep(1)
    cluster.store.freeze()
    time.sleep(AWAY_SECONDS)
    cluster.store.thaw()
    time.sleep(5)
    pings = pinging.stop()
    report = people.report()
    measured.add(f"alice: {pings.lost} of {pings.sent} lost; {report}")
    assert report.ended == []
    assert pings.lost == 0
    assert report.lost <= report.sent / 1000
    assert started_anew(alice.guest, pinging.mark) == []
    assert people.grow(2)["up"] == 2
    cluster.assert_no_conflict(CLIENTS + 3)
    people.leave()
    measured.add(witness.verdict())
