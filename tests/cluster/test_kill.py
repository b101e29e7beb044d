"""`kill -9` of the pod that owns a session: what goes on, how soon, and that it lasts."""

from __future__ import annotations

import os
import time

from cluster.rig.cluster import Cluster, full_or, until
from cluster.rig.crowd import Crowd
from cluster.rig.flows import Clock, Download, Pinging, started_anew
from cluster.rig.witness import EspWitness
from interop.rig.peers import Client, StrongSwan
from interop.rig.scenario import profile_of
from support.measured import Measured

KILLS = int(os.environ.get("FERRULE_KILLS", full_or(4, 200)))
CLIENTS = 30
WORST_SECONDS = 10.0
P99_SECONDS = 5.0
PROOF_SECONDS = 15  # of the download's going on: TCP's own timer may have doubled to 6 s


def spread(seconds: list[float]) -> str:
    """The distribution, for people."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    shown = ", ".join(f"p{p} {ordered[round(p / 100 * last)]:.2f}" for p in (0, 50, 90, 99, 100))
    return f"{len(ordered)} samples: {shown} s"


def address_of(client: Client) -> str:
    """The client's inner address."""
    return client.guest.run("ip", "-o", "-4", "addr", "show", "ppp0").output.split()[3]


def test_kill_of_the_owner(
    cluster: Cluster,
    alice: Client,
    people: Crowd,
    witness: EspWitness,
    measured: Measured,
) -> None:
    """Ping and download go on, with the same address and without a new authentication."""
    people.grow(CLIENTS)
    alice.connect(profile_of("alice"))
    address = address_of(alice)
    clock = Clock(alice.guest)
    download = Download(alice, 80_000)
    people.traffic(4)
    time.sleep(1)
    real: list[float] = []
    everybody: list[float] = []
    for number in range(KILLS):
        pinging = Pinging(alice)
        time.sleep(1)
        victim = cluster.owner_of("alice")
        owned = {row["address"] for row in victim.sessions()}
        octets = len(download.octets())
        at = victim.kill()
        seconds = pinging.await_answer(clock.to_guest(at) + 0.02, 15)
        assert seconds is not None, f"kill {number}: no ping in 15 s"
        real.append(seconds - clock.to_guest(at))
        cluster.await_owner("alice", but=victim)
        end = time.monotonic() + PROOF_SECONDS
        while not any(download.octets()[octets + 10 :]):
            assert time.monotonic() < end, f"kill {number}: the download does not go on"
            time.sleep(0.2)
        pings = pinging.stop()
        report = people.report()
        back = [c.back(at) for c in report.clients if c.address in owned and not c.ended]
        everybody += [when - at for when in back if when is not None]
        measured.add(
            f"kill {number}, {victim.name}: alice {real[-1]:.2f} s, {pings.lost} pings lost;"
            f" {len(owned)} sessions; {report}"
        )
        assert report.ended == []
        assert pings.twice == 0
        assert started_anew(alice.guest, pinging.mark) == []
        assert address_of(alice) == address
        cluster.restart(victim)
        people.traffic(4)
        time.sleep(3)
    download.stop()
    people.traffic(0)
    measured.add(f"alice: {spread(real)}")
    measured.add(f"the crowd: {spread(everybody)}")
    for seconds in (real, everybody):
        ordered = sorted(seconds)
        assert ordered[round(0.99 * (len(ordered) - 1))] < P99_SECONDS
        assert ordered[-1] < WORST_SECONDS
    cluster.assert_no_conflict(CLIENTS + 1)
    people.leave()
    measured.add(witness.verdict())


def test_killed_and_started_again_at_once(
    cluster: Cluster, alice: Client, people: Crowd, witness: EspWitness, measured: Measured
) -> None:
    """As kubelet does it with a container that crashed: a new life of the same name."""
    people.grow(CLIENTS)
    alice.connect(profile_of("alice", esp="aes256gcm128"))
    clock = Clock(alice.guest)
    people.traffic(4)
    pinging = Pinging(alice)
    time.sleep(1)
    victim = cluster.owner_of("alice")
    owned = {row["address"] for row in victim.sessions()}
    at = victim.kill()
    victim.begin()
    first = pinging.await_answer(clock.to_guest(at) + 0.02, 15)
    assert first is not None, "no ping in 15 s"
    cluster.balancer.await_serving(len(cluster.pods))
    time.sleep(6)
    pings = pinging.stop()
    report = people.report()
    back = [c.back(at) for c in report.clients if c.address in owned]
    waits = [when - at for when in back if when is not None]
    measured.add(
        f"alice {first - clock.to_guest(at):.2f} s, {pings.lost} pings lost; {report};"
        f" {len(owned)} sessions: {spread(waits) if waits else 'no silence'}"
    )
    assert report.ended == []
    assert pings.twice == 0
    assert started_anew(alice.guest, pinging.mark) == []
    assert max([first - clock.to_guest(at), *waits]) < WORST_SECONDS
    cluster.assert_no_conflict(CLIENTS + 1)
    people.leave()
    measured.add(witness.verdict())


def test_what_was_taken_over_lasts(
    cluster: Cluster, alice: Client, bob: Client, witness: EspWitness, measured: Measured
) -> None:
    """Both phases are renewed after a take-over, dead peer detection goes on, and at last the
    clients leave in good order. alice's machine has CBC, bob's GCM."""
    lifetimes = {"ike_seconds": 50, "esp_seconds": 42, "dpd_seconds": 5, "dpd_timeout_seconds": 20}
    alice.connect(profile_of("alice", **lifetimes))
    bob.connect(profile_of("bob", esp="aes256gcm128", **lifetimes))
    time.sleep(3)
    for victim in {cluster.owner_of("alice"), cluster.owner_of("bob")}:
        victim.kill()
    time.sleep(6)
    cluster.mend()
    marks = {client: client.guest.mark() for client in (alice, bob)}
    pingings = {client: Pinging(client, 0.2) for client in (alice, bob)}
    for client, mark in marks.items():
        for pattern in (StrongSwan.phase1, StrongSwan.phase2):
            client.guest.await_line(pattern, mark, source=StrongSwan.source, timeout=60)
    time.sleep(10)
    for client, pinging in pingings.items():
        pings = pinging.stop()
        measured.add(f"{client.guest.name}: {pings.lost} of {pings.sent} lost over the rekeys")
        assert pings.lost == 0
        assert not client.guest.find_line(
            "ip-down|Connection terminated|closed", marks[client], timeout=0
        )
        client.hang_up()
    until(lambda: cluster.sessions() == [], 10, "who hung up is still on")
    measured.add(witness.verdict())
