"""Quick Mode in both roles: the table, selectors, PFS, lifetimes, loss, rekeys, refusals."""

import pytest

from ferrule.core.ids import Address
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, Verdict
from ferrule.crypto.suites import Cipher, EspSuite, Group, Integrity
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeDropped,
    IkeFailed,
    InstallIpsecSa,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.endpoint import IkeEndpoint
from ferrule.ike.iana import EncapsulationMode, Flag, IdType
from ferrule.ike.isakmp_sa import QuickModeState
from ferrule.ike.payloads import Identification
from ferrule.ike.policy import RawTransform, default_phase2
from ferrule.ike.quick_mode import TABLE, QuickModeMessage
from support.ike import (
    CLIENT,
    SERVER,
    Link,
    keys_agree,
    mirrored,
    open_wire,
    policy,
    stop_after,
    up,
)

S, M = QuickModeState, QuickModeMessage
AES_SHA1 = EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96)


@pytest.mark.parametrize("suite", default_phase2(), ids=str)
def test_each_suite(suite: EspSuite) -> None:
    link = up(policy(offer_phase2=(suite,)), policy(allow_md5=True))
    assert link.server.only(InstallIpsecSa).suite == suite
    assert len(link.server.only(InstallIpsecSa).inbound_key) == suite.keymat_octets
    keys_agree(link)


@pytest.mark.parametrize("group", Group)
def test_each_group_for_pfs(group: Group) -> None:
    link = up(policy(offer_pfs=group))
    assert link.server.only(ActivateIpsecSa).pfs == group.name.lower()
    assert link.client.only(ActivateIpsecSa).pfs == group.name.lower()
    keys_agree(link)


def test_the_inbound_side_works_before_message_2_goes_out() -> None:
    link = up()
    kinds = [type(effect) for effect in link.server.effects]
    assert kinds[-3:] == [InstallIpsecSa, SendIke, ActivateIpsecSa]
    kinds = [type(effect) for effect in link.client.effects]
    assert kinds[-3:] == [InstallIpsecSa, SendIke, ActivateIpsecSa]


GOOD = Identification(IdType.IPV4_ADDR, 17, 1701, bytes(4))


def test_hard_expiry() -> None:
    link = up(policy(offer_esp_seconds=60, dpd_seconds=0), policy(dpd_seconds=0))
    link.clear()
    link.advance(69)
    assert not link.server.of(RemoveIpsecSa)
    removed = [
        effect
        for effect in link.server.ike.expire(link.now + 1)
        if isinstance(effect, RemoveIpsecSa)
    ]
    assert [effect.reason for effect in removed] == [Reason.PHASE2_EXPIRED]


def test_expiry_tells_the_peer() -> None:
    link = up(policy(offer_esp_seconds=3600), policy(esp_life_seconds=60, dpd_seconds=0))
    link.client.ike.policy = policy(dpd_seconds=0)
    link.advance(75)
    reasons = {link.client.only(RemoveIpsecSa).reason, link.server.only(RemoveIpsecSa).reason}
    assert reasons == {Reason.PHASE2_EXPIRED, Reason.PEER_CLOSED}


# --- loss, duplicates ----------------------------------------------------------------------


@pytest.mark.parametrize("lost", range(3))
def test_each_single_loss_is_repaired(lost: int) -> None:
    link = up(quick=False)
    count = [0]

    def lose(_: str, path: object, message: bytes) -> list:  # type: ignore[type-arg]
        count[0] += 1
        return [] if count[0] == lost + 1 else [(path, message)]

    link.filter = lose
    link.quick()
    link.advance(4)
    assert len(link.server.of(ActivateIpsecSa)) == 1
    assert len(link.client.of(ActivateIpsecSa)) == 1
    keys_agree(link)


