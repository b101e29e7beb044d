"""Quick Mode in both roles: the table, selectors, PFS, lifetimes, loss, rekeys, refusals."""

import pytest

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, Verdict
from ferrule.crypto.suites import Cipher, EspSuite, Group, Integrity
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeDropped,
    IkeFailed,
    InstallIpsecSa,
    IsakmpSaUp,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.endpoint import IkeEndpoint
from ferrule.ike.iana import EncapsulationMode, Flag, IdType, Phase2Attribute
from ferrule.ike.isakmp_sa import QuickModeState
from ferrule.ike.payloads import Identification
from ferrule.ike.phase2 import check_selectors
from ferrule.ike.policy import RawTransform, default_phase2
from ferrule.ike.quick_mode import TABLE, QuickModeMessage
from support.ike import (
    CLIENT,
    SERVER,
    Link,
    mirrored,
    open_wire,
    policy,
    stop_after,
    up,
)

S, M = QuickModeState, QuickModeMessage
AES_SHA1 = EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96)


def keys_agree(link: Link) -> None:
    client, server = link.client.of(InstallIpsecSa)[-1], link.server.of(InstallIpsecSa)[-1]
    assert client.inbound_spi == server.outbound_spi
    assert client.outbound_spi == server.inbound_spi
    assert client.inbound_key.reveal() == server.outbound_key.reveal()
    assert client.outbound_key.reveal() == server.inbound_key.reveal()


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


def test_the_operators_order_decides() -> None:
    offered = (AES_SHA1, EspSuite(Cipher.AES256_GCM16, None), EspSuite(Cipher.AES128_GCM16, None))
    wanted = (EspSuite(Cipher.AES128_GCM16, None), AES_SHA1)
    for each in (False, True):
        link = up(policy(offer_phase2=offered, offer_proposal_each=each), policy(phase2=wanted))
        assert link.server.only(InstallIpsecSa).suite == wanted[0]
        keys_agree(link)


def test_the_inbound_side_works_before_message_2_goes_out() -> None:
    link = up()
    kinds = [type(effect) for effect in link.server.effects]
    assert kinds[-3:] == [InstallIpsecSa, SendIke, ActivateIpsecSa]
    kinds = [type(effect) for effect in link.client.effects]
    assert kinds[-3:] == [InstallIpsecSa, SendIke, ActivateIpsecSa]


# --- selectors and NAT-OA ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "peer", "identification", "ports"),
    [
        (1701, 1701, "", (1701, 1701)),
        (0, 1701, "", (1701, 0)),
        (0, 0, "", (0, 0)),
        (53_712, 1701, "10.0.0.9", (1701, 53_712)),
        (1701, 1701, "@old-windows", (1701, 1701)),
        (1701, 1701, "fe80::1", (1701, 1701)),
    ],
)
def test_selectors(local: int, peer: int, identification: str, ports: tuple[int, int]) -> None:
    link = up(
        policy(offer_local_port=local, offer_peer_port=peer, offer_identification=identification)
    )
    installed = link.server.only(InstallIpsecSa)
    assert (installed.local_port, installed.peer_port) == ports
    theirs = link.client.only(InstallIpsecSa)
    assert (theirs.peer_port, theirs.local_port) == ports


def test_no_selectors_at_all() -> None:
    link = up(policy(offer_ids=False))
    installed = link.server.only(InstallIpsecSa)
    assert (installed.local_port, installed.peer_port) == (0, 0)


GOOD = Identification(IdType.IPV4_ADDR, 17, 1701, bytes(4))


