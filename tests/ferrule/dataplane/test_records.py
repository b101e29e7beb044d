"""What goes before a PPP frame and an IP packet, and the key of a link."""

from __future__ import annotations

import pytest

from ferrule.core.ids import ClientId, SessionId, TunnelId
from ferrule.dataplane.interface import LinkSpec
from ferrule.dataplane.policy import punt_bucket
from ferrule.dataplane.records import Client, Link, link_key, ppp_header
from support.dataplane import HOME, Clock, Host, Rig


def link(*, sequencing: bool) -> Link:
    client = Client(ClientId(1), HOME, punt_bucket(10, Clock()()))
    ids = TunnelId(0x0102), SessionId(0x0304)
    spec = LinkSpec(client.id, *ids, TunnelId(0x0506), SessionId(0x0708), sequencing)
    return Link(client, *ids, spec)


def test_headers_carry_the_peers_ids() -> None:
    lean = link(sequencing=False)
    assert [lean.header().hex() for _ in range(2)] == ["000205060708"] * 2


def test_sequence_numbers_wrap() -> None:
    counted = link(sequencing=True)
    assert counted.header().hex() == "08020506070800000000"
    counted.ns = 0xFFFF
    assert [counted.header()[6:8].hex() for _ in range(2)] == ["ffff", "0000"]


def test_keys_of_links_do_not_collide() -> None:
    assert link_key(0x0102, 0x0304) == 0x01020304
    assert link_key(1, 0) != link_key(0, 1)


@pytest.mark.parametrize(
    ("protocol", "address", "header"),
    [
        (False, False, "ff030021"),
        (True, False, "ff0321"),
        (False, True, "0021"),
        (True, True, "21"),
    ],
)
def test_ppp_header(protocol: bool, address: bool, header: str) -> None:
    spec = Host(Rig()).binding()
    spec.compress_protocol, spec.compress_address = protocol, address
    assert ppp_header(spec).hex() == header