def test_a_packet_on_the_new_sa_stands_for_message_3() -> None:
    link = up(quick=False)
    stop_after(link, 2)
    link.quick()
    spi = link.server.only(InstallIpsecSa).inbound_spi
    assert not link.server.of(ActivateIpsecSa)
    link.run(link.server, link.server.ike.heard(spi, link.now))
    assert link.server.only(ActivateIpsecSa).inbound_spi == spi
    assert link.server.ike.heard(spi, link.now) == []
    _, path, third = link.log[-1]
    assert link.server.ike.receive(path, third, link.now) == []
    open_wire(link)
    link.advance(20)
    assert not link.server.of(IkeFailed)
    assert not link.server.of(RemoveIpsecSa)


@pytest.mark.parametrize("index", [6, 7, 8])
def test_duplicates(index: int) -> None:
    link = up()
    name, path, message = link.log[index]
    side = link.server if name == "client" else link.client
    answer = side.ike.receive(path, message, link.now + 1)
    if index == 7:
        assert answer == [SendIke(mirrored(link.log[8][1]), link.log[8][2])]
    elif index == 8:
        assert answer == []
    else:
        assert [type(effect) for effect in answer] == [IkeDropped]


def test_a_duplicate_of_message_1_is_answered_at_the_first_address() -> None:
    link = up(quick=False)
    held = stop_after(link, 1)
    link.quick()
    _, path, first = link.log[6]
    elsewhere = path._replace(peer=Address("192.0.2.66", 4500))
    answer = link.server.ike.receive(elsewhere, first, link.now)
    assert answer == [SendIke(mirrored(held[0][1]), held[0][2])]


