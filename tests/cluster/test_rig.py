"""The laboratory itself: the balancer does as Kubernetes does, and the witnesses see harm."""

from __future__ import annotations

import time

import pytest

from cluster.rig.balancer import NOTICE_SECONDS, SYNC_SECONDS
from cluster.rig.cluster import configuration, running, until
from cluster.rig.crowd import crowd
from cluster.rig.laboratory import ClusterLaboratory, pod_address
from cluster.rig.witness import BACK_MAX, NATT_PORT, EspWitness
from ferrule.core.ids import Address
from interop.hostile.wire import Datagram
from interop.rig.scenario import PSK
from support.measured import Measured


def test_pods_that_know_nothing_of_each_other(
    laboratory: ClusterLaboratory, measured: Measured
) -> None:
    """Two with a `Memory` store: nobody gets in, unless 500 and 4500 are at one pod. A pod that is
    killed loses its flows, as fast as Kubernetes notices."""
    settings = configuration()
    del settings["gateway"]["store"]
    with running(laboratory, settings, count=2) as cluster, crowd(laboratory, PSK) as people:
        witness = EspWitness(laboratory)
        assert people.grow(8, seconds=3)["up"] == 0
        cluster.balancer.rotate(1)
        growth = people.grow(16, seconds=20)
        measured.add(f"{growth['up']} of 16 up in {growth['seconds']:.1f} s")
        assert growth["up"] >= 16
        people.traffic(5)
        time.sleep(2)
        assert all(pod.sessions() for pod in cluster.pods)
        assert cluster.bugs() == []
        measured.add(witness.verdict())
        victim = cluster.pods[0]
        assert f"src={victim.address} " in cluster.balancer.flows()
        victim.kill()
        seconds = until(
            lambda: f"src={victim.address} " not in cluster.balancer.flows(), 5, "flows stay"
        )
        measured.add(f"its flows are gone after {seconds:.2f} s")
        assert seconds > NOTICE_SECONDS + SYNC_SECONDS - 0.2
        assert cluster.balancer.serving() == [cluster.pods[1]]
        until(lambda: len(people.report().ended) == 0, 1, "clients notice nothing that soon")
        assert any(client.gaps for client in people.report().clients)


class _Told(EspWitness):
    """A witness that is told what it saw."""

    def __init__(self, laboratory: ClusterLaboratory) -> None:
        super().__init__(laboratory)
        self.close()

    def tell(self, sequence: int, what: bytes = b"", pod: int = 0) -> None:
        payload = b"\1\2\3\4" + sequence.to_bytes(4, "big") + what
        source = Address(pod_address(pod), NATT_PORT)
        self.see(Datagram(source, Address("192.0.2.11", NATT_PORT), payload))


def test_the_witness_sees_harm(laboratory: ClusterLaboratory) -> None:
    told = _Told(laboratory)
    for sequence in (1, 2, 4, 3, 1 << 20):
        told.tell(sequence)
    assert "5 ESP packets of 1 SAs, 0 by several pods" in told.verdict()
    told.tell(4, b"other", pod=1)
    with pytest.raises(AssertionError, match="sent twice"):
        told.verdict()
    told = _Told(laboratory)
    told.tell(7, b"the same")
    told.tell(7, b"the same")
    assert told.verdict(repeats=True)
    with pytest.raises(AssertionError, match="packets sent twice"):
        told.verdict()
    told = _Told(laboratory)
    told.tell(BACK_MAX + 9)
    told.tell(8)
    with pytest.raises(AssertionError, match="old owner"):
        told.verdict()
