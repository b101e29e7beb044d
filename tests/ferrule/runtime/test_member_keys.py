"""The key that members share is replaced under traffic, as an operator does it: announced, used,
and alone. Nobody is forged, and a member that dies afterwards is taken over."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from pathlib import Path

from ferrule.client.settings import ClientSettings
from ferrule.client.watched_load import WatchedLoad
from ferrule.core.reasons import Reason
from ferrule.runtime.config import load
from ferrule.store.memory import MemoryStore
from support.members import Balancer, Members, members, until
from support.pair import INSIDE, client_settings

OLD, NEW = "0123456789abcdef0123456789abcdef", "another-key-of-thirty-two-octets"


def settings_of(number: int) -> ClientSettings:
    return client_settings(offer_identification=str(IPv4Address("10.1.0.1") + number))


def reload(made: Members, at: int, folder: Path, key: str, previous: str = "") -> None:
    """Hand one member the keys, in the configuration that it has."""
    one = made[at]
    file = folder / f"{one.name}.yaml"
    sealing = ("    key:", "    previousKey:")
    lines = [line for line in file.read_text().splitlines() if not line.startswith(sealing)]
    at_names = next(i for i, line in enumerate(lines) if line.startswith("    namesKey:"))
    lines.insert(at_names, f"    key: {key}")
    if previous:
        lines.insert(at_names, f"    previousKey: {previous}")
    file.write_text("\n".join(lines) + "\n")
    one.member.reload(load(file))


async def test_a_rotation_under_traffic(tmp_path: Path) -> None:
    store = MemoryStore()
    async with members(tmp_path, lambda: store) as made:
        balancer = Balancer(made[0], made[1])
        load_ = WatchedLoad(balancer.server, settings_of)
        pinging = asyncio.ensure_future(load_.ping(INSIDE))
        try:
            grown = await load_.grow(3, most_seconds=20)
            assert grown.up == 3, grown
            load_.start_traffic(20.0)
            for key, previous in ((OLD, NEW), (NEW, OLD), (NEW, "")):
                for at in range(3):  # one after the other: in between they differ
                    reload(made, at, tmp_path, key, previous)
                    await asyncio.sleep(0.2)
            for one in made.all:
                assert one.report.metrics.drops().get(Reason.RING_FORGED.value, 0) == 0
                assert one.member.may_serve()
            dead, heir = made[1], made[2]
            began = dead.loop.time()
            await dead.kill()
            balancer.move(dead, heir)
            await made.until_settled()
            await until(lambda: all(row.back(began) is not None for row in load_.report()))
            assert sum(len(one.gateway.clients) for one in made.alive) == 3
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)
            await load_.leave()
            balancer.close()
