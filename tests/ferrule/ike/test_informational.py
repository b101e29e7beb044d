"""Informational exchanges: DPD, Delete, INITIAL-CONTACT, errors, and what is not believed."""

import pytest

from ferrule.core.ids import Address, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeDropped,
    IkeFailed,
    InitialContact,
    InstallIpsecSa,
    IsakmpSaDown,
    IsakmpSaUp,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.iana import ExchangeType, NotifyType, ProtocolId
from ferrule.ike.payloads import Delete, Opaque, Payload
from ferrule.ike.protection import informational
from support.ike import (
    CLIENT,
    NO_DPD,
    SERVER,
    Link,
    clear_message,
    from_client,
    mirrored,
    note,
    policy,
    sa_of,
    stop_after,
    up,
)

# --- Delete --------------------------------------------------------------------------------


def test_the_client_says_goodbye() -> None:
    link = up()
    number = link.client.only(IsakmpSaUp).isakmp_sa
    link.run(link.client, link.client.ike.close_sa(number, Reason.PEER_CLOSED, link.now))
    assert link.server.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED
    down = link.server.only(IsakmpSaDown)
    assert (down.reason, down.with_ipsec_sas) == (Reason.PEER_CLOSED, False)
    assert link.client.only(IsakmpSaDown).with_ipsec_sas
    assert link.client.ike.deadline is None or not link.client.ike.sas()


def test_we_say_goodbye() -> None:
    link = up()
    link.run(link.server, link.server.ike.close(Reason.SERVER_SHUTDOWN, link.now))
    assert link.server.only(RemoveIpsecSa).reason is Reason.SERVER_SHUTDOWN
    assert link.server.only(IsakmpSaDown).reason is Reason.SERVER_SHUTDOWN
    assert link.client.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED
    assert link.client.only(IsakmpSaDown).reason is Reason.PEER_CLOSED
    assert not link.server.ike.sas()


@pytest.mark.parametrize("reason", [Reason.PEER_DEAD, Reason.INITIAL_CONTACT])
def test_no_goodbye_to_who_knows_nothing_any_more(reason: Reason) -> None:
    link = up()
    number = link.server.only(IsakmpSaUp).isakmp_sa
    effects = link.server.ike.close_sa(number, reason, link.now)
    assert [type(effect) for effect in effects] == [RemoveIpsecSa, IsakmpSaDown]


def test_close_of_a_half_open_exchange() -> None:
    link = Link()
    stop_after(link, 3)
    link.connect()
    effects = link.server.ike.close(Reason.SERVER_SHUTDOWN, link.now)
    assert [type(effect) for effect in effects] == [IkeFailed]
    effects = link.client.ike.close(Reason.ADMIN_KICK, link.now)
    assert [type(effect) for effect in effects] == [IkeFailed]
    assert link.client.ike.deadline is None


def test_delete_one_pair() -> None:
    link = up()
    spi = link.server.only(InstallIpsecSa).inbound_spi
    link.run(link.server, link.server.ike.delete_ipsec_sa(spi, Reason.REPLACED_SA, link.now))
    assert link.server.only(RemoveIpsecSa).reason is Reason.REPLACED_SA
    assert link.client.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED
    assert link.server.ike.delete_ipsec_sa(spi, Reason.REPLACED_SA, link.now) == []
    assert len(link.server.ike.sas()) == 1


def test_sessions_outlive_the_isakmp_sa_and_a_new_one_may_delete_them() -> None:
    """Rekey of phase 1 by the client: new ISAKMP SA, old one deleted, then the old IPsec SA."""
    link = up(policy(offer_initial_contact=False))
    old = link.client.only(IsakmpSaUp).isakmp_sa
    old_pair = link.server.only(InstallIpsecSa)
    link.connect()
    new = link.client.of(IsakmpSaUp)[-1].isakmp_sa
    gone = informational(
        link.client.ike._table.isakmp[old],
        5,
        [Delete(1, ProtocolId.ISAKMP, (link.client.ike._table.isakmp[old].cookies,))],
    )
    link.server.effects += link.server.ike.receive(mirrored(link.path(natt=True)), gone, link.now)
    assert link.server.only(IsakmpSaDown).with_ipsec_sas is False
    assert not link.server.of(RemoveIpsecSa)
    # Quick Mode under the new one knows what it replaces.
    link.quick(new)
    assert link.server.of(ActivateIpsecSa)[-1].replaces == old_pair.inbound_spi
    delete = Delete(1, ProtocolId.ESP, (old_pair.outbound_spi.to_bytes(4, "big"),))
    effects = from_client(link, delete)
    assert [type(effect) for effect in effects] == [RemoveIpsecSa]
    assert effects[0].inbound_spi == old_pair.inbound_spi  # type: ignore[union-attr]
    assert effects[0].isakmp_sa == old_pair.isakmp_sa  # type: ignore[union-attr]


