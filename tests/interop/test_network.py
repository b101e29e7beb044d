"""What networks do: mappings move under traffic, packets are lost, late, out of order, twice."""

from __future__ import annotations

import re

import pytest

from interop.rig.link import bad_link
from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from interop.rig.server import Server
from interop.rig.topology import NAT_ADDRESS, OTHER_NAT_ADDRESS, WEB_ADDRESS, Laboratory
from support.measured import Measured


@pytest.mark.parametrize("address", [NAT_ADDRESS, OTHER_NAT_ADDRESS], ids=["port", "address"])
def test_nat_rebinding_under_traffic(
    address: str, laboratory: Laboratory, server: Server, behind_nat: Client, measured: Measured
) -> None:
    """The NAT forgets its mapping while a TCP stream and pings run: both go on."""
    behind_nat.connect(profile_of("alice"))
    (before,) = server.await_sessions(1)
    guest = behind_nat.guest
    mark = server.mark()
    stream = guest.begin_run("iperf3", "-c", WEB_ADDRESS, "-t", "6", "-i", "1", "-b", "20M")
    pings = guest.begin_run("ping", "-n", "-c", "50", "-i", "0.1", "-W", "3", WEB_ADDRESS)
    guest.run("sleep", "1.5")
    ports = laboratory.nat.rebind(address)
    outcome = guest.finish(pings)
    match = re.search(r"(\d+) packets transmitted, (\d+) received", outcome.output)
    assert match, outcome.output
    lost = int(match[1]) - int(match[2])
    iperf = guest.finish(stream)
    assert iperf.status == 0, iperf.output
    (after,) = server.sessions()
    measured.add(f"{before['peer']} -> {after['peer']}: {lost} of {match[1]} pings lost")
    assert after["session"] == before["session"]
    host, _, port = after["peer"].rpartition(":")
    assert host == address
    assert int(port) in ports
    assert lost <= 2
    assert server.find_log(mark, 0.1, event="session ended") is None


def test_rebinding_of_an_idle_client(
    laboratory: Laboratory, server: Server, behind_nat: Client
) -> None:
    """The first packet after a pause comes from elsewhere; the next answer goes there."""
    behind_nat.connect(profile_of("alice"))
    laboratory.nat.rebind()
    assert behind_nat.ping(count=3).status == 0
    laboratory.nat.rebind(OTHER_NAT_ADDRESS)
    assert behind_nat.ping(count=3).status == 0


def test_connects_over_a_bad_link(server: Server, behind_nat: Client, measured: Measured) -> None:
    """5 % loss, 50 ms more a round trip, re-ordering, duplicates: slower, but it connects."""
    with bad_link(
        behind_nat.guest,
        loss_percent=5,
        delay_milliseconds=25,
        reorder_percent=20,
        duplicate_percent=5,
    ):
        for _ in range(4):
            behind_nat.load(profile_of("alice"))
            measured.add(behind_nat.dial(seconds=40, pings=10))
            server.await_sessions(1)


def test_duplicates_are_delivered_once(server: Server, behind_nat: Client) -> None:
    """Every packet twice: the replay window lets one of each through."""
    behind_nat.connect(profile_of("alice"))
    before = server.metric("ferrule_dropped_total", reason="esp_replay")
    with bad_link(behind_nat.guest, duplicate_percent=100):
        ping = behind_nat.ping(count=10)
    assert ping.status == 0
    assert "DUP!" not in ping.output
    assert server.metric("ferrule_dropped_total", reason="esp_replay") >= before + 10
