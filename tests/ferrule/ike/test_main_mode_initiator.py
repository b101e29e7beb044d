"""Main Mode as initiator: what it believes, and when it gives up."""

from ferrule.core.reasons import Reason
from ferrule.ike.effects import (
    IkeDropped,
    IkeFailed,
    IsakmpSaUp,
    SendIke,
)
from ferrule.ike.header import NO_COOKIE, parse_header
from support.ike import (
    Link,
    policy,
    stop_after,
    up,
)


def test_without_nat_traversal_the_client_stays_where_it_is() -> None:
    link = up(policy(offer_vendor_ids=()), quick=False)
    assert link.server.only(IsakmpSaUp).natt == "none"
    assert not link.server.only(IsakmpSaUp).path.natt


def test_the_initiator_gives_up_and_says_so() -> None:
    link = Link()
    stop_after(link, 0)
    link.connect()
    link.advance(60)
    assert link.client.only(IkeFailed).reason is Reason.PHASE1_TIMEOUT
    assert [type(e) for e in link.client.effects].count(SendIke) == 5
    assert link.client.ike.deadline is None


def test_the_initiator_believes_only_its_own_offers() -> None:
    link = Link()
    held = stop_after(link, 1)
    link.connect()
    _, path, second = held[0]
    header = parse_header(second)
    changed = second.replace(bytes.fromhex("800e0100"), bytes.fromhex("800e00c0"))  # AES-192
    assert changed != second
    effects = link.client.ike.receive(path, changed, link.now)
    assert effects[0].reason is Reason.NO_PROPOSAL  # type: ignore[union-attr]
    assert header.icookie != NO_COOKIE


def test_a_forged_message_6_does_not_spoil_the_exchange() -> None:
    link = Link()
    held = stop_after(link, 5)
    link.connect()
    _, path, sixth = held[0]
    forged = sixth[:-16] + bytes(16)
    effects = link.client.ike.receive(path, forged, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    effects = link.client.ike.receive(path, sixth, link.now)
    assert [type(effect) for effect in effects] == [IsakmpSaUp]
