"""Clients are found by all their names, and by none once they are gone."""

from __future__ import annotations

from ferrule.accounts.admission import Accounts, Settings
from ferrule.core.ids import Address, IsakmpSaId, Path, Spi
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite
from ferrule.gateway.client import Client, Origin, Pair
from ferrule.gateway.client_table import ClientTable
from ferrule.gateway.settings import Site
from support.accounts import pool
from support.pair import gateway_settings

LOCAL = Address("192.0.2.1", 4500)
HERE, THERE = Address("198.51.100.1", 4500), Address("198.51.100.2", 1024)


def path(peer: Address) -> Path:
    return Path(peer, LOCAL, True)


def added(table: ClientTable, uid: str, peer: Address = HERE, identity: str = "me") -> Client:
    site = Site(
        gateway_settings(), Accounts(Settings((), (pool("10.64.0.0/16"),))), bytes, wall_offset=0.0
    )
    client = Client(table.new_id(), site, Origin(path(peer), identity, "", (), 0.0), uid, 3)
    table.add(client)
    return client


def with_sas(table: ClientTable, client: Client, number: int) -> None:
    table.add_isakmp(client, IsakmpSaId(number))
    suite = EspSuite(Cipher.AES128_GCM16, None)
    table.by_spi[Spi(1000 + number)] = client.id
    client.ipsec_sas[Spi(1000 + number)] = Pair(suite, Secret(b""), Secret(b""), 0, 1)


def test_a_client_is_found() -> None:
    table = ClientTable()
    first, second = added(table, "a"), added(table, "b", THERE)
    with_sas(table, first, 1)
    with_sas(table, second, 2)
    assert (first.id, second.id) == (1, 2)
    assert table.of_uid("a") is first
    assert table.at(HERE) is first
    assert table.at(THERE) is second
    assert table.of_isakmp(IsakmpSaId(2)) is second
    assert table.of_spi(Spi(1001)) is first
    assert table.namesakes("me") == [first, second]
    assert table.namesakes("you") == []


def test_nothing_is_left_of_one_that_is_gone() -> None:
    table = ClientTable()
    first, second = added(table, "a"), added(table, "b", THERE)
    with_sas(table, first, 1)
    table.remove(first)
    assert table.of_uid("a") is None
    assert table.at(HERE) is None
    assert table.of_isakmp(IsakmpSaId(1)) is None
    assert table.of_spi(Spi(1001)) is None
    assert table.namesakes("me") == [second]
    table.remove(second)
    assert (table.clients, table.by_spi, table.namesakes("me")) == ({}, {}, [])
    assert added(table, "c").id == 3  # handles do not come again


def test_sas_come_and_go() -> None:
    table = ClientTable()
    client = added(table, "a")
    with_sas(table, client, 1)
    assert table.remove_isakmp(IsakmpSaId(1)) is client
    assert table.remove_spi(Spi(1001)) is client
    assert client.empty
    assert table.remove_isakmp(IsakmpSaId(1)) is None
    assert table.remove_spi(Spi(1001)) is None


def test_a_client_is_where_it_was_heard_last() -> None:
    table = ClientTable()
    client = added(table, "a")
    table.move(client, path(THERE))
    assert client.path == path(THERE)
    assert table.at(HERE) is None
    assert table.at(THERE) is client


def test_of_two_at_one_address_the_newer_is_found() -> None:
    table = ClientTable()
    older, newer = added(table, "a"), added(table, "b", identity="you")
    assert table.at(HERE) is newer
    table.move(older, path(THERE))
    assert table.at(HERE) is newer
    table.remove(newer)
    assert table.at(HERE) is None
    assert table.at(THERE) is older
