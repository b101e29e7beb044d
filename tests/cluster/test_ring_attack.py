"""Ring packets twice, late and forged: the MAC and what they carry keep them from doing harm."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from cluster.rig.cluster import Cluster
from cluster.rig.crowd import Crowd
from cluster.rig.flows import Pinging, started_anew
from cluster.rig.laboratory import PODS, ClusterLaboratory, pod_address
from cluster.rig.pod import RING_PORT
from cluster.rig.witness import EspWitness, RingIntruder, RingWitness
from ferrule.core.ids import Address
from interop.hostile.wire import Datagram
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from support.measured import Measured

CLIENTS = 30
LATE_SECONDS = 3.0
FORGERIES = 5000
WAYS = (
    "a bit of the body", "a bit of the MAC", "cut short", "another kind", "to another pod",
    "from another pod", "random octets",
)  # fmt: skip


class _Echo(RingWitness):
    """Says all that it hears at once again, and everything once more later."""

    def __init__(self, laboratory: ClusterLaboratory, number: int, intruder: RingIntruder) -> None:
        self.again = 0
        self._intruder = intruder
        self._late: list[tuple[float, Datagram]] = []
        super().__init__(laboratory, number)

    def see(self, datagram: Datagram) -> None:
        super().see(datagram)
        if datagram.destination.port != RING_PORT:
            return
        now = time.monotonic()
        self._intruder.send(datagram)
        self.again += 1
        self._late.append((now + LATE_SECONDS, datagram))
        while self._late and self._late[0][0] <= now:
            self._intruder.send(self._late.pop(0)[1])
            self.again += 1


@contextmanager
def intrusion(laboratory: ClusterLaboratory) -> Iterator[RingIntruder]:
    intruder = RingIntruder(laboratory)
    try:
        yield intruder
    finally:
        intruder.close()


def _shuffle(cluster: Cluster, times: int) -> None:
    """Have packets relayed: every flow enters another pod, again and again."""
    for at in range(times):
        cluster.balancer.rotate(1 + at % 2)
        time.sleep(2)
    cluster.balancer.rotate(0)


def test_said_twice_and_late(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """All that is said on the ring is said three times."""
    with intrusion(cluster.laboratory) as intruder, ExitStack() as stack:
        echoes = [_Echo(cluster.laboratory, number, intruder) for number in range(PODS)]
        for echo in echoes:
            stack.callback(echo.close)
        growth = people.grow(CLIENTS)
        assert growth["up"] == CLIENTS, growth
        alice.connect(profile_of("alice"))
        people.traffic(4)
        pinging = Pinging(alice, 0.1)
        _shuffle(cluster, 5)
        pings = pinging.stop()
        report = people.report()
        people.traffic(0)
        again = sum(echo.again for echo in echoes)
    measured.add(f"{again} datagrams said again; alice: {pings.lost} of {pings.sent}; {report}")
    assert again > 1000
    assert pings.lost == 0
    assert pings.twice == 0
    assert report.ended == []
    assert started_anew(alice.guest, pinging.mark) == []
    cluster.assert_no_conflict(CLIENTS + 1)
    people.leave()
    measured.add(witness.verdict(repeats=True))


def _forge(chance: random.Random, true: Datagram) -> Datagram:
    """Something that no member said."""
    payload = bytearray(true.payload)
    addresses = [pod_address(number) for number in range(PODS)]
    elsewhere = [a for a in addresses if a not in (true.source.host, true.destination.host)]
    match chance.choice(WAYS):
        case "a bit of the body":
            payload[chance.randrange(len(payload) - 8)] ^= 1 << chance.randrange(8)
        case "a bit of the MAC":
            payload[-chance.randint(1, 8)] ^= 1 << chance.randrange(8)
        case "cut short":
            del payload[chance.randrange(len(payload)) :]
        case "another kind":
            payload[0] = payload[0] & 0xF0 | (payload[0] + chance.randint(1, 15)) & 15
        case "to another pod":
            return replace(true, destination=Address(elsewhere[0], RING_PORT))
        case "from another pod":
            return replace(true, source=Address(elsewhere[0], RING_PORT))
        case _:
            payload = bytearray(chance.randbytes(chance.randint(1, 1400)))
    return replace(true, payload=bytes(payload))


def test_forged(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """Thousands of datagrams that no member said, made of those that members did say."""
    assert people.grow(CLIENTS)["up"] == CLIENTS
    alice.connect(profile_of("alice"))
    rings = [RingWitness(cluster.laboratory, number) for number in range(PODS)]
    people.traffic(4)
    pinging = Pinging(alice, 0.1)
    cluster.balancer.rotate(1)
    time.sleep(2)
    chance = random.Random(7)
    with intrusion(cluster.laboratory) as intruder:
        for number in range(FORGERIES):
            true = [d for ring in rings for d in list(ring.latest.values()) if len(d.payload) > 9]
            intruder.send(_forge(chance, chance.choice(true)))
            if number % 20 == 0:
                time.sleep(0.02)
    time.sleep(2)
    pings = pinging.stop()
    report = people.report()
    people.traffic(0)
    for ring in rings:
        ring.close()
    cluster.balancer.rotate(0)
    forged = cluster.metric("ferrule_dropped_total", reason="ring_forged")
    measured.add(
        f"{FORGERIES} forgeries, {forged:.0f} counted;"
        f" alice: {pings.lost} of {pings.sent} lost; {report}"
    )
    assert forged > FORGERIES / 2
    assert pings.lost == 0
    assert pings.twice == 0
    assert report.ended == []
    assert started_anew(alice.guest, pinging.mark) == []
    people.leave()
    measured.add(witness.verdict())
