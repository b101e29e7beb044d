"""Members of a cluster on loopback: they divide the shards, relay, move clients, take over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ferrule.core.reasons import Reason
from ferrule.store.memory import MemoryStore
from support.faulty_store import FaultyStore
from support.members import crowd, members, until


async def test_three_members_divide_the_shards(tmp_path: Path) -> None:
    store = MemoryStore()
    async with members(tmp_path, lambda: store) as made:
        held = [one.member.cluster.held for one in made.all]
        assert all(250 < len(shards) < 430 for shards in held)
        assert frozenset().union(*held) == frozenset(range(1024))


async def test_ports_500_and_4500_on_different_members(tmp_path: Path) -> None:
    """The client is bound late to the member that port 4500 enters; its ESP takes no detour."""
    store = MemoryStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt = made[0], made[1]
        async with crowd(ike, natt) as (_, load):
            assert len(natt.gateway.clients) == 3
            assert not ike.gateway.clients
            assert ike.member.late_binding.sent == natt.member.late_binding.received == 3
            await asyncio.sleep(0.3)
            esp = [counts for one in made.all for counts in one.member.relay.counts]
            assert not [counts for counts in esp if counts[1] == "esp"]
            for row in await load.settle():
                assert row.received + 1 >= row.sent > 1  # the last one may be on its way


async def test_a_member_dies_and_its_clients_go_on(tmp_path: Path) -> None:
    store = MemoryStore()
    async with members(tmp_path, lambda: store) as made:
        dead, heir = made[1], made[2]
        async with crowd(made[0], dead) as (balancer, load):
            await asyncio.sleep(0.3)
            addresses = {row.address for row in load.report()}
            began = made.all[0].loop.time()
            await dead.kill()
            balancer.move(dead, heir)
            await made.until_settled()
            await until(lambda: all(row.back(began) is not None for row in load.report()))
            assert sum(len(one.gateway.clients) for one in made.alive) == 3
            await load.settle()
            load.start_traffic(20.0)
            await asyncio.sleep(0.3)
            rows = await load.settle()
            assert {row.address for row in rows} == addresses
            for row in rows:
                assert row.received + 1 >= row.sent > 1  # the last one may be on its way


async def test_a_drained_member_hands_its_clients_over(tmp_path: Path) -> None:
    store = MemoryStore()
    async with members(tmp_path, lambda: store) as made:
        leaving, heir = made[1], made[2]
        async with crowd(made[0], leaving) as (balancer, load):
            await asyncio.sleep(0.3)
            drained = asyncio.ensure_future(leaving.member.drain(2.5))
            await until(lambda: not leaving.gateway.clients)
            await made.until_settled(leaving)
            load.start_traffic(20.0)
            await asyncio.sleep(0.5)  # through the leaving one, which relays
            for row in await load.settle():
                assert row.received + 1 >= row.sent > 1  # the last one may be on its way
            assert leaving.member.relay.counts["to_owner", "esp"] > 0
            balancer.move(leaving, heir)
            load.start_traffic(20.0)
            assert await drained
            for row in await load.settle():
                assert row.received + 1 >= row.sent > 1  # the last one may be on its way
                assert row.longest() < 1.0


async def test_where_all_leave_at_once_one_is_left_with_all_clients(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made, crowd(made[1], made[1]) as (_, load):
        drained = [asyncio.ensure_future(one.member.drain(5.0)) for one in made.all]
        await until(lambda: any(task.done() for task in drained))
        (last,) = [one for one, task in zip(made.all, drained, strict=True) if task.done()]
        assert len(last.gateway.clients) == 3
        # As a server does then; the others still relay what it says.
        last.driver.command(lambda now: last.gateway.close(Reason.SERVER_SHUTDOWN, now))
        await until(lambda: not load.ups)
        await last.member.checkpoints.rest(1.0)
        assert not store.blobs()
        await last.member.cluster.leave()
        assert sorted(await asyncio.gather(*drained)) == [False, True, True]
