"""The load generator against a gateway on loopback: growth, traffic, leaving, failures."""

from __future__ import annotations

import os
from collections.abc import Callable

from ferrule.client.load import Load, Percentiles
from ferrule.client.server_process import ServerProcess
from ferrule.client.settings import ClientSettings
from support.loopback import LoopbackGateway, loopback_gateway
from support.pair import INSIDE, client_settings

COUNT = 12


def settings_of(number: int) -> ClientSettings:
    return client_settings(offer_identification=f"10.1.0.{number + 1}")


def load_on(gateway: LoopbackGateway, make: Callable[[int], ClientSettings] = settings_of) -> Load:
    return Load(gateway.server, make, process=ServerProcess(os.getpid()))


async def test_it_grows_talks_and_leaves() -> None:
    async with loopback_gateway() as gateway:
        load = load_on(gateway)
        growth = await load.grow(COUNT, at_once=4, most_seconds=30)
        assert (growth.up, growth.failures) == (COUNT, {})
        assert len(gateway.record.ups) == COUNT
        assert growth.total.values[50] <= growth.total.values[100]
        assert set(growth.steps) >= {"phase1", "phase2", "tunnel", "call", "auth", "ipcp"}
        assert growth.server_octets is not None
        assert growth.server_octets > 1 << 20
        assert growth.per_second > 0
        assert growth.per_server_core_second is None or growth.per_server_core_second > 0
        traffic = await load.traffic(INSIDE, seconds=0.5, pings_per_second=10)
        assert traffic.clients == COUNT
        assert traffic.sent >= COUNT * 3
        assert traffic.received == traffic.sent
        more = await load.grow(2, most_seconds=30)
        assert more.up == 2
        assert len(load.ups) == COUNT + 2
        await load.leave()
        assert not load.ups
        assert await gateway.emptied()
        assert len(gateway.record.ends) == COUNT + 2


async def test_failures_are_counted_by_step_and_reason() -> None:
    def make(number: int) -> ClientSettings:
        return client_settings(
            password="wrong" if number % 2 else "correct horse",
            offer_identification=f"10.1.0.{number + 1}",
        )

    async with loopback_gateway() as gateway:
        load = load_on(gateway, make)
        growth = await load.grow(6, most_seconds=30)
        assert growth.up == 3
        assert sum(growth.failures.values()) == 3
        assert set(growth.failures) <= {"auth: wrong_password", "auth: locked_out"}
        await load.leave()


async def test_a_growth_is_bounded_in_time() -> None:
    async with loopback_gateway() as gateway:
        server = gateway.server
        gateway.close()  # nobody answers any more
        load = Load(server, settings_of)
        growth = await load.grow(4, at_once=2, most_seconds=0.3)
        assert growth.up == 0
        assert growth.failures == {"not done in time": 4}
        assert growth.server_cpu is growth.server_octets is None
        await load.leave()
        assert not load.ups


def test_percentiles() -> None:
    assert Percentiles.of([]).values == {}
    assert Percentiles.of([1.0]).values == {50: 1.0, 95: 1.0, 99: 1.0, 100: 1.0}
    assert Percentiles.of([float(n) for n in range(101)]).values[95] == 95.0
