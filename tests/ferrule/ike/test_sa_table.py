"""Finding SAs by each of their keys, and moving a peer."""

from ferrule.core.ids import Address, IsakmpSaId, Path
from ferrule.ike.effects import InstallIpsecSa
from ferrule.ike.isakmp_sa import IsakmpSa
from ferrule.ike.sa_table import SaTable
from support.ike import Link, policy, up


def both(link: Link) -> tuple[SaTable, IsakmpSa]:
    table = link.server.ike._table
    return table, next(iter(table.isakmp.values()))


def test_found_by_each_key() -> None:
    table, sa = both(up())
    assert table.find(sa.icookie, sa.rcookie) is sa
    assert sa.first_peer is not None
    assert table.find_first(sa.icookie, sa.first_peer) is sa
    assert table.find_first(sa.icookie, Address("192.0.2.1", 1)) is None
    assert table.find_initiating(sa.icookie) is None
    assert table.new_id() != sa.id
    ipsec = next(iter(table.ipsec.values()))
    assert ipsec.peer is sa.peer
    assert table.carrier(ipsec) is sa
    assert table.orphans(sa) == [ipsec]


def test_nothing_is_left_of_what_was_removed() -> None:
    table, sa = both(up())
    ipsec = next(iter(table.ipsec.values()))
    table.remove_isakmp(sa)
    assert table.find(sa.icookie, sa.rcookie) is None
    assert not table.isakmp
    assert not sa.quick_modes
    assert table.carrier(ipsec) is None
    assert len(table.timers) == 1  # the pair's lifetime
    table.remove_ipsec(ipsec)
    assert len(table.timers) == 0
    assert not table._peers
    assert not table._by_first


def test_a_peer_moves_with_all_that_it_has_at_the_old_address() -> None:
    link = up(policy(offer_initial_contact=False))
    link.connect()
    table = link.server.ike._table
    first, second = table.isakmp.values()
    way = Path(Address("192.0.2.9", 61_000), second.path.local, True)
    old_peer = second.peer
    table.move(second, way)
    assert first.path == second.path == way
    assert first.peer is second.peer is not old_peer
    assert second.peer is not None
    assert list(second.peer.ipsec) == [link.server.only(InstallIpsecSa).inbound_spi]
    assert list(table._peers) == [(second.identity, "192.0.2.9")]


def test_another_client_with_the_same_identity_behind_the_same_nat_stays() -> None:
    """Two private 192.168.1.5 behind one carrier NAT: only the one that moved moves."""
    link = up(policy(offer_initial_contact=False))
    ipsec = link.server.only(InstallIpsecSa).inbound_spi
    other = [0]

    def other_port(name: str, path: Path, message: bytes) -> list[tuple[Path, bytes]]:
        if name == "client":
            path = path._replace(peer=Address(path.peer.host, path.peer.port + 10_000))
        other[0] += 1
        return [(path, message)]

    link.filter = other_port
    link.connect()
    table = link.server.ike._table
    first, second = table.isakmp.values()
    assert first.peer is second.peer
    way = Path(Address("192.0.2.9", 61_000), second.path.local, True)
    table.move(second, way)
    assert second.path == way
    assert first.path != way
    assert first.peer is not second.peer
    assert first.peer is not None
    assert list(first.peer.ipsec) == [ipsec]
    table.move(first, first.path._replace(natt=False))
    assert second.path == way


def test_ids_are_never_used_twice() -> None:
    table = SaTable()
    assert [table.new_id() for _ in range(3)] == [IsakmpSaId(n) for n in (1, 2, 3)]
