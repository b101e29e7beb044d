"""ISAKMP and IPsec SAs that go to another endpoint, in the midst of whatever they do."""

from __future__ import annotations

import pytest

from ferrule.core.ids import IsakmpSaId, Spi
from ferrule.core.reasons import Reason
from ferrule.crypto.suites import Group
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeDropped,
    InstallIpsecSa,
    IsakmpSaDown,
    IsakmpSaUp,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.iana import NotifyType
from ferrule.ike.image import QUICK_IDS_CARRIED, IkeImage
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState
from ferrule.ike.timing import DPD_RETRY_SECONDS, HALF_OPEN_SECONDS, LIFE_GRACE_SECONDS
from support.ike import (
    CLIENT,
    NO_DPD,
    Link,
    Side,
    endpoint,
    from_client,
    half_open,
    note,
    open_wire,
    policy,
    sa_of,
    stop_after,
    up,
)

OFFSET = 5_000.0  # Unix time of the former's clock
LATER = 2_000.0  # how far the heir's clock is ahead of the former's
IDENTITY = "198.51.100.9"


def image_of(link: Link) -> IkeImage:
    table = link.server.ike._table
    identity = next(iter(table.isakmp.values())).identity if table.isakmp else IDENTITY
    return link.server.ike.export(identity, sorted(table.isakmp), table.ipsec, OFFSET, link.now)


def move(link: Link, **rules: object) -> tuple[IsakmpSaId, ...]:
    """The server goes on elsewhere, where the clock shows another time."""
    image = image_of(link)
    link.server = Side(endpoint(77, policy(**rules)))
    link.now += LATER
    return link.server.ike.restore(image, OFFSET - LATER, link.now)


def test_an_isakmp_sa_goes_on() -> None:
    link = up(quick=False)
    before = sa_of(link, server=True)
    (number,) = move(link)
    after = sa_of(link, server=True)
    assert after.id == number
    assert after.cookies == before.cookies
    assert (after.identity, after.natt, after.home) == (before.identity, before.natt, before.home)
    assert after.created == before.created + LATER
    assert link.server.ike.cookies_of(number) == (after.icookie, after.rcookie)
    assert link.server.ike.find(after.icookie, after.rcookie) == number
    link.quick()
    assert link.server.of(ActivateIpsecSa)
    assert link.client.of(ActivateIpsecSa)


def test_its_life_ends_when_it_would_have() -> None:
    link = up(server=policy(ike_life_seconds=100, **NO_DPD), quick=False)
    move(link, **NO_DPD)
    link.server.effects += link.server.ike.expire(link.now + 99 + LIFE_GRACE_SECONDS)
    assert not link.server.of(IsakmpSaDown)
    link.server.effects += link.server.ike.expire(link.now + 100 + LIFE_GRACE_SECONDS)
    assert link.server.only(IsakmpSaDown).reason is Reason.PHASE1_EXPIRED


def test_what_ended_meanwhile_ends_at_once() -> None:
    link = up(server=policy(ike_life_seconds=100, esp_life_seconds=100))
    image = image_of(link)
    heir = endpoint(77)
    heir.restore(image, OFFSET, link.now + 1000)
    kinds = {type(effect) for effect in heir.expire(link.now + 1000)}
    assert {IsakmpSaDown, RemoveIpsecSa} <= kinds


@pytest.mark.parametrize("pfs", [None, Group.CURVE25519])
def test_a_pair_of_ipsec_sas_is_rekeyed_by_the_heir(pfs: Group | None) -> None:
    link = up(client=policy(offer_pfs=pfs))
    (spi,) = link.server.ike._table.ipsec
    move(link)
    link.clear()
    link.run(link.server, link.server.ike.rekey_ipsec_sa(spi, link.now))
    assert link.server.only(ActivateIpsecSa).replaces == spi
    assert link.server.only(ActivateIpsecSa).pfs == (pfs.name.lower() if pfs else "")
    assert link.client.only(ActivateIpsecSa)


def test_ipsec_sas_outlive_their_isakmp_sa() -> None:
    link = up()
    table = link.server.ike._table
    (sa,) = table.isakmp.values()
    table.remove_isakmp(sa)
    image = link.server.ike.export(sa.identity, [], table.ipsec, OFFSET, link.now)
    assert image.isakmp_sas == ()
    heir = endpoint(77)
    assert heir.restore(image, OFFSET, link.now) == ()
    assert heir._table.ipsec.keys() == table.ipsec.keys()
    (ipsec,) = heir._table.ipsec.values()
    assert heir._table.carrier(ipsec) is None
    assert heir.rekey_ipsec_sa(ipsec.inbound_spi, link.now) == []


