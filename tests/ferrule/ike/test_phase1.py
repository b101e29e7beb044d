"""The step to an ISAKMP SA that is up, and the one down."""

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ike.effects import IsakmpSaDown, RemoveIpsecSa
from ferrule.ike.payloads import Contents, Nonce, VendorId
from ferrule.ike.phase1 import exchange_of, read_nonce, read_vendor_ids, take_down
from ferrule.ike.vendor_ids import vendor_octets
from support.ike import Link, sa_of, stop_after, up


@pytest.mark.parametrize(("octets", "accepted"), [(7, False), (8, True), (256, True), (257, False)])
def test_nonces(octets: int, accepted: bool) -> None:
    contents = Contents([Nonce(bytes(octets))], 0, 0)
    if accepted:
        assert read_nonce(contents) == bytes(octets)
        return
    with pytest.raises(Malformed) as caught:
        read_nonce(contents)
    assert caught.value.reason is Reason.BAD_NONCE


def test_vendor_ids_add_up_over_the_messages() -> None:
    sa = sa_of(up(quick=False))
    sa.vendor_names, sa.peer_dpd = (), False
    first = Contents([VendorId(vendor_octets("rfc3947")), VendorId(b"?")], 0, 0)
    second = Contents([VendorId(vendor_octets(n)) for n in ("dpd", "rfc3947")], 0, 0)
    assert read_vendor_ids(sa, first) == ("rfc3947",)
    assert not sa.peer_dpd
    assert read_vendor_ids(sa, second) == ("dpd", "rfc3947")
    assert sa.peer_dpd
    assert sa.vendor_names == ("rfc3947", "dpd")


def test_there_is_no_exchange_when_it_is_over() -> None:
    with pytest.raises(ValueError, match="over"):
        exchange_of(sa_of(up()))


def test_an_unfinished_pair_goes_with_its_isakmp_sa() -> None:
    link = up(quick=False)
    stop_after(link, 1)
    link.quick()
    turn = link.server.ike._turn(link.now)
    take_down(turn, sa_of(link, server=True), Reason.PEER_CLOSED)
    assert [type(effect) for effect in turn.effects] == [RemoveIpsecSa, IsakmpSaDown]
    assert not link.server.ike._table.ipsec
    assert Link().server.ike.deadline is None
