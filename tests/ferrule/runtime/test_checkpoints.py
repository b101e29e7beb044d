"""Check-points of real clients on loopback: when they are written, and what if they can't be."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ferrule.dataplane.interface import ReservationLow
from ferrule.store.interface import Claim
from support.faulty_store import FaultyStore
from support.members import Members, One, crowd, members, until


@contextlib.asynccontextmanager
async def alone(folder: Path, store: FaultyStore) -> AsyncIterator[tuple[Members, One]]:
    async with members(folder, lambda: store, names=("a-0",)) as made:
        yield made, made[0]


async def written(one: One) -> None:
    await until(lambda: not one.member.checkpoints.busy)


async def test_a_client_is_written_down_and_deleted_with_its_end(tmp_path: Path) -> None:
    store = FaultyStore()
    async with alone(tmp_path, store) as (_, one):
        async with crowd(one, one, 2):
            await written(one)
            uids = {client.uid for client in one.gateway.clients.values()}
            assert len(uids) == 2
            assert uids <= store.blobs().keys()
            assert one.member.checkpoints.count >= 2
            assert one.member.checkpoints.late == 0
        await until(lambda: not store.blobs())


async def test_answers_wait_for_the_store_but_not_for_long(tmp_path: Path) -> None:
    """A set-up takes fifteen answers: each of them waits 0.25 s at most."""
    store = FaultyStore()
    async with alone(tmp_path, store) as (_, one):
        store.delay = 0.6
        began = one.loop.time()
        async with crowd(one, one, 1) as (_, load):
            assert one.loop.time() - began > 1.0
            assert one.member.checkpoints.late > 0
            assert len(load.ups) == 1
            store.delay = 0.0
            await written(one)
            assert {client.uid for client in one.gateway.clients.values()} <= store.blobs().keys()


async def test_nobody_waits_for_a_store_that_is_away(tmp_path: Path) -> None:
    store = FaultyStore()
    async with alone(tmp_path, store) as (_, one):
        async with crowd(one, one, 1) as (_, load):
            store.away = True
            await until(lambda: not one.member.cluster.watch.up)
            client = next(iter(one.gateway.clients.values()))
            one.member.checkpoints.mark(client.id)
            load.start_traffic(50.0)
            await asyncio.sleep(0.3)
            rows = await load.settle()
            assert rows[0].received + 1 >= rows[0].sent > 5
            store.away = False
            store.puts.clear()
            await until(lambda: any(put.session == client.uid for put in store.puts))
        await written(one)


async def test_an_emptied_store_is_filled_again(tmp_path: Path) -> None:
    store = FaultyStore()
    async with alone(tmp_path, store) as (made, one), crowd(one, one, 2):
        await written(one)
        uids = {client.uid for client in one.gateway.clients.values()}
        store.empty()
        assert not store.blobs()
        await until(lambda: uids <= store.blobs().keys())
        assert made.settled()


async def test_numbers_are_used_once_it_is_written_that_they_are(tmp_path: Path) -> None:
    store = FaultyStore()
    async with alone(tmp_path, store) as (_, one), crowd(one, one, 1):
        await written(one)
        client = next(iter(one.gateway.clients.values()))
        spi, pair = next(iter(client.ipsec_sas.items()))
        reserved: list[int] = []
        one.plane.reserve = lambda _, last: reserved.append(last)  # type: ignore[method-assign]
        store.delay = 0.3
        one.driver.punt(ReservationLow(client.id, spi, pair.reserved - 10, 10.0))
        one.driver.drain()
        await asyncio.sleep(0.1)
        assert reserved == []
        store.delay = 0.0
        await until(lambda: reserved != [])
        assert reserved == [pair.reserved]
        assert pair.reserved == (2 << 20) - 10


async def test_without_the_store_gcm_gets_new_keys_instead(tmp_path: Path) -> None:
    store = FaultyStore()
    async with alone(tmp_path, store) as (_, one), crowd(one, one, 1):
        await written(one)
        client = next(iter(one.gateway.clients.values()))
        spi, pair = next(iter(client.ipsec_sas.items()))
        assert pair.suite.integrity is None
        store.away = True
        one.driver.punt(ReservationLow(client.id, spi, pair.reserved - 10, 10.0))
        one.driver.drain()
        await until(lambda: len(client.ipsec_sas) == 2)
        store.away = False
        await written(one)


async def test_what_another_has_claimed_is_not_written_and_not_served(tmp_path: Path) -> None:
    store = FaultyStore()
    async with alone(tmp_path, store) as (_, one), crowd(one, one, 1):
        await written(one)
        client = next(iter(one.gateway.clients.values()))
        thief = Claim(one.member.cluster.identity._replace(incarnation=7), 99)
        store.inner.checkpoints.claim(client.shard, thief)
        one.member.checkpoints.mark(client.id)
        await until(lambda: client.id not in one.gateway.clients)
        assert not one.member.ready(client.shard)
        assert one.plane.client_state(client.id) is None
        assert client.uid in store.blobs()  # for whoever has it now
