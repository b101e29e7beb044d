from __future__ import annotations

import pytest

from ferrule.ppp.frame import Protocol
from ferrule.ppp.ipcp_options import GiverOptions, TakerOptions
from ferrule.ppp.options import Refused, Ruling
from ferrule.ppp.packet import Option
from support.ppp import DNS, LEASED, LOCAL, WINS

IPCP = Protocol.IPCP
ADDRESS, DNS1, WINS1, DNS2, WINS2 = 3, 129, 130, 131, 132
ZERO = bytes(4)


def giver() -> GiverOptions:
    return GiverOptions(LOCAL, LEASED, DNS, WINS)


@pytest.mark.parametrize(
    ("option", "ruling"),
    [
        (Option(ADDRESS, LEASED.packed), Ruling.ACCEPT),
        (Option(ADDRESS, ZERO), Option(ADDRESS, LEASED.packed)),
        (Option(ADDRESS, LOCAL.packed), Option(ADDRESS, LEASED.packed)),
        (Option(ADDRESS, b"\x0a"), Option(ADDRESS, LEASED.packed)),
        (Option(DNS1, ZERO), Option(DNS1, DNS[0].packed)),
        (Option(DNS2, ZERO), Option(DNS2, DNS[1].packed)),
        (Option(DNS2, DNS[1].packed), Ruling.ACCEPT),
        (Option(WINS1, ZERO), Option(WINS1, WINS[0].packed)),
        (Option(WINS2, ZERO), Ruling.REJECT),  # there is one only
        (Option(1, bytes(8)), Ruling.REJECT),  # IP-Addresses
        (Option(2, bytes.fromhex("002d0f01")), Ruling.REJECT),  # Van Jacobson
        (Option(4, ZERO), Ruling.REJECT),  # Mobile-IPv4
    ],
    ids=str,
)
def test_what_the_server_grants(option: Option, ruling: Ruling | Option) -> None:
    assert giver().rule(option) == ruling


@pytest.mark.parametrize("kind", [DNS1, DNS2, WINS1, WINS2])
def test_servers_that_there_are_none_of_are_rejected(kind: int) -> None:
    assert GiverOptions(LOCAL, LEASED, (), ()).rule(Option(kind, ZERO)) is Ruling.REJECT


def test_the_giver_stands_by_its_own_address() -> None:
    options = giver()
    asked = [Option(ADDRESS, LOCAL.packed)]
    options.on_nak([Option(ADDRESS, LEASED.packed)])
    assert options.request() == asked
    options.on_reject(asked)
    assert options.request() == []
    options.reset()
    assert options.request() == asked


def test_the_taker_takes() -> None:
    options = TakerOptions()
    kinds = (ADDRESS, DNS1, DNS2)
    assert options.request() == [Option(kind, ZERO) for kind in kinds]
    options.on_nak([Option(ADDRESS, LEASED.packed), Option(DNS1, DNS[0].packed), Option(2, b"")])
    options.on_nak([Option(DNS2, b"short")])
    options.on_reject([Option(DNS2, ZERO), Option(77, b"")])
    assert options.request() == [Option(ADDRESS, LEASED.packed), Option(DNS1, DNS[0].packed)]
    assert (options.local, options.dns, options.wins) == (LEASED, DNS[:1], ())
    assert options.rule(Option(ADDRESS, LOCAL.packed)) is Ruling.ACCEPT
    assert options.rule(Option(ADDRESS, ZERO)) is Ruling.REJECT
    assert options.rule(Option(DNS1, LOCAL.packed)) is Ruling.REJECT
    options.accept([Option(ADDRESS, LOCAL.packed)])
    assert options.peer == LOCAL
    options.reset()
    options.on_nak([Option(DNS1, DNS[0].packed), Option(DNS2, DNS[0].packed)])
    assert options.dns == DNS[:1]
    with pytest.raises(Refused):
        options.on_reject([Option(ADDRESS, LEASED.packed)])