def test_our_delete_of_an_orphan_travels_under_the_newer_isakmp_sa() -> None:
    link = up(policy(offer_initial_contact=False))
    pair = link.server.only(InstallIpsecSa)
    link.connect()
    first = sa_of(link).peer.isakmp[0]  # type: ignore[union-attr]
    delete = Delete(1, ProtocolId.ISAKMP, (first.cookies,))
    from_client(link, delete)
    link.clear()
    link.run(
        link.server,
        link.server.ike.delete_ipsec_sa(pair.inbound_spi, Reason.ADMIN_KICK, link.now),
    )
    assert len(link.log) == 1
    assert link.client.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED


def test_nobody_deletes_another_peers_sas() -> None:
    link = up()
    pair = link.server.only(InstallIpsecSa)
    link.client.ike.policy = policy(offer_identification="10.9.9.9", offer_initial_contact=False)
    link.connect()
    cookies = next(iter(link.server.ike._table.isakmp.values())).cookies
    for payload in (
        Delete(1, ProtocolId.ESP, (pair.outbound_spi.to_bytes(4, "big"),)),
        Delete(1, ProtocolId.ISAKMP, (cookies,)),
    ):
        assert from_client(link, payload, message_id=payload.protocol) == []
    assert len(link.server.ike.sas()) == 2
    effects = from_client(link, Delete(1, ProtocolId.AH, (b"abcd",)), message_id=9)
    assert [type(effect) for effect in effects] == [IkeDropped]


def test_strongswan_names_our_own_spi() -> None:
    link = up()
    pair = link.server.only(InstallIpsecSa)
    delete = Delete(1, ProtocolId.ESP, (pair.inbound_spi.to_bytes(4, "big"),))
    assert [type(effect) for effect in from_client(link, delete)] == [RemoveIpsecSa]


def test_the_number_of_isakmp_sas_of_a_peer_is_bounded() -> None:
    link = up(policy(offer_initial_contact=False))
    for _ in range(10):
        link.connect()
    assert len(link.server.ike.sas()) == 8
    assert {down.reason for down in link.server.of(IsakmpSaDown)} == {Reason.REPLACED_SA}
    assert not link.server.of(RemoveIpsecSa)


# --- INITIAL-CONTACT and other notifications -----------------------------------------------


def test_initial_contact_in_an_informational_message_counts_once() -> None:
    link = up(policy(offer_initial_contact=False))
    contact = note(NotifyType.INITIAL_CONTACT, spi=sa_of(link).cookies)
    effects = from_client(link, contact, message_id=1)
    assert effects == [InitialContact(link.server.only(IsakmpSaUp).isakmp_sa)]
    assert from_client(link, contact, message_id=2) == []


def test_who_poses_as_another_ends_nothing_but_his_own() -> None:
    """An insider takes a client's identity and sends from its address: he is moved there."""
    link = up(policy(offer_initial_contact=False))
    victim = sa_of(link, server=True)
    theirs = link.server.only(InstallIpsecSa)
    elsewhere = "203.0.113.99"
    link.filter = lambda sender, path, message: [
        (path._replace(peer=Address(elsewhere, 500)) if sender == "client" else path, message)
    ]
    link.connect()
    link.quick()
    insider = sa_of(link, server=True)
    own = link.server.of(InstallIpsecSa)[-1]
    assert (insider.identity, insider.home) == (victim.identity, elsewhere)
    link.server.ike.moved(insider.id, victim.path)
    assert insider.peer is victim.peer

    contact = note(NotifyType.INITIAL_CONTACT, spi=insider.cookies)
    assert from_client(link, contact, message_id=1) == []
    spis = tuple(i.outbound_spi.to_bytes(4, "big") for i in (theirs, own))
    effects = from_client(link, Delete(1, ProtocolId.ESP, spis), message_id=2)
    assert [e.inbound_spi for e in effects if isinstance(e, RemoveIpsecSa)] == [own.inbound_spi]
    both = (victim.cookies, insider.cookies)
    effects = from_client(link, Delete(1, ProtocolId.ISAKMP, both), message_id=3)
    assert [e.isakmp_sa for e in effects if isinstance(e, IsakmpSaDown)] == [insider.id]


@pytest.mark.parametrize(
    "kind", [NotifyType.CONNECTED, NotifyType.RESPONDER_LIFETIME, NotifyType.REPLAY_STATUS]
)
def test_what_only_informs(kind: NotifyType) -> None:
    assert from_client(up(), note(kind)) == []


@pytest.mark.parametrize("kind", [NotifyType.INVALID_SPI, NotifyType.NO_PROPOSAL_CHOSEN, 40_500])
def test_other_notifications_are_counted(kind: int) -> None:
    link = up()
    effects = from_client(link, note(kind))
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.PEER_NOTIFY  # type: ignore[union-attr]
    assert len(link.server.ike.sas()) == 1


