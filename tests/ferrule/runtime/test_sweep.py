"""What is written down though no control message said anything."""

from __future__ import annotations

from pathlib import Path

from ferrule.cluster.routes import Forward
from ferrule.core.ids import Cookie
from support.faulty_store import FaultyStore
from support.members import One, crowd, members, until


async def written(one: One) -> None:
    await until(lambda: not one.member.checkpoints.busy)


async def test_window_tops_are_written_while_only_data_flows(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        one = made[0]
        async with crowd(one, one, 1) as (_, load):
            load.start_traffic(20.0)
            await written(one)
            client = next(iter(one.gateway.clients.values()))
            before = store.blobs()[client.uid]
            store.puts.clear()
            await until(lambda: store.blobs()[client.uid] != before, 12.0)
            assert [put for put in store.puts if put.session == client.uid]


async def test_forwards_that_are_over_are_deleted(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        member = made[0].member
        cookie = Cookie(b"a cookie")
        shard = 5
        claim = member.checkpoints.claims[shard]
        member.checkpoints.soon(member.images.forward(cookie, shard, claim))
        await until(lambda: bool(store.blobs()))
        member.relay.forwards.drop(cookie)
        member.relay.forwards.put(cookie, Forward(shard, 1.0))  # long over
        await until(lambda: not store.blobs(), 12.0)