def test_a_quick_mode_that_awaits_message_3_is_completed() -> None:
    """The client says HASH(3) once, and uses the SA from then on."""
    link = up(quick=False)
    held = stop_after(link, 2)
    link.quick()
    open_wire(link)
    ((_, path, message_3),) = held
    move(link)
    effects = link.server.ike.receive(path, message_3, link.now)
    assert [type(effect) for effect in effects] == [ActivateIpsecSa]


def test_a_quick_mode_that_awaits_message_3_is_completed_by_esp() -> None:
    link = up(quick=False)
    stop_after(link, 2)
    link.quick()
    (spi,) = link.server.ike._table.ipsec
    move(link)
    (effect,) = link.server.ike.heard(spi, link.now)
    assert isinstance(effect, ActivateIpsecSa)


def test_a_repeated_message_1_of_quick_mode_gets_the_same_answer() -> None:
    link = up(quick=False)
    held = stop_after(link, 1)
    link.quick()
    ((_, _, message_2),) = held
    message_1 = link.log[-2][2]
    path = link.log[-2][1]
    move(link)
    (effect,) = link.server.ike.receive(path, message_1, link.now)
    assert isinstance(effect, SendIke)
    assert effect.message == message_2


def test_a_quick_mode_nobody_completes_is_given_up() -> None:
    link = up(quick=False)
    stop_after(link, 1)
    link.quick()
    (spi,) = link.server.ike._table.ipsec
    move(link, **NO_DPD)
    effects = []
    for _ in range(10):
        deadline = link.server.ike.deadline
        assert deadline is not None
        if deadline.at > link.now + 40:
            break
        effects += link.server.ike.expire(deadline.at)
    assert [e.inbound_spi for e in effects if isinstance(e, RemoveIpsecSa)] == [spi]


def test_a_quick_mode_of_ours_is_left_behind() -> None:
    """The old SA is still there, and the plane asks again."""
    link = up()
    (spi,) = link.server.ike._table.ipsec
    stop_after(link, 0)
    link.run(link.server, link.server.ike.rekey_ipsec_sa(spi, link.now))
    open_wire(link)
    assert len(sa_of(link, server=True).quick_modes) == 2
    move(link)
    assert not sa_of(link, server=True).quick_modes
    link.run(link.server, link.server.ike.rekey_ipsec_sa(spi, link.now))
    assert link.server.only(ActivateIpsecSa).replaces == spi


def test_a_message_id_that_was_used_before_the_move_starts_nothing_after_it() -> None:
    link = up()
    quick_1 = next(m for who, _, m in link.log if who == "client" and m[18] == 32)
    path = link.log[-1][1]
    move(link)
    (effect,) = link.server.ike.receive(path, quick_1, link.now)
    assert isinstance(effect, IkeDropped)
    assert effect.reason is Reason.UNEXPECTED_MESSAGE


def test_only_the_last_message_ids_are_carried() -> None:
    link = up(quick=False)
    sa = sa_of(link, server=True)
    sa.quick_ids = dict.fromkeys(range(1, 1000))
    move(link)
    assert list(sa_of(link, server=True).quick_ids) == list(range(1000 - QUICK_IDS_CARRIED, 1000))


def test_a_repeated_message_5_is_answered_while_it_may_come() -> None:
    link = up(quick=False)
    message_5 = [(path, m) for who, path, m in link.log if who == "client"][2]
    message_6 = [m for who, _, m in link.log if who == "server"][2]
    image = image_of(link)
    heir = endpoint(77)
    heir.restore(image, OFFSET, link.now)
    (effect,) = heir.receive(*message_5, link.now)
    assert isinstance(effect, SendIke)
    assert effect.message == message_6
    link.now += HALF_OPEN_SECONDS
    assert image_of(link).isakmp_sas[0].last_sent == b""


# --- dead peer detection


def test_a_peer_that_was_silent_for_long_gets_a_moment() -> None:
    link = up()
    move(link)
    deadline = link.server.ike.deadline
    assert deadline is not None
    assert deadline.at == link.now + 30.0
    link = up()
    link.now += 500.0
    move(link)
    deadline = link.server.ike.deadline
    assert deadline is not None
    assert deadline.at == link.now + DPD_RETRY_SECONDS


def test_an_open_question_is_asked_anew_with_the_next_number() -> None:
    link = up()
    stop_after(link, 0)
    link.run(link.server, link.server.ike.expire(link.now + 30.0))
    sa = sa_of(link, server=True)
    assert (sa.dpd_tries, sa.dpd_sequence > 0) == (1, True)
    asked = sa.dpd_sequence
    link.now += 30.0
    open_wire(link)
    move(link)
    link.run(link.server, link.server.ike.expire(link.now + DPD_RETRY_SECONDS))
    after = sa_of(link, server=True)
    assert after.dpd_sequence == asked + 1
    assert after.dpd_tries == 0  # the client has answered