def test_no_replay_starts_a_quick_mode_again() -> None:
    link = up(policy(dpd_seconds=0), policy(dpd_seconds=0))
    _, path, first = link.log[6]
    link.advance(200)  # the exchange itself is forgotten
    elsewhere = path._replace(peer=Address("192.0.2.66", 4500))
    before = link.server.ike.sas()[0].path
    effects = link.server.ike.receive(elsewhere, first, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert link.server.ike.sas()[0].path == before


# --- several SAs ---------------------------------------------------------------------------


def test_rekey_by_the_client_overlaps() -> None:
    link = up()
    first = link.server.only(InstallIpsecSa).inbound_spi
    link.quick()
    second = link.server.of(ActivateIpsecSa)[-1]
    assert second.replaces == first
    assert not link.server.of(RemoveIpsecSa)
    assert len(link.server.ike.sas()[0].ipsec_sas) == 2


def test_too_many_ipsec_sas_push_out_the_oldest() -> None:
    link = up(server=policy(ipsec_sas_max=3))
    first = link.server.only(InstallIpsecSa).inbound_spi
    for _ in range(3):
        link.quick()
    removed = link.server.only(RemoveIpsecSa)
    assert (removed.inbound_spi, removed.reason) == (first, Reason.PHASE2_LIMIT)
    assert link.client.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED


# --- refusals ------------------------------------------------------------------------------

TUNNEL = RawTransform(12, ((4, EncapsulationMode.UDP_TUNNEL), (5, 2), (6, 128)))


def test_a_client_that_cannot_install_ends_our_side_too() -> None:
    """strongSwan answers message 2 with an error where its kernel has no ESP."""
    link = up(quick=False)
    stop_after(link, 2)
    link.quick()
    open_wire(link)
    spi = link.client.only(InstallIpsecSa).inbound_spi
    link.run(link.client, link.client.ike.delete_ipsec_sa(spi, Reason.PEER_CLOSED, link.now))
    assert link.server.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED
    link.advance(40)
    assert not link.server.of(IkeFailed)


# --- the table, whole ----------------------------------------------------------------------


def test_the_table_is_complete() -> None:
    rows = {(row.state, row.trigger): row.next for row in TABLE.rows}
    assert rows == {
        (S.IDLE, M.SA): S.AWAIT_HASH,
        (S.AWAIT_HASH, M.HASH): S.UP,
        (S.AWAIT_SA, M.SA): S.UP,
    }
    for state in S:
        for trigger in M:
            cell = TABLE.lookup(state, trigger)
            assert isinstance(cell, Row) == ((state, trigger) in rows)
    assert TABLE.lookup(S.UP, M.HASH) is Verdict.IGNORED


def _sealed(link: Link, sender: IkeEndpoint, message_id: int, iv: bytes, trigger: M) -> bytes:
    """A message of the given kind under the ISAKMP SA of `link`, its HASH not right."""
    from ferrule.ike.iana import ExchangeType, PayloadType
    from ferrule.ike.payloads import HashPayload, Nonce, build_payloads, security_association
    from ferrule.ike.protection import encrypt_message

    sa = next(iter(sender._table.isakmp.values()))
    payloads = {
        M.SA: [HashPayload(bytes(20)), security_association([]), Nonce(bytes(16))],
        M.HASH: [HashPayload(bytes(20))],
        M.OTHER: [HashPayload(bytes(20)), Nonce(bytes(16))],
    }[trigger]
    if trigger is M.SA:
        from ferrule.ike.proposals import Proposal, offer

        transform = offer(12, ((4, 4), (5, 2), (6, 128)))
        payloads[1] = security_association([Proposal(1, 3, b"\1\2\3\4", [transform])])
    _, body = build_payloads(payloads)  # type: ignore[arg-type]
    kind = ExchangeType.QUICK_MODE
    return encrypt_message(sa, kind, message_id, PayloadType.HASH, body, iv)[0]


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("trigger", M)
def test_every_state_and_message(state: S, trigger: M) -> None:
    """With a HASH that is not right, so that even a legal message is dropped, not believed."""
    from ferrule.ike.protection import exchange_iv

    link = up(policy(offer_phase2=(TUNNEL,)) if state is S.FAILED else policy(), quick=False)
    counts = {S.IDLE: 0, S.AWAIT_SA: 0, S.AWAIT_HASH: 1, S.UP: 99, S.FAILED: 1}
    side = link.client if state is S.AWAIT_SA else link.server
    other = link.server if state is S.AWAIT_SA else link.client
    stop_after(link, counts[state])
    if state is not S.IDLE:
        link.quick()
    sa = next(iter(side.ike._table.isakmp.values()))
    message_id, iv = 0x01020304, b""
    if sa.quick_modes:
        quick = next(iter(sa.quick_modes.values()))
        assert quick.state is state
        message_id, iv = quick.message_id, quick.iv
    iv = iv or exchange_iv(sa, message_id)
    path = mirrored(link.path(natt=True)) if side is link.server else link.path(natt=True)
    message = _sealed(link, other.ike, message_id, iv, trigger)
    effects = side.ike.receive(path, message, link.now)
    if TABLE.lookup(state, trigger) is Verdict.IGNORED:
        assert effects == []
    else:
        assert [type(effect) for effect in effects] == [IkeDropped]
    if sa.quick_modes:
        assert next(iter(sa.quick_modes.values())).state is state
    else:
        assert state is S.IDLE


def test_quick_mode_in_the_clear_and_too_early() -> None:
    link = up(quick=False)
    held = stop_after(link, 0)
    link.quick()
    _, path, first = held[0]
    clear = bytearray(first)
    clear[19] &= ~Flag.ENCRYPTION
    effects = link.server.ike.receive(path, bytes(clear), link.now)
    assert effects[0].reason is Reason.UNENCRYPTED  # type: ignore[union-attr]
    early = Link(seed=7)
    stop_after(early, 3)
    early.connect()
    cookies = early.log[-1][2][:16]
    effects = early.server.ike.receive(path, cookies + first[16:], early.now)
    assert effects[0].reason is Reason.UNEXPECTED_MESSAGE  # type: ignore[union-attr]
    for cut in (1, 15):
        broken = bytearray(first[:-cut])
        broken[24:28] = len(broken).to_bytes(4, "big")
        effects = link.server.ike.receive(path, bytes(broken), link.now)
        assert effects[0].reason is Reason.IKE_MALFORMED  # type: ignore[union-attr]
    assert (CLIENT.host, SERVER.host) == (path.peer.host, path.local.host)
