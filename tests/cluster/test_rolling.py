"""An upgrade: each pod is told to stop and started again, the highest number first."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from cluster.rig.cluster import Cluster, full_or
from cluster.rig.crowd import Crowd
from cluster.rig.flows import Clock, Pinging, started_anew
from cluster.rig.witness import EspWitness
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from support.measured import Measured

CLIENTS = full_or(60, 300)
RATE = full_or(5, 3)  # pings a second and client
READY_SECONDS = full_or(3, 10)  # minReadySeconds
GRACE_SECONDS = 45  # drain.timeoutSeconds and 30, as the operator has it
SILENCE_SECONDS = 1.0
LOST_SHARE = 0.001


def _restart_all(cluster: Cluster, people: Crowd, measured: Measured) -> None:
    """As a StatefulSet does it."""
    for pod in reversed(cluster.pods):
        cluster.balancer.terminating(pod)
        told = pod.terminate()
        status = pod.await_end(GRACE_SECONDS)
        ended = time.monotonic()
        cluster.restart(pod)
        report = people.report()
        silences = [begin - told for c in report.clients for begin, _ in c.gaps if begin > told]
        measured.add(
            f"{pod.name}: ended after {ended - told:.1f} s, served again after"
            f" {time.monotonic() - ended:.1f} s; {report}; silences begin"
            f" {dict(sorted(Counter(round(at, 1) for at in silences).items()))} s after SIGTERM"
        )
        assert status in (0, -signal.SIGTERM)
        time.sleep(READY_SECONDS)


@pytest.fixture(params=["one version", "two versions"])
def upgrade(request: pytest.FixtureRequest, cluster: Cluster) -> None:
    """The second: before, all pods write check-points as the version before did."""
    if request.param == "two versions":
        for pod in cluster.pods:
            pod.writes_older = True
            pod.kill()
        cluster.mend()
        for pod in cluster.pods:
            pod.writes_older = False


@pytest.mark.usefixtures("upgrade")
def test_rolling_restart(
    cluster: Cluster,
    alice: Client,
    bob: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """Nobody loses the session, or hears nothing for more than a second."""
    growth = people.grow(CLIENTS)
    assert growth["up"] == CLIENTS, growth
    alice.connect(profile_of("alice"))
    bob.connect(profile_of("bob", esp="aes256gcm128"))
    clocks = {client: Clock(client.guest) for client in (alice, bob)}
    people.traffic(RATE)
    pingings = {client: Pinging(client, 0.1) for client in (alice, bob)}
    time.sleep(1)
    began = time.monotonic()
    _restart_all(cluster, people, measured)
    ended = time.monotonic()
    for client, pinging in pingings.items():
        pings = pinging.stop()
        clock = clocks[client]
        silence = pings.longest_silence(clock.to_guest(began), clock.to_guest(ended))
        measured.add(
            f"{client.guest.name}: {pings.lost} of {pings.sent} lost,"
            f" longest silence {silence:.2f} s"
        )
        assert started_anew(client.guest, pinging.mark) == []
        assert silence <= SILENCE_SECONDS
    time.sleep(1)
    report = people.report()
    people.traffic(0)
    measured.add(str(report))
    assert report.ended == []
    assert report.lost <= report.sent * LOST_SHARE
    assert max((client.longest() for client in report.clients), default=0) <= SILENCE_SECONDS
    cluster.assert_no_conflict(CLIENTS + 2)
    people.leave()
    measured.add(witness.verdict())
