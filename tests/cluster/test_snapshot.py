"""One gateway with a sealed file instead of a store: its sessions outlive its process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.rig.cluster import NAMES_KEY, STORE_KEY, Cluster, configuration, running
from cluster.rig.flows import Clock, Pinging, started_anew
from cluster.rig.laboratory import ClusterLaboratory
from cluster.rig.witness import EspWitness
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from support.measured import Measured

WORST_SECONDS = 10.0
ENDS = ("killed", "told to stop")


def alone(folder: Path) -> dict[str, Any]:
    made = configuration()
    made["gateway"]["store"] = {
        "type": "Memory",
        "snapshot": str(folder / "sessions"),
        "key": STORE_KEY,
        "namesKey": NAMES_KEY,
    }
    return made


@pytest.fixture(scope="module")
def _cluster(laboratory: ClusterLaboratory) -> Iterator[Cluster]:
    with running(laboratory, alone(Path(laboratory.folder)), count=1) as cluster:
        yield cluster


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("esp", ["aes256-sha256", "aes256gcm128"])
def test_sessions_outlive_the_process(
    cluster: Cluster, alice: Client, witness: EspWitness, measured: Measured, end: str, esp: str
) -> None:
    alice.connect(profile_of("alice", esp=esp))
    (pod,), clock = cluster.pods, Clock(alice.guest)
    ((_, before),) = cluster.sessions("alice")
    pinging = Pinging(alice)
    time.sleep(1)
    if end == "killed":
        at = pod.kill()
    else:
        at = pod.terminate()
        assert pod.await_end(10) == 0
    pod.begin()
    back = pinging.await_answer(clock.to_guest(time.monotonic()), 15)
    assert back is not None, "no ping in 15 s"
    time.sleep(2)
    pings = pinging.stop()
    ((_, after),) = cluster.sessions("alice")
    measured.add(f"{end}: {back - clock.to_guest(at):.2f} s, {pings.lost} pings lost")
    assert after["address"] == before["address"]
    assert started_anew(alice.guest, pinging.mark) == []
    assert pings.twice == 0
    assert back - clock.to_guest(at) < WORST_SECONDS
    measured.add(witness.verdict())