@pytest.mark.parametrize(
    ("own", "accepted"),
    [
        (Identification(IdType.IPV4_ADDR, 17, 1701, bytes(4)), True),
        (Identification(IdType.IPV4_ADDR, 0, 0, bytes(4)), True),
        (Identification(IdType.IPV4_ADDR_SUBNET, 17, 1701, bytes(4) + b"\xff" * 4), True),
        (Identification(IdType.IPV6_ADDR, 17, 1701, bytes(16)), True),
        (Identification(IdType.IPV6_ADDR_SUBNET, 17, 1701, bytes(16) + b"\xff" * 16), True),
        (Identification(IdType.FQDN, 17, 1701, b"vpn"), True),
        (Identification(IdType.IPV4_ADDR, 6, 1701, bytes(4)), False),
        (Identification(IdType.IPV4_ADDR, 17, 53, bytes(4)), False),
        (Identification(IdType.IPV4_ADDR, 17, 1701, bytes(5)), False),
        (Identification(IdType.IPV4_ADDR_SUBNET, 17, 1701, bytes(8)), False),
        (Identification(IdType.IPV4_ADDR_SUBNET, 0, 0, bytes(4) + b"\xff\xff\xff\0"), False),
        (Identification(IdType.IPV4_ADDR_RANGE, 17, 1701, bytes(8)), False),
        (Identification(IdType.KEY_ID, 17, 1701, b"x"), False),
        (Identification(77, 17, 1701, b""), False),
    ],
)
def test_which_selectors_are_l2tp(own: Identification, accepted: bool) -> None:
    if accepted:
        check_selectors(own, GOOD)
        return
    with pytest.raises(ProtocolError) as caught:
        check_selectors(own, GOOD)
    assert caught.value.reason is Reason.TRAFFIC_SELECTOR


@pytest.mark.parametrize("version", ["rfc3947", "draft-03"])
def test_nat_oa_is_answered_in_kind(version: str) -> None:
    link = up(policy(offer_nat_oa=True, offer_vendor_ids=(version,)))
    plain = up(policy(offer_vendor_ids=(version,)))
    assert len(link.log[7][2]) >= len(plain.log[7][2]) + 16
    keys_agree(link)


# --- lifetimes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "limit", "counts"),
    [(3600, 28_800, 3600), (300, 28_800, 300), (60, 3600, 60), (86_400, 3600, 3600)],
)
def test_the_shorter_lifetime_wins(offered: int, limit: int, counts: int) -> None:
    link = up(policy(offer_esp_seconds=offered), policy(esp_life_seconds=limit))
    assert link.server.only(InstallIpsecSa).life_seconds == counts
    assert link.client.only(InstallIpsecSa).life_seconds == counts  # RESPONDER-LIFETIME


def test_kilobytes() -> None:
    link = up(policy(offer_esp_kilobytes=250_000))
    assert link.server.only(InstallIpsecSa).life_octets == 256_000_000
    assert up().server.only(InstallIpsecSa).life_octets == 0


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


def test_message_2_is_repeated_and_then_given_up() -> None:
    link = up(server=policy(dpd_seconds=0), quick=False)
    stop_after(link, 1)
    link.quick()
    link.advance(60)
    assert link.server.only(IkeFailed).reason is Reason.PHASE2_TIMEOUT
    assert link.server.only(RemoveIpsecSa).reason is Reason.PHASE2_TIMEOUT
    second = [m for name, _, m in link.log[6:] if name == "server"]
    assert len(second) >= 4
    assert len(set(second[:4])) == 1
    assert link.client.of(IkeFailed)[0].reason is Reason.PHASE2_TIMEOUT


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


@pytest.mark.parametrize("pfs", [None, Group.ECP256])
@pytest.mark.parametrize("port", [1701, 53_712, 0])
def test_rekey_by_us(pfs: Group | None, port: int) -> None:
    link = up(policy(offer_pfs=pfs, offer_local_port=port))
    old, old_client = link.server.only(InstallIpsecSa), link.client.only(InstallIpsecSa)
    link.run(link.server, link.server.ike.rekey_ipsec_sa(old.inbound_spi, link.now))
    new = link.server.of(InstallIpsecSa)[-1]
    assert link.server.of(ActivateIpsecSa)[-1].replaces == old.inbound_spi
    assert (new.suite, new.local_port, new.peer_port) == (old.suite, 1701, port)
    assert new.life_seconds == old.life_seconds
    assert new.inbound_key.reveal() != old.inbound_key.reveal()
    if port == 1701:  # the client's selector checks are those of a server
        assert link.client.of(ActivateIpsecSa)[-1].replaces == old_client.inbound_spi
    keys_agree(link)
    assert link.server.ike.rekey_ipsec_sa(99, link.now) == []  # type: ignore[arg-type]


