"""Watched clients: losses and silences are each client's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import IPv4Address

from ferrule.client.load import LoadClient
from ferrule.client.settings import ClientSettings
from ferrule.client.watched_load import Watched, WatchedLoad
from support.loopback import LoopbackGateway, loopback_gateway
from support.pair import INSIDE, client_settings

COUNT = 6
RATE = 20.0


def settings_of(number: int) -> ClientSettings:
    return client_settings(offer_identification=str(IPv4Address("10.1.0.1") + number))


class Deaf(WatchedLoad):
    """One client's answers are lost while a test says so."""

    deaf: LoadClient | None = None

    def on_reply(self, client: LoadClient, seconds: float) -> None:
        if client is not self.deaf:
            super().on_reply(client, seconds)


@contextlib.asynccontextmanager
async def pinging(gateway: LoopbackGateway) -> AsyncIterator[Deaf]:
    load = Deaf(gateway.server, settings_of)
    assert (await load.grow(COUNT, most_seconds=30)).up == COUNT
    task = asyncio.ensure_future(load.ping(INSIDE))
    try:
        yield load
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await load.leave()
    assert load.watched == {}


async def test_silence_and_loss_are_of_the_one_that_had_them() -> None:
    async with loopback_gateway() as gateway, pinging(gateway) as load:
        load.start_traffic(RATE)
        await asyncio.sleep(0.3)
        load.deaf = next(iter(load.watched))
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(0.8)
        while_deaf = {row.address: row for row in load.report()}
        unlucky = load.watched[load.deaf].address
        load.deaf = None
        await asyncio.sleep(0.3)
        after = {row.address: row for row in load.report()}
        assert len(after) == COUNT
        row = after[unlucky]
        assert row.sent - row.received >= 10
        assert while_deaf[unlucky].longest() > 0.5
        assert len(row.gaps) == 1
        back = row.back(began)
        assert back is not None
        assert 0.8 <= back - began < 1.2
        assert 0.5 < row.longest() < 1.5
        for address, other in after.items():
            if address != unlucky:
                assert other.sent >= 20
                assert other.gaps == []
                assert other.back(began) is None
        load.start_traffic(0.0)
        assert all(row.sent == row.received == 0 for row in load.report())


async def test_an_end_is_written_down() -> None:
    async with loopback_gateway() as gateway, pinging(gateway) as load:
        load.start_traffic(RATE)
        client = next(iter(load.watched))
        load.on_down(client, "ended: peer_closed")
        client.close()
        (ended,) = [row for row in load.report() if row.ended]
        assert ended.ended.endswith(" ended: peer_closed")
        assert len(load.watched) == COUNT - 1


def test_the_silence_around_a_moment() -> None:
    row = Watched("10.0.0.1", "10.9.0.1", 0.0, gaps=[(1.0, 2.0), (5.0, 9.0)])
    assert row.longest() == 4.0
    assert row.back(6.0) == row.back(5.0) == 9.0
    assert row.back(3.0) is None
    assert Watched("10.0.0.1", "10.9.0.1", 0.0).longest() == 0.0
