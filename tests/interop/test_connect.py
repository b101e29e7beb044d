"""Connecting: on the server's own network, behind NAT, two behind one NAT; traffic both ways."""

from __future__ import annotations

import json
import re
import statistics
from ipaddress import ip_address, ip_network

import pytest

from interop.rig.peers import Client
from interop.rig.scenario import POOL, profile_of
from interop.rig.server import Server
from interop.rig.topology import NAT_ADDRESS, WEB_ADDRESS, Laboratory
from support.measured import Measured

FIRST_PING_SECONDS = 0.7
IPERF_SECONDS = 3


def lost(output: str) -> int:
    """Packets that `ping` says were lost."""
    match = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    assert match, output
    return int(match[1]) - int(match[2])


def iperf(client: Client, *options: str) -> float:
    """Mbit/s of iperf3 to the host behind the gateway."""
    argv = ("iperf3", "--json", "-c", WEB_ADDRESS, "-t", str(IPERF_SECONDS), *options)
    result = json.loads(client.guest.run(*argv, timeout=40).output)
    return float(result["end"]["sum_received"]["bits_per_second"]) / 1e6


@pytest.mark.parametrize("bridge", ["wan", "lan"])
def test_a_client_connects(
    bridge: str, laboratory: Laboratory, server: Server, alice: Client, measured: Measured
) -> None:
    laboratory.nat.reset()
    alice.move(laboratory, bridge)
    session = alice.connect(profile_of("alice"))
    measured.add(session)
    assert ip_address(session.address) in ip_network(POOL)
    assert session.dns == WEB_ADDRESS
    ping = alice.ping(count=10)
    assert lost(ping.output) == 0, ping.output
    (seen,) = server.await_sessions(1)
    assert seen["user"] == "alice"
    assert seen["address"] == session.address
    assert seen["state"] == "up"
    outer = alice.address if bridge == "wan" else NAT_ADDRESS
    assert seen["peer"].startswith(f"{outer}:")


def test_first_ping_in_a_moment(
    laboratory: Laboratory, server: Server, behind_nat: Client, measured: Measured
) -> None:
    """Nothing in a set-up waits for a timer when nothing is lost."""
    seconds = []
    for _ in range(5):
        session = behind_nat.connect(profile_of("alice"))
        measured.add(session)
        seconds.append(session.stages[-1][1])
    measured.add(f"first ping after {statistics.median(seconds):.3f} s (median of five)")
    assert statistics.median(seconds) < FIRST_PING_SECONDS
    assert max(seconds) < 2 * FIRST_PING_SECONDS  # nobody waited for a retransmission


def test_traffic_both_ways(server: Server, behind_nat: Client, measured: Measured) -> None:
    behind_nat.connect(profile_of("alice"))
    for direction, options in (("up", ()), ("down", ("--reverse",))):
        before = server.cpu_seconds()
        megabits = iperf(behind_nat, *options)
        spent = server.cpu_seconds() - before
        measured.add(
            f"{direction}: {megabits:.0f} Mbit/s,"
            f" {spent / (megabits * IPERF_SECONDS / 1000):.1f} s of CPU for a Gbit"
        )
        assert megabits > 5
    (seen,) = server.sessions()
    assert seen["octets_up"] > 1e6
    assert seen["octets_down"] > 1e6


def test_packets_of_every_size(server: Server, behind_nat: Client) -> None:
    """Up to the interface's MTU without fragments; beyond it pppd's interface fragments."""
    behind_nat.connect(profile_of("alice"))
    shown = behind_nat.guest.run("ip", "-o", "link", "show", "ppp0").output
    match = re.search(r"mtu (\d+)", shown)
    assert match
    mtu = int(match[1])
    assert mtu >= 1300
    for size in (0, 1, 500, mtu - 29, mtu - 28):
        ping = behind_nat.guest.try_run(
            *("ping", "-n", "-M", "do", "-c", "1", "-W", "3", "-s", str(size), WEB_ADDRESS)
        )
        assert ping.status == 0, f"{size}: {ping.output}"
    ping = behind_nat.ping(count=1, size=3000)
    assert ping.status == 0, ping.output


def test_two_clients_behind_one_nat(
    laboratory: Laboratory, server: Server, behind_nat: Client, bob: Client, measured: Measured
) -> None:
    """Both ping at the same time; one hangs up, the other does not notice."""
    alice = behind_nat
    bob.move(laboratory, "lan")
    sessions = {
        "alice": alice.connect(profile_of("alice")),
        "bob": bob.connect(profile_of("bob")),
    }
    for who, session in sessions.items():
        measured.add(session, who)
    seen = {row["user"]: row for row in server.await_sessions(2)}
    assert {row["peer"].rpartition(":")[0] for row in seen.values()} == {NAT_ADDRESS}
    assert seen["alice"]["peer"] != seen["bob"]["peer"]
    pings = [
        client.guest.begin_run("ping", "-n", "-c", "20", "-i", "0.1", "-W", "3", WEB_ADDRESS)
        for client in (alice, bob)
    ]
    for client, ping in zip((alice, bob), pings, strict=True):
        outcome = client.guest.finish(ping)
        assert lost(outcome.output) == 0, outcome.output
    going_on = bob.guest.begin_run("ping", "-n", "-c", "30", "-i", "0.1", "-W", "3", WEB_ADDRESS)
    alice.reset()
    server.await_sessions(1)
    outcome = bob.guest.finish(going_on)
    assert lost(outcome.output) == 0, outcome.output
    again = alice.connect(profile_of("alice"))
    measured.add(again, "alice again")
    assert lost(bob.ping(count=5).output) == 0
    assert lost(alice.ping(count=5).output) == 0
