"""The load generator against a gateway on loopback: growth, traffic, leaving, failures."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest

from ferrule.client.load import Load, Percentiles
from ferrule.client.server_process import ServerProcess
from ferrule.client.settings import ClientSettings
from support.loopback import LoopbackGateway, loopback_gateway
from support.pair import INSIDE, client_settings, gateway_settings

COUNT = 12


def settings_of(number: int) -> ClientSettings:
    return client_settings(offer_identification=str(IPv4Address("10.1.0.1") + number))


@pytest.fixture
def files() -> Iterator[None]:
    """Room for the sockets of a thousand clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2400 if hard == resource.RLIM_INFINITY else min(2400, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


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
            offer_identification=str(IPv4Address("10.1.0.1") + number),
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


async def test_a_thousand_clients_at_once_all_with_traffic(files: None) -> None:
    """Every one of them is up, and every one gets its own pings back."""
    # They all come from one address, faster than any hotel.
    settings = gateway_settings(per_source_rate=10_000.0, per_source_burst=10_000)
    async with loopback_gateway(settings) as gateway:
        load = load_on(gateway)
        growth = await load.grow(1000, at_once=16, most_seconds=120)
        assert (growth.up, growth.failures) == (1000, {})
        addresses = {facts.address for facts in gateway.record.ups}
        assert len(addresses) == 1000
        traffic = await load.traffic(INSIDE, seconds=4.0, pings_per_second=0.5)
        assert traffic.clients == 1000
        assert traffic.received >= 0.99 * traffic.sent
        assert not load.ended
        await load.leave()
        assert await gateway.emptied()
        assert len(gateway.record.ends) == 1000


def test_percentiles() -> None:
    assert Percentiles.of([]).values == {}
    assert Percentiles.of([1.0]).values == {50: 1.0, 95: 1.0, 99: 1.0, 100: 1.0}
    assert Percentiles.of([float(n) for n in range(101)]).values[95] == 95.0