def test_a_question_of_the_peer_that_was_answered_before_is_a_replay_after() -> None:
    link = up()
    sa = sa_of(link)
    question = note(NotifyType.R_U_THERE, (7).to_bytes(4, "big"), spi=sa.cookies)
    assert any(isinstance(e, SendIke) for e in from_client(link, question, message_id=70))
    move(link)
    (effect,) = from_client(link, question, message_id=70)
    assert isinstance(effect, IkeDropped)
    older = note(NotifyType.R_U_THERE, (6).to_bytes(4, "big"), spi=sa.cookies)
    (effect,) = from_client(link, older, message_id=71)
    assert isinstance(effect, IkeDropped)


def test_without_dead_peer_detection_none_begins() -> None:
    link = up(quick=False)
    move(link, **NO_DPD)
    deadline = link.server.ike.deadline
    assert deadline is not None
    assert deadline.at > link.now + 1000


# --- what is here already, and what goes


def test_an_exchange_that_began_here_with_the_same_first_message_is_kept() -> None:
    link = up(quick=False)
    path, message_1 = link.log[0][1:]
    image = image_of(link)
    heir = endpoint(77)
    heir.receive(path, message_1, link.now)
    (begun,) = heir._table.isakmp.values()
    heir.restore(image, OFFSET, link.now)
    assert heir._table.find_first(begun.icookie, path.peer) is begun
    restored = next(sa for sa in heir._table.isakmp.values() if sa is not begun)
    assert restored.first_peer is None
    heir.forget([restored.id], [])
    assert heir._table.find_first(begun.icookie, path.peer) is begun
    heir.forget_half_open()
    assert not heir._table.isakmp
    assert len(heir._admission) == 0


def test_what_is_forgotten_says_nothing_and_leaves_nothing() -> None:
    link = up()
    ike = link.server.ike
    numbers, spis = list(ike._table.isakmp), list(ike._table.ipsec)
    assert ike.forget(numbers, spis) is None  # type: ignore[func-returns-value]
    assert ike.sas() == []
    assert not ike._table._peers
    assert ike._table.timers.next is None
    ike.forget(numbers, spis)
    ike.forget([IsakmpSaId(99)], [Spi(999)])


def test_half_open_exchanges_of_one_peer_are_forgotten() -> None:
    link, path, _, _ = half_open(2)
    ike = link.server.ike
    ike.forget_half_open(CLIENT._replace(port=1))
    assert len(ike.sas()) == 1
    ike.forget_half_open(path.peer)
    assert ike.sas() == []
    assert len(ike._admission) == 0


def test_who_is_up_is_not_half_open() -> None:
    link = up()
    link.server.ike.forget_half_open()
    assert len(link.server.ike.sas()) == 1


def test_only_what_is_up_is_carried() -> None:
    link, _, icookie, rcookie = half_open(2)
    table = link.server.ike._table
    image = link.server.ike.export("me", [*table.isakmp, IsakmpSaId(99)], [Spi(999)], 0.0, 0.0)
    assert (image.isakmp_sas, image.ipsec_sas) == ((), ())
    assert link.server.ike.find(icookie, rcookie) is not None  # type: ignore[arg-type]
    assert link.server.ike.cookies_of(IsakmpSaId(99)) is None


def test_two_isakmp_sas_of_a_peer_keep_their_order() -> None:
    """A Delete for an SA of the first may come under the second; the newest is watched."""
    link = up()
    link.connect()
    assert len(link.server.of(IsakmpSaUp)) == 2
    first, second = move(link)
    table = link.server.ike._table
    (peer,) = table._peers.values()
    assert [sa.id for sa in peer.isakmp] == [first, second]
    (ipsec,) = table.ipsec.values()
    assert ipsec.isakmp_sa == first
    assert ipsec.peer is peer

    def watched(sa: IsakmpSa) -> bool:
        return sa.deadlines.get("dpd") is not None

    assert [watched(sa) for sa in peer.isakmp] == [False, True]
    assert all(sa.state is MainModeState.UP for sa in peer.isakmp)
    effects = link.server.ike.delete_ipsec_sa(ipsec.inbound_spi, Reason.ADMIN_KICK, link.now)
    assert [type(effect) for effect in effects] == [SendIke, RemoveIpsecSa]
    assert not link.server.of(InstallIpsecSa)
