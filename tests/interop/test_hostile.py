"""Hostile neighbours: a real client behind NAT pings and streams while others do their worst.

The attacker overhears and injects on the server's own cable; he has everything but keys. The
tests run in this order against one client that stays connected, and what each measured is told
at the end. Strangers' addresses are routed to a machine that is not there.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop.hostile.attacks import Attacker, Blow, await_true
from interop.hostile.eavesdropper import Eavesdropper
from interop.hostile.flood import SOURCES
from interop.hostile.judge import MEGABYTE, Judge
from interop.hostile.wire import Wire, hardware_address, rig_namespace
from interop.hostile.witnesses import NUMBER, Sink, vitals
from interop.rig.peers import Client
from interop.rig.scenario import CONFIGURATION, profile_of
from interop.rig.server import Server
from interop.rig.topology import NAT_ADDRESS, SERVER_ADDRESS, WEB_ADDRESS, Laboratory
from interop.rig.uml import Guest
from support.measured import Measured

HALF_OPEN = 200
GARBAGE = 5000
MUTANTS, MUTANTS_A_SECOND = 100_000, 5000
FLOOD_A_SECOND, FLOOD_SECONDS = 20_000, 15.0
STREAM_PORT = 7000
_NOBODY = ("192.0.2.66", "02:fe:00:00:06:67")
_STREAM = f"""
import socket, struct, time
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
out.connect(("{WEB_ADDRESS}", {STREAM_PORT}))
for number in range(1_000_000):
    try:
        out.send(struct.pack("{NUMBER.format}", number))
    except OSError:
        pass
    time.sleep(0.02)
"""


class GuestPings:
    """`ping` in a guest, read from the guest's journal; numbers count from 0."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._mark = guest.mark()
        self._pid = guest.start("ping", "ping", "-n", "-i", "0.1", "-O", WEB_ADDRESS)

    def stop(self) -> None:
        self._guest.stop_daemon(self._pid, signal.SIGINT)

    def _numbers(self, pattern: str) -> list[int]:
        lines = self._guest.lines(self._mark)
        found = (re.search(pattern, text) for _, source, text in lines if source == "ping")
        return [int(match[1]) - 1 for match in found if match]

    @property
    def sent(self) -> int:
        """The next number; that of the last one that was answered, or given up, counts."""
        return max(self._numbers(r"icmp_seq=(\d+)"), default=-1) + 1

    @property
    def answered(self) -> list[int]:
        return self._numbers(r"bytes from .*icmp_seq=(\d+)")


@dataclass(slots=True)
class Besieged:
    """The client that stays connected, the attacker, and who watches."""

    client: Client
    server: Server
    attacker: Attacker
    judge: Judge
    folder: Path
    told: list[str]

    def weather(
        self,
        name: str,
        blow: Blow,
        *,
        answers: float,
        losses: int = 0,
        drops: float = 0.9,
    ) -> None:
        """See Judge.judge."""
        self.judge.judge(name, blow, losses=losses, answer_share=answers, drop_share=drops)


@pytest.fixture(scope="module")
def hostile_server(laboratory: Laboratory, _server: Server) -> Iterator[Server]:
    """The server with the log level of production, on a network that strangers can write to."""
    _server.stop()
    _server.configure({**CONFIGURATION, "log": {"level": "info"}})
    _server.start()
    address, hardware = _NOBODY
    ip = laboratory.server.ip
    ip("neigh", "replace", address, "lladdr", hardware, "dev", "wan", "nud", "permanent")
    ip("route", "replace", SOURCES, "via", address, "dev", "wan")
    yield _server
    ip("route", "del", SOURCES)
    ip("neigh", "del", address, "dev", "wan")
    _server.stop()
    _server.configure(CONFIGURATION)
    _server.start()


@pytest.fixture(scope="module")
def besieged(laboratory: Laboratory, hostile_server: Server, _alice: Client) -> Iterator[Besieged]:
    """Alice behind the NAT, connected, pinging and streaming until the last test is over."""
    laboratory.nat.reset()
    _alice.move(laboratory, "lan")
    hardware = hardware_address(rig_namespace(laboratory.server.name), "wan")
    switch = rig_namespace(laboratory.switch.name)
    wire = Wire(switch, "p-server", hardware, SERVER_ADDRESS, NAT_ADDRESS)
    ears = Eavesdropper(wire)
    ears.start()
    sink = Sink(rig_namespace(laboratory.web.name), WEB_ADDRESS, STREAM_PORT)
    _alice.connect(profile_of("alice"))
    guest = _alice.guest
    pings = GuestPings(guest)
    python = str(Path(sys.executable).resolve())
    stream = guest.start("stream", python, "-ISc", _STREAM)
    ears.await_heard("esp", 100)
    attacker = Attacker(wire, ears, seed=3)
    told: list[str] = []
    mark = hostile_server.mark()
    judge = Judge(
        ears,
        attacker.victim,
        pings,
        sink,
        pid=hostile_server.pid,
        sessions=hostile_server.sessions,
        drops=lambda: hostile_server.metric_by("ferrule_dropped_total", "reason"),
        bugs=lambda: hostile_server.bugs(mark),
        tell=told.append,
    )
    yield Besieged(_alice, hostile_server, attacker, judge, laboratory.folder, told)
    pings.stop()
    guest.stop_daemon(stream, signal.SIGKILL)
    _alice.reset()
    ears.stop()
    sink.close()
    wire.close()


