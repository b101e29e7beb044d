"""Hostile neighbours: the twin of tests/interop/test_hostile.py with the user-space client.

A client pings and streams all the time while its neighbours do everything that they can without
its keys. Nothing may arrive twice, its session and return address stay, an honest client gets in,
memory is bounded, and the server says less than it was told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from ferrule.cli.demo_client import DemoClient
from interop.hostile.attacks import Attacker, Blow, await_true
from interop.hostile.judge import MEGABYTE, Judge
from interop.hostile.witnesses import vitals
from support.netns import Forked, obstacle
from support.siege import CLIENT, SERVER, Beat, Siege, run_siege, settings_of

SECONDS_MAX = 180
BEAT_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of each: `make test` has little time."""

    garbage: int = 2000
    mutants: int = 5000
    mutants_a_second: int = 2500
    flood_a_second: int = 5000
    flood_seconds: float = 5.0


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
            bugs=siege.bugs,
            tell=_tell,
        )
    )

    async def weather(name: str, blow: Blow, answer_share: float, losses: int = 0) -> None:
        await call(judge.judge, name, blow, losses=losses, answer_share=answer_share)

    with attacker.replaying() as blow:
        await asyncio.sleep(1.0)
    await weather("replay at once", blow, 0.0)
    await weather("replay of all", await call(attacker.replay), 0.5)
    await weather("garbage", await call(attacker.garbage, scale.garbage), 0.0)
    await weather("forged informational", await call(attacker.forge_informational), 0.0)
    blow = await call(lambda: attacker.half_open(200, CLIENT, proven=20))
    await _join("bob")
    await weather("half open", blow, 0.9, losses=3)
    blow = await call(attacker.mutants, scale.mutants, scale.mutants_a_second)
    await weather("mutants", blow, 0.5, losses=3)

    arrived = vitals(siege.pid).datagrams + scale.flood_a_second
    log = siege.log.with_name("flood.log")
    finish = attacker.begin_flood(scale.flood_a_second, scale.flood_seconds, log)
    assert await call(await_true, lambda: vitals(siege.pid).datagrams > arrived, 10.0)
    await _join("bob")
    await weather("flood", await call(finish), 0.5, losses=10)

    grown = vitals(siege.pid).resident_octets - judge.at_first.resident_octets
    assert grown < 32 * MEGABYTE
    beating.cancel()
    await alice.close()
    assert await call(siege.stop) == 0


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