def test_too_many_ipsec_sas_push_out_the_oldest() -> None:
    link = up(server=policy(ipsec_sas_max=3))
    first = link.server.only(InstallIpsecSa).inbound_spi
    for _ in range(3):
        link.quick()
    removed = link.server.only(RemoveIpsecSa)
    assert (removed.inbound_spi, removed.reason) == (first, Reason.PHASE2_LIMIT)
    assert link.client.only(RemoveIpsecSa).reason is Reason.PEER_CLOSED


def test_too_many_unfinished_ones_are_refused() -> None:
    link = up(quick=False)
    number = link.client.only(IsakmpSaUp).isakmp_sa
    for _ in range(5):
        for effect in link.client.ike.establish_ipsec_sa(number, link.now):
            assert isinstance(effect, SendIke)
            link.server.effects += link.server.ike.receive(
                mirrored(effect.path), effect.message, link.now
            )
    assert len(link.server.of(InstallIpsecSa)) == 4
    assert link.server.only(IkeFailed).reason is Reason.PHASE2_LIMIT


# --- refusals ------------------------------------------------------------------------------

TUNNEL = RawTransform(12, ((4, EncapsulationMode.UDP_TUNNEL), (5, 2), (6, 128)))


@pytest.mark.parametrize(
    ("offer", "reason", "named"),
    [
        ({"offer_phase2": (TUNNEL,)}, Reason.ENCAPSULATION, "aes_cbc128-hmac_sha1 udp_tunnel"),
        (
            {"offer_phase2": (RawTransform(12, ((4, 1), (5, 2), (6, 128))),)},
            Reason.ENCAPSULATION,
            "tunnel",
        ),
        ({"offer_phase2": (RawTransform(2, ((4, 4), (5, 2))),)}, Reason.NO_PHASE2_PROPOSAL, "des-"),
        (
            {"offer_phase2": (RawTransform(12, ((4, 4), (5, 2), (6, 128), (11, 1))),)},
            Reason.NO_PHASE2_PROPOSAL,
            "aes_cbc128",
        ),
        (
            {"offer_phase2": (RawTransform(12, ((4, 4), (6, 128))),)},
            Reason.NO_PHASE2_PROPOSAL,
            "aes_cbc128",
        ),
        (
            {"offer_phase2": (RawTransform(20, ((4, 4), (5, 2), (6, 128))),)},
            Reason.NO_PHASE2_PROPOSAL,
            "aes_gcm_16128",
        ),
        (
            {"offer_phase2": (EspSuite(Cipher.AES128_CBC, Integrity.HMAC_MD5_96),)},
            Reason.NO_PHASE2_PROPOSAL,
            "hmac_md5",
        ),
        ({"offer_peer_port": 53}, Reason.TRAFFIC_SELECTOR, "port 53"),
    ],
)
def test_refusals(offer: dict[str, object], reason: Reason, named: str) -> None:
    link = up(policy(**offer))
    failed = link.server.only(IkeFailed)
    assert failed.reason is reason
    assert named in failed.detail
    told = link.client.only(IkeFailed)
    assert told.reason is Reason.PEER_NOTIFY
    assert not link.server.of(InstallIpsecSa)
    _, path, first = link.log[6]
    again = link.server.ike.receive(path, first, link.now)
    assert again == [SendIke(mirrored(link.log[7][1]), link.log[7][2])]


@pytest.mark.parametrize(
    "mode",
    [
        EncapsulationMode.TRANSPORT,
        EncapsulationMode.UDP_TRANSPORT,
        EncapsulationMode.UDP_TRANSPORT_DRAFT,
        None,
    ],
)
def test_all_names_of_transport_mode(mode: EncapsulationMode | None) -> None:
    attributes = ((5, 2), (6, 256))
    if mode is not None:
        attributes = ((Phase2Attribute.ENCAPSULATION_MODE, mode), *attributes)
    link = up(policy(offer_phase2=(RawTransform(12, attributes),)))
    assert link.server.only(InstallIpsecSa).udp_encapsulated
    keys_agree(link)


def test_esp_without_udp_is_refused_unless_the_operator_wants_it() -> None:
    link = up(policy(offer_vendor_ids=()))
    assert link.server.only(IkeFailed).reason is Reason.ENCAPSULATION
    link = up(policy(offer_vendor_ids=()), policy(plain_esp=True))
    assert not link.server.only(InstallIpsecSa).udp_encapsulated


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
