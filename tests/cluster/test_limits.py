"""What is one for all pods: places, addresses, the way to a session wherever it is."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from cluster.rig.cluster import STATIC_ADDRESS, Cluster, until
from cluster.rig.crowd import crowd
from cluster.rig.flows import started_anew
from cluster.rig.witness import EspWitness
from ferrule.accounts.lockout import FREE_FAILURES
from interop.rig.peers import Client
from interop.rig.processes import CommandFailed
from interop.rig.scenario import PASSWORDS, PSK, profile_of
from interop.rig.topology import SERVER_ADDRESS
from support.measured import Measured

DIALLERS = 9


def test_one_session_too_many_is_refused(cluster: Cluster, measured: Measured) -> None:
    """Nine clients of a user with two places, at all pods at once."""
    with crowd(cluster.laboratory, PSK, "two", 1) as people:
        growth = people.grow(DIALLERS, at_once=DIALLERS)
        measured.add(f"{growth['up']} up, {growth['failures']}")
        assert growth["up"] == 2
        assert sum(growth["failures"].values()) == DIALLERS - 2
        assert len(cluster.sessions("two")) == 2
        people.leave()
        assert people.grow(1)["up"] == 1, "the places are not free again"
        people.leave()


def test_the_last_one_stays(cluster: Cluster, measured: Measured) -> None:
    """Each new session ends the one before, at whichever pod that is."""
    with crowd(cluster.laboratory, PSK, "last", 1) as people:
        growth = people.grow(DIALLERS, at_once=1)
        measured.add(f"{growth['up']} up, {growth['failures']}")
        assert growth["up"] == DIALLERS
        until(lambda: len(cluster.sessions("last")) == 1, 5, "more than one is on")
        until(lambda: len(people.report().ended) == DIALLERS - 1, 5, "some were not told")
        measured.add(f"{people.report().ended[0]}")
        people.leave()


def test_a_static_address_is_one_sessions(cluster: Cluster, measured: Measured) -> None:
    with crowd(cluster.laboratory, PSK, "fixed", 1) as people:
        growth = people.grow(DIALLERS, at_once=3)
        measured.add(f"{growth['up']} up, {growth['failures']}")
        assert growth["up"] >= 1
        until(lambda: len(cluster.sessions("fixed")) == 1, 5, "more than one is on")
        ((_, row),) = cluster.sessions("fixed")
        assert row["address"] == STATIC_ADDRESS
        people.leave()


def test_wrong_passwords_count_wherever_they_are_tried(cluster: Cluster, tmp_path: Path) -> None:
    """Five at two pods; then the third, which was never asked before, knows of them."""
    psk, wrong, right = (tmp_path / name for name in ("psk", "wrong", "right"))
    psk.write_text(PSK)
    wrong.write_text("not the password")
    right.write_text(PASSWORDS["carol"])

    def locked_out() -> list[float]:
        name = "ferrule_auth_total"
        return [pod.metric(name, outcome="locked_out") for pod in cluster.pods]

    def dial(by: int, password: Path) -> None:
        cluster.balancer.rotate(by)
        with pytest.raises(CommandFailed):
            cluster.laboratory.crowd.run(
                *(str(Path(sys.executable).with_name("ferrule")), "probe", SERVER_ADDRESS),
                *("--psk-file", str(psk), "--user", "carol", "--password-file", str(password)),
            )

    before = locked_out()
    for number in range(FREE_FAILURES):
        dial(number % 2, wrong)
    assert locked_out() == before
    dial(2, right)
    assert sum(locked_out()) == sum(before) + 1


def test_a_session_is_ended_from_any_pod(cluster: Cluster, alice: Client) -> None:
    """`ferrule kick` at a pod that does not have it."""
    mark = alice.guest.mark()
    alice.connect(profile_of("alice"))
    owner = cluster.owner_of("alice")
    other = next(pod for pod in cluster.pods if pod is not owner)
    assert other.kick("alice") == 1
    until(lambda: cluster.sessions("alice") == [], 5, "it is still on")
    assert alice.guest.find_line(r"ip-down|Connection terminated", mark, timeout=10)


def test_clients_reach_each_other_across_pods(
    cluster: Cluster, alice: Client, bob: Client, witness: EspWitness, measured: Measured
) -> None:
    """From one pod's client to another's and back; the pods' owners differ."""
    one = alice.connect(profile_of("alice"))
    for bridge in ("wan", "lan"):
        bob.move(cluster.laboratory, bridge)
        other = bob.connect(profile_of("bob"))
        if cluster.owner_of("alice") is not cluster.owner_of("bob"):
            break
    try:
        assert cluster.owner_of("alice") is not cluster.owner_of("bob")
        for client, peer in ((alice, other), (bob, one)):
            client.guest.run("ip", "route", "replace", f"{peer.address}/32", "dev", "ppp0")
        time.sleep(0.5)
        ping = alice.ping(other.address, count=20, interval=0.1)
        measured.add(ping.output.splitlines()[-1])
        assert " 20 received" in ping.output, ping.output
        big = alice.ping(other.address, count=5, size=1200)
        assert " 5 received" in big.output, big.output
        assert len(started_anew(alice.guest, alice.guest.mark())) == 0
    finally:
        bob.reset()
        bob.move(cluster.laboratory, "wan")
    measured.add(witness.verdict())