@pytest.fixture
def neighbour(_bob: Client) -> Iterator[Client]:
    """An honest client; where it is plugged in is the test's to say."""
    yield _bob
    _bob.reset()


@pytest.fixture(autouse=True)
def _tell(besieged: Besieged, measured: Measured) -> Iterator[None]:
    """What was measured goes into the report."""
    yield
    while besieged.told:
        measured.add(besieged.told.pop(0))


def test_replayed_packets(besieged: Besieged) -> None:
    """Every one of the client's packets comes again, at once and later, from its address and from
    another. IKE's own may be answered with what it was answered before, to the same address."""
    with besieged.attacker.replaying() as blow:
        besieged.client.guest.run("sleep", "2")
    besieged.weather("replayed at once", blow, answers=0.0)
    besieged.weather("replayed", besieged.attacker.replay(), answers=0.5)


def test_garbage_with_its_spi(besieged: Besieged) -> None:
    besieged.weather("garbage", besieged.attacker.garbage(GARBAGE), answers=0.0, drops=1.0)


def test_forged_informational_messages(besieged: Besieged) -> None:
    """Delete, INITIAL-CONTACT, INVALID-SPI and more with the right cookies: no word of answer."""
    besieged.weather("forged", besieged.attacker.forge_informational(), answers=0.0, drops=1.0)


def test_half_open_exchanges_from_its_nat(
    besieged: Besieged, laboratory: Laboratory, neighbour: Client, measured: Measured
) -> None:
    """Then its neighbour behind the same NAT connects."""
    blow = besieged.attacker.half_open(HALF_OPEN, NAT_ADDRESS, proven=20)
    assert besieged.server.metric("ferrule_half_open") >= HALF_OPEN - 20
    neighbour.move(laboratory, "lan")
    measured.add(neighbour.connect(profile_of("bob")), "bob")
    besieged.weather("half open", blow, answers=1.0, losses=2, drops=0.0)


def test_mutated_datagrams(besieged: Besieged) -> None:
    blow = besieged.attacker.mutants(MUTANTS, MUTANTS_A_SECOND)
    assert blow.datagrams == MUTANTS
    besieged.weather("mutants", blow, answers=0.5, losses=5)


def test_flood_of_first_messages(
    besieged: Besieged, laboratory: Laboratory, neighbour: Client, measured: Measured
) -> None:
    """In the midst of it somebody connects, who has to say his first message twice."""
    arrived = vitals(besieged.server.pid).datagrams + FLOOD_A_SECOND
    neighbour.move(laboratory, "wan")
    log = besieged.folder / "flood.log"
    finish = besieged.attacker.begin_flood(FLOOD_A_SECOND, FLOOD_SECONDS, log)
    try:
        assert await_true(lambda: vitals(besieged.server.pid).datagrams > arrived, 10.0)
        measured.add(neighbour.connect(profile_of("bob"), seconds=20), "bob")
    finally:
        blow = finish()
    measured.add(f"{blow.datagrams / blow.seconds:.0f} first messages a second were really sent")
    assert blow.datagrams == FLOOD_A_SECOND * FLOOD_SECONDS
    assert blow.seconds < FLOOD_SECONDS * 1.2
    besieged.weather("flood", blow, answers=0.5, losses=5)


def test_memory_goes_back(besieged: Besieged, measured: Measured) -> None:
    """Half-open exchanges are forgotten, nothing else was kept, and the next flood finds room in
    what the first one left."""
    server = besieged.server
    first = besieged.judge.at_first.resident_octets
    highest = server.resident_octets()
    assert await_true(lambda: server.metric("ferrule_half_open") == 0, 40.0)
    last = server.resident_octets()
    besieged.attacker.begin_flood(FLOOD_A_SECOND, 5.0, besieged.folder / "flood.log")()
    again = server.resident_octets()
    measured.add(
        f"resident: {first / MEGABYTE:.1f} MB before, {highest / MEGABYTE:.1f} MB after the flood,"
        f" {last / MEGABYTE:.1f} MB once its exchanges were forgotten,"
        f" {again / MEGABYTE:.1f} MB after another flood"
    )
    assert last - first < 16 * MEGABYTE
    assert again - highest < 2 * MEGABYTE
