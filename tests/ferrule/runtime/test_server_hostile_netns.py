"""Hostile neighbours: the twin of tests/interop/test_hostile.py with the user-space client.

A client pings and streams all the time while its neighbours do everything that they can without
its keys. Nothing may arrive twice, its session and return address stay, an honest client gets in,
memory is bounded, and the server says less than it was told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ferrule.cli.demo_client import DemoClient
from interop.hostile.attacks import Attacker, Blow, await_true
from interop.hostile.insider import Insider
from interop.hostile.judge import MEGABYTE, Judge
from interop.hostile.witnesses import NUMBER, vitals
from support.netns import Forked, obstacle
from support.siege import (
    CLIENT,
    INSIDE,
    INSIDER,
    SERVER,
    STREAM_PORT,
    Beat,
    Siege,
    run_siege,
    settings_of,
)

SECONDS_MAX = 180
BEAT_SECONDS = 0.02
OTHER_PORT = 7001
FLOODS: dict[str, dict[str, int]] = {
    "flood of first messages": {},
    "flood of first messages, each twice": {"copies": 2},
    "flood of messages of no exchange": {"cookies": 2},
}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of each: `make test` has little time."""

    garbage: int = 2000
    mutants: int = 5000
    mutants_a_second: int = 2500
    flood_a_second: int = 8000
    flood_seconds: float = 3.0


def _tell(text: str) -> None:
    print(text)  # noqa: T201


async def _play(siege: Siege, scale: Scale) -> None:
    alice = DemoClient(SERVER, settings_of("alice"), lambda _: None)
    await alice.connect()
    beat = Beat(BEAT_SECONDS)
    beating = asyncio.ensure_future(alice.carry_out(beat))
    await asyncio.to_thread(siege.ears.await_heard, "esp", 100)
    attacker = Attacker(siege.wire, siege.ears, seed=3)
    victim = attacker.victim
    call = asyncio.to_thread
    judge = await call(
        lambda: Judge(
            siege.ears,
            victim,
            beat,
            siege.sink,
            pid=siege.pid,
            sessions=siege.sessions,
            drops=lambda: siege.metric_by("ferrule_dropped_total", "reason"),
            bugs=siege.bugs,
            tell=_tell,
        )
    )

    async def weather(
        name: str, blow: Blow, *, answers: float, losses: int = 0, drops: float = 0.9
    ) -> None:
        await call(
            lambda: judge.judge(name, blow, losses=losses, answer_share=answers, drop_share=drops)
        )

    with attacker.replaying() as blow:
        await asyncio.sleep(1.0)
    await weather("replayed at once", blow, answers=0.0)
    await weather("replayed", await call(attacker.replay), answers=0.5)
    await weather("garbage", await call(attacker.garbage, scale.garbage), answers=0.0, drops=1.0)
    await weather("forged", await call(attacker.forge_informational), answers=0.0, drops=1.0)
    blow = await call(lambda: attacker.half_open(200, CLIENT, proven=20))
    await _join("bob")
    await weather("half open", blow, answers=0.9, losses=3, drops=0.0)
    blow = await call(attacker.mutants, scale.mutants, scale.mutants_a_second)
    await weather("mutants", blow, answers=0.5, losses=3)
    await _betray(siege, attacker, judge)

    for name, kind in FLOODS.items():
        log = siege.log.with_name("flood.log")
        before = vitals(siege.pid).datagrams
        finish = attacker.begin_flood(scale.flood_a_second, scale.flood_seconds, log, **kind)
        await call(_await_datagrams, siege, before + scale.flood_a_second)
        await _join("bob")
        drops = 0.5 if "copies" in kind else 0.9
        await weather(name, await call(finish), answers=0.5, losses=10, drops=drops)

    overflowed = await call(siege.metric_by, "ferrule_receive_buffer_dropped_total", "port")
    assert overflowed.keys() == {"500", "4500"}
    assert sum(overflowed.values()) == vitals(siege.pid).overflowed
    grown = vitals(siege.pid).resident_octets - judge.at_first.resident_octets
    assert grown < 32 * MEGABYTE
    beating.cancel()
    await alice.close()
    assert await call(siege.stop) == 0


def _await_datagrams(siege: Siege, count: int) -> None:
    """Until so many have arrived at the gateway's host."""
    assert await_true(lambda: vitals(siege.pid).datagrams > count, 10.0)


async def _betray(siege: Siege, attacker: Attacker, judge: Judge) -> None:
    """Somebody with a password of his own, who calls himself by alice's identity."""
    mallory = Insider(SERVER, settings_of("mallory"), INSIDER, attacker)
    connected = await mallory.connect()
    own, inside = connected.network.address, IPv4Address(INSIDE)
    (alice,) = [r for r in await asyncio.to_thread(siege.sessions) if r["user"] == "alice"]
    alices = IPv4Address(alice["address"])
    with mallory.posing() as blow:
        for number in range(20):
            mallory.send_udp(own, inside, OTHER_PORT, b"mine")
            mallory.send_udp(alices, inside, STREAM_PORT, NUMBER.pack(number))  # came before
            mallory.send_udp(own, alices, STREAM_PORT, NUMBER.pack(number))
            await asyncio.sleep(0.01)
        moved = {row["user"]: row for row in await asyncio.to_thread(siege.sessions)}
        assert moved["mallory"]["peer"] == str(attacker.victim.peer)
        mallory.end_the_victim()
        await asyncio.sleep(0.1)
    mallory.send_mutants(400)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(
        lambda: judge.judge("insider", blow, losses=2, answer_share=float("inf"), drop_share=1.0)
    )
    await mallory.close()


async def _join(user: str) -> None:
    """An honest client connects, and leaves."""
    client = DemoClient(SERVER, settings_of(user), lambda _: None)
    connected = await client.connect()
    _tell(f"{user} connected in {connected.seconds:.2f} s")
    await client.close()


@pytest.mark.netns
def test_hostile_neighbours(tmp_path: Path) -> None:
    if obstacle():
        pytest.skip(f"left out: {obstacle()}")
    play = Forked(lambda: run_siege(lambda siege: _play(siege, Scale()), tmp_path))
    trouble = play.wait(SECONDS_MAX)
    assert not trouble, trouble
