"""Dead peer detection both ways, RFC 3706."""

import pytest

from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.ike.effects import (
    IkeDropped,
    InstallIpsecSa,
    IsakmpSaDown,
    IsakmpSaUp,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.iana import NotifyType
from support.ike import (
    CLIENT,
    NO_DPD,
    SERVER,
    from_client,
    note,
    open_wire,
    policy,
    stop_after,
    up,
)


def test_dpd_asks_after_silence_and_is_content_with_the_answer() -> None:
    link = up(policy(**NO_DPD), policy(dpd_seconds=30))
    link.clear()
    link.advance(29)
    assert not link.log
    link.advance(2)
    assert [name for name, _, _ in link.log] == ["server", "client"]
    link.advance(300)
    assert len(link.log) == 2 * 11
    assert not link.server.effects or not link.server.of(IsakmpSaDown)


def test_both_sides_may_ask() -> None:
    link = up(policy(dpd_seconds=10), policy(dpd_seconds=10))
    link.clear()
    link.advance(100)
    assert not link.server.of(IsakmpSaDown)
    assert not link.client.of(IsakmpSaDown)
    assert len(link.log) >= 16


def test_esp_is_a_life_sign() -> None:
    link = up(policy(**NO_DPD), policy(dpd_seconds=30))
    spi = link.server.only(InstallIpsecSa).inbound_spi
    link.clear()
    for _ in range(10):
        link.advance(20)
        assert link.server.ike.heard(spi, link.now) == []
    assert not link.log
    link.advance(31)
    assert len(link.log) == 2


def test_a_dead_peer_is_given_up_with_its_ipsec_sas() -> None:
    link = up(policy(**NO_DPD), policy(dpd_seconds=30))
    spi = link.server.only(InstallIpsecSa).inbound_spi
    link.clear()
    stop_after(link, 0)
    link.advance(56)
    down = link.server.only(IsakmpSaDown)
    assert (down.reason, down.with_ipsec_sas) == (Reason.PEER_DEAD, True)
    removed = link.server.only(RemoveIpsecSa)
    assert (removed.inbound_spi, removed.reason) == (spi, Reason.PEER_DEAD)
    assert len(link.log) == 5
    assert not link.server.ike.sas()
    sequences = {len(message) for _, _, message in link.log}
    assert len(sequences) == 1


def test_an_answer_to_the_last_question_is_in_time() -> None:
    link = up(policy(**NO_DPD), policy(dpd_seconds=30))
    stop_after(link, 0)
    link.advance(48)
    open_wire(link)
    link.advance(60)
    assert not link.server.of(IsakmpSaDown)


@pytest.mark.parametrize(
    ("client", "server"),
    [
        ({"offer_vendor_ids": ("rfc3947",)}, {"dpd_seconds": 30}),  # Windows
        ({}, NO_DPD),
    ],
)
def test_no_questions_to_who_does_not_know_dpd_or_where_it_is_off(
    client: dict[str, object], server: dict[str, object]
) -> None:
    link = up(policy(**client | NO_DPD), policy(**server))
    link.clear()
    link.advance(1000)
    assert not link.log


def test_a_replayed_question_is_not_answered() -> None:
    link = up(policy(dpd_seconds=10), policy(**NO_DPD))
    link.clear()
    link.advance(11)
    _, path, question = link.log[0]
    for way in (path, path._replace(peer=Address("192.0.2.66", 1))):
        effects = link.server.ike.receive(way, question, link.now)
        assert [type(effect) for effect in effects] == [IkeDropped]
    assert link.server.ike.sas()[0].path.peer.host == CLIENT.host


@pytest.mark.parametrize(("second", "answered"), [(5, True), (6, True), (4, False)])
def test_sequence_numbers_of_questions(second: int, answered: bool) -> None:
    link = up(policy(**NO_DPD), policy(**NO_DPD))
    for message_id, sequence in ((1, 5), (2, second)):
        effects = from_client(
            link, note(NotifyType.R_U_THERE, sequence.to_bytes(4, "big")), message_id=message_id
        )
    assert [type(effect) for effect in effects] == [SendIke if answered else IkeDropped]


def test_a_fresh_question_from_elsewhere_moves_the_peer() -> None:
    link = up(policy(**NO_DPD), policy(**NO_DPD))
    way = Path(Address(CLIENT.host, 61_000), Address(SERVER.host, 4500), True)
    effects = from_client(link, note(NotifyType.R_U_THERE, b"\0\0\0\1"), path=way)
    assert effects[0].path == way  # type: ignore[union-attr]
    assert link.server.ike.sas()[0].path == way


def test_an_answer_that_nobody_asked_for() -> None:
    link = up(policy(**NO_DPD), policy(**NO_DPD))
    effects = from_client(link, note(NotifyType.R_U_THERE_ACK, b"\0\0\0\1"))
    assert [type(effect) for effect in effects] == [IkeDropped]


def test_only_the_newest_isakmp_sa_of_a_peer_asks() -> None:
    link = up(policy(**NO_DPD, offer_initial_contact=False), policy(dpd_seconds=30))
    link.connect()
    first, second = (e.isakmp_sa for e in link.server.of(IsakmpSaUp))
    link.clear()
    stop_after(link, 0)
    link.advance(60)
    down = link.server.only(IsakmpSaDown)
    assert down.isakmp_sa == second
    # Now the older one asks, finds nobody either, and takes the IPsec SAs along.
    assert not link.server.of(RemoveIpsecSa)
    link.advance(60)
    assert [e.isakmp_sa for e in link.server.of(IsakmpSaDown)] == [second, first]
    assert link.server.only(RemoveIpsecSa).reason is Reason.PEER_DEAD