def test_an_error_about_a_quick_mode_ends_it() -> None:
    link = up(quick=False)
    stop_after(link, 1)
    link.quick()
    spi = link.server.only(InstallIpsecSa).outbound_spi.to_bytes(4, "big")
    effects = from_client(link, note(NotifyType.NO_PROPOSAL_CHOSEN, spi=spi, protocol=3))
    assert [type(effect) for effect in effects] == [RemoveIpsecSa, IkeFailed]
    assert effects[1].reason is Reason.PEER_NOTIFY  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "payload",
    [
        Delete(1, ProtocolId.ISAKMP, (bytes(16),)),
        Delete(1, ProtocolId.ESP, (b"\1\2\3\4",)),
        note(NotifyType.INITIAL_CONTACT),
        note(NotifyType.INVALID_SPI, spi=b"\1\2\3\4"),
        note(NotifyType.R_U_THERE, b"\0\0\0\1"),
    ],
)
def test_in_the_clear_nothing_is_believed(payload: Payload) -> None:
    link = up()
    sa = sa_of(link, server=True)
    if isinstance(payload, Delete) and payload.protocol == ProtocolId.ISAKMP:
        payload = Delete(1, ProtocolId.ISAKMP, (sa.cookies,))
    message = clear_message(sa.icookie, sa.rcookie, [payload], exchange=5, message_id=5)
    effects = link.server.ike.receive(mirrored(link.path(natt=True)), message, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.UNENCRYPTED  # type: ignore[union-attr]
    assert len(link.server.ike.sas()) == 1
    assert link.server.ike.sas()[0].ipsec_sas


def test_a_forged_or_replayed_informational_message() -> None:
    link = up()
    message = informational(sa_of(link), 9, [note(NotifyType.INITIAL_CONTACT)])
    path = mirrored(link.path(natt=True))
    forged = message[:-1] + bytes((message[-1] ^ 1,))
    for attempt in (forged, message[:28] + bytes(len(message) - 28)):
        effects = link.server.ike.receive(path, attempt, link.now)
        assert [type(effect) for effect in effects] == [IkeDropped]
    link.server.ike.receive(path, message, link.now)
    effects = link.server.ike.receive(path, message, link.now)
    assert effects[0].reason is Reason.UNEXPECTED_MESSAGE  # type: ignore[union-attr]


def test_mode_config_is_refused() -> None:
    link = up()
    message = bytearray(informational(sa_of(link), 9, [Opaque(14, b"\1\0\0\0")]))
    message[18] = ExchangeType.TRANSACTION
    effects = link.server.ike.receive(mirrored(link.path(natt=True)), bytes(message), link.now)
    assert [type(effect) for effect in effects] == [SendIke, IkeDropped]
    assert effects[1].reason is Reason.XAUTH  # type: ignore[union-attr]
    assert len(link.server.ike.sas()) == 1


@pytest.mark.parametrize("exchange", [1, 3, 4, 33, 34, 77])
def test_other_exchanges_of_an_sa_that_is_up(exchange: int) -> None:
    link = up()
    message = bytearray(informational(sa_of(link), 9, [Opaque(14, b"\1\0\0\0")]))
    message[18] = exchange
    effects = link.server.ike.receive(mirrored(link.path(natt=True)), bytes(message), link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.EXCHANGE_TYPE  # type: ignore[union-attr]


# --- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize("host", [CLIENT.host, "192.0.2.200"])
def test_moved(host: str) -> None:
    link = up(policy(**NO_DPD), policy(dpd_seconds=30))
    number = link.server.only(IsakmpSaUp).isakmp_sa
    spi = link.server.only(InstallIpsecSa).inbound_spi
    way = Path(Address(host, 61_000), Address(SERVER.host, 4500), True)
    link.server.ike.moved(number, way)
    assert link.server.ike.sas()[0].path == way
    link.clear()
    link.advance(31)
    assert mirrored(link.log[0][1]) == way
    effects = link.server.ike.delete_ipsec_sa(spi, Reason.ADMIN_KICK, link.now)
    assert effects[0].path == way  # type: ignore[union-attr]
    link.server.ike.moved(IsakmpSaId(999), way)


def test_verbs_for_unknown_ids_do_nothing() -> None:
    ike = Link().server.ike
    number, spi = IsakmpSaId(9), Spi(999)
    assert ike.close_sa(number, Reason.ADMIN_KICK, 1.0) == []
    assert ike.establish_ipsec_sa(number, 1.0) == []
    assert ike.heard(spi, 1.0) == []
    assert ike.rekey_ipsec_sa(spi, 1.0) == []
    assert ike.delete_ipsec_sa(spi, Reason.ADMIN_KICK, 1.0) == []
    assert ike.expire(1.0) == []
    assert ike.close(Reason.ADMIN_KICK, 1.0) == []
    assert ike.deadline is None
