"""Members of a cluster on loopback: they divide the shards, relay, move clients, take over."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

from ferrule.client.load import Load
from ferrule.client.settings import ClientSettings
from ferrule.store.memory import MemoryStore
from support.members import members, until
from support.pair import client_settings


def settings_of(number: int) -> ClientSettings:
    return client_settings(offer_identification=str(IPv4Address("10.1.0.1") + number))


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
        load = Load(made.server(ike, natt), settings_of)
        grown = await load.grow(3, most_seconds=20)
        assert grown.up == 3, grown
        assert len(natt.gateway.clients) == 3
        assert not ike.gateway.clients
        assert ike.member.late_binding.sent == natt.member.late_binding.received == 3
        esp = [counts for counts in natt.member.relay.counts if counts[1] == "esp"]
        assert not esp
        await load.leave()
        await until(lambda: not natt.gateway.clients)
