"""Main Mode in both roles: the table, keys, duplicates, time, NAT traversal, refusals."""

import pytest

from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.core.tables import Row
from ferrule.crypto.suites import Cipher, Group, Hash
from ferrule.ike import main_mode
from ferrule.ike.effects import (
    IkeDropped,
    IkeFailed,
    InitialContact,
    IsakmpSaDown,
    IsakmpSaUp,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.header import HEADER_OCTETS, NO_COOKIE, parse_header
from ferrule.ike.iana import ExchangeType, Flag, NotifyType
from ferrule.ike.isakmp_sa import MainModeState
from ferrule.ike.main_mode import TABLE, MainModeMessage
from ferrule.ike.payloads import (
    KeyExchange,
    NatD,
    Nonce,
    Notification,
    Opaque,
    SecurityAssociation,
    VendorId,
    parse_payloads,
)
from ferrule.ike.policy import Phase1Transform, RawTransform
from ferrule.ike.vendor_ids import vendor_octets
from support.ike import (
    CLIENT,
    KEY,
    SERVER,
    Link,
    clear_message,
    endpoint,
    mirrored,
    open_wire,
    policy,
    stop_after,
    up,
)

OTHER_KEY = Secret(b"not the same")
S, M = MainModeState, MainModeMessage


def notify_kind(message: bytes) -> int:
    header = parse_header(message)
    assert header.exchange == ExchangeType.INFORMATIONAL
    assert not header.flags & Flag.ENCRYPTION
    return parse_payloads(header.next_payload, message[HEADER_OCTETS:]).first(Notification).kind


# --- the happy path ------------------------------------------------------------------------


@pytest.mark.parametrize("group", Group)
@pytest.mark.parametrize("cipher", [Cipher.AES256_CBC, Cipher.DES3_CBC])
def test_each_group(group: Group, cipher: Cipher) -> None:
    client = policy(offer_phase1=(Phase1Transform(cipher, Hash.SHA1, group),))
    link = up(client, policy(allow_modp1024=True), quick=False)
    assert link.client.only(IsakmpSaUp).suite == f"{cipher.value}-sha1-{group.name.lower()}"
    assert len(link.log) == 6


@pytest.mark.parametrize("algorithm", Hash)
@pytest.mark.parametrize(
    "cipher", [Cipher.AES128_CBC, Cipher.AES192_CBC, Cipher.AES256_CBC, Cipher.DES3_CBC]
)
def test_each_hash(algorithm: Hash, cipher: Cipher) -> None:
    client = policy(offer_phase1=(Phase1Transform(cipher, algorithm, Group.ECP256),))
    link = up(client, policy(allow_md5=True), quick=False)
    assert link.server.only(IsakmpSaUp).suite == f"{cipher.value}-{algorithm.value}-ecp256"


def test_up_says_who_and_how() -> None:
    link = up(quick=False)
    server = link.server.only(IsakmpSaUp)
    assert server.identity == CLIENT.host
    assert server.path == Path(Address(CLIENT.host, 4500), Address(SERVER.host, 4500), True)
    assert server.natt == "rfc3947"
    assert server.vendor_ids == ("rfc3947", "draft-03", "draft-02_n", "dpd")
    assert link.client.only(IsakmpSaUp).identity == SERVER.host
    assert link.server.only(InitialContact).isakmp_sa == server.isakmp_sa
    assert not link.server.of(IkeDropped)


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ("", SERVER.host),
        ("192.0.2.1", "192.0.2.1"),
        ("@vpn.example.org", "@vpn.example.org"),
        ("user@example.org", "user@example.org"),
        ("2001:db8::1", "2001:db8::1"),
        ("0.0.0.0", "@gateway"),
        ("::", "@gateway"),
    ],
)
def test_our_identity(identity: str, told: str) -> None:
    link = up(server=policy(identity=identity), quick=False)
    assert link.client.only(IsakmpSaUp).identity == told


def test_ike_on_the_natt_port_from_the_first_message() -> None:
    link = Link()
    link.connect(natt=True)
    assert link.server.only(IsakmpSaUp).path.natt
    assert all(path.natt for _, path, _ in link.log)


@pytest.mark.parametrize("floated", [2, 4])
def test_float_at_any_message(floated: int) -> None:
    """The client's messages come from the NAT-T port from the third or the fifth on."""
    link = Link(policy(offer_vendor_ids=("rfc3947",)))
    sent = [0]

    def shift(name: str, path: Path, message: bytes) -> list[tuple[Path, bytes]]:
        sent[0] += 1
        if name == "client" and sent[0] > floated:
            path = Path(Address(CLIENT.host, 40_123), Address(SERVER.host, 4500), True)
        return [(path, message)]

    link.filter = shift
    link.connect()
    assert link.server.only(IsakmpSaUp).path.peer == Address(CLIENT.host, 40_123)
    assert link.server.only(IsakmpSaUp).path.natt


def test_without_nat_traversal_the_client_stays_where_it_is() -> None:
    link = up(policy(offer_vendor_ids=()), quick=False)
    assert link.server.only(IsakmpSaUp).natt == "none"
    assert not link.server.only(IsakmpSaUp).path.natt


# --- keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [(KEY, OTHER_KEY), (OTHER_KEY, KEY)])
def test_both_keys_of_a_rotation_are_accepted(keys: tuple[Secret, ...]) -> None:
    link = up(server=policy(keys=keys), quick=True)
    assert len(link.server.of(IsakmpSaUp)) == 1


@pytest.mark.parametrize("keys", [(OTHER_KEY,), (OTHER_KEY, Secret(b"nor this"))])
def test_a_wrong_key_is_noticed_and_both_sides_learn_it(keys: tuple[Secret, ...]) -> None:
    link = up(server=policy(keys=keys), quick=False)
    failed = link.server.only(IkeFailed)
    assert failed.reason is Reason.WRONG_KEY
    assert failed.path.natt
    name, path, reply = link.log[-1]
    assert (name, path.natt) == ("server", True)
    assert notify_kind(reply) == NotifyType.AUTHENTICATION_FAILED
    assert len(reply) <= len(link.log[-2][2])
    link.advance(5)
    told = link.client.only(IkeFailed)
    assert told.reason is Reason.WRONG_KEY
    link.advance(60)
    assert len(link.server.of(IkeFailed)) == 1
    assert not link.server.ike.sas()
    assert not link.client.ike.sas()


def test_a_repeated_message_5_with_the_wrong_key_gets_the_same_answer() -> None:
    link = up(server=policy(keys=(OTHER_KEY,)), quick=False)
    _, path, fifth = link.log[-2]
    again = link.server.ike.receive(path, fifth, link.now + 1)
    assert again == [SendIke(mirrored(link.log[-1][1]), link.log[-1][2])]


def test_a_policy_change_counts_for_what_starts_later() -> None:
    link = Link()
    link.server.ike.policy = policy(keys=(OTHER_KEY,))
    link.connect()
    assert link.server.only(IkeFailed).reason is Reason.WRONG_KEY


# --- duplicates, loss, time ----------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_duplicate_gets_the_same_octets(index: int) -> None:
    link = Link()
    held = stop_after(link, index + 1)
    link.connect()
    name, path, message = link.log[index]
    assert name == "client"
    answer = link.server.ike.receive(path, message, link.now + 0.5)
    reply = held[0]
    assert reply[0] == "server"
    assert answer == [SendIke(mirrored(reply[1]), reply[2])]


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_replay_from_elsewhere_is_answered_where_the_first_one_came_from(index: int) -> None:
    link = Link()
    stop_after(link, index + 1)
    link.connect()
    _, path, message = link.log[index]
    elsewhere = path._replace(peer=Address("192.0.2.66", 4500))
    answer = link.server.ike.receive(elsewhere, message, link.now + 0.5)
    for effect in answer:
        if isinstance(effect, SendIke):
            # A first message from another address is another exchange.
            assert effect.path.peer == path.peer or index == 0
    if index:
        assert [type(effect) for effect in answer] == [SendIke]


@pytest.mark.parametrize("lost", range(6))
def test_each_single_loss_is_repaired(lost: int) -> None:
    link = Link()
    count = [0]

    def lose(_: str, path: Path, message: bytes) -> list[tuple[Path, bytes]]:
        count[0] += 1
        return [] if count[0] == lost + 1 else [(path, message)]

    link.filter = lose
    link.connect()
    link.advance(1.5)
    assert len(link.server.of(IsakmpSaUp)) == 1
    assert len(link.client.of(IsakmpSaUp)) == 1


def test_the_initiator_gives_up_and_says_so() -> None:
    link = Link()
    stop_after(link, 0)
    link.connect()
    link.advance(60)
    assert link.client.only(IkeFailed).reason is Reason.PHASE1_TIMEOUT
    assert [type(e) for e in link.client.effects].count(SendIke) == 5
    assert link.client.ike.deadline is None


@pytest.mark.parametrize(("arrived", "kind"), [(1, IkeDropped), (3, IkeFailed)])
def test_the_responder_forgets_a_half_open_exchange(arrived: int, kind: type) -> None:
    """Before message 3 nobody has shown that he is there: that is noise, not a failure."""
    link = Link()
    stop_after(link, arrived)
    link.connect()
    assert link.server.ike.sas()
    assert not link.server.of(IkeFailed)
    link.advance(31)
    assert link.server.only(kind).reason is Reason.PHASE1_TIMEOUT
    assert not link.server.ike.sas()
    link.advance(60)
    assert link.server.ike.deadline is None


def test_a_late_duplicate_of_message_1_makes_no_second_exchange() -> None:
    link = up(quick=False)
    _, path, first = link.log[0]
    effects = link.server.ike.receive(path, first, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert len(link.server.ike.sas()) == 1


def test_hard_expiry_tells_the_peer_and_leaves_the_ipsec_sas() -> None:
    link = up(policy(offer_ike_seconds=60), policy(dpd_seconds=0), quick=True)
    link.client.ike.policy = policy(dpd_seconds=0)
    link.clear()
    client_sa = link.client.ike.sas()[0]
    link.advance(69)
    assert not link.server.of(IsakmpSaDown)
    effects = link.server.ike.expire(link.now + 1)
    downs = [effect for effect in effects if isinstance(effect, IsakmpSaDown)]
    assert [(down.reason, down.with_ipsec_sas) for down in downs] == [
        (Reason.PHASE1_EXPIRED, False)
    ]
    link.run(link.server, effects)
    told = link.client.only(IsakmpSaDown)
    assert (told.isakmp_sa, told.reason) == (client_sa.isakmp_sa, Reason.PEER_CLOSED)
    assert not told.with_ipsec_sas
    assert not link.server.of(RemoveIpsecSa)


def test_our_shorter_lifetime_is_told() -> None:
    link = up(policy(offer_ike_seconds=86_400), policy(ike_life_seconds=600), quick=False)
    assert len(link.log) == 7
    assert link.log[-1][0] == "server"
    assert parse_header(link.log[-1][2]).exchange == ExchangeType.INFORMATIONAL
    link.advance(620)
    assert link.server.of(IsakmpSaDown)[0].reason is Reason.PHASE1_EXPIRED


# --- amplification, NAT-D ------------------------------------------------------------------


@pytest.mark.parametrize("vendor_ids", [(), ("rfc3947",), ("draft-02",), ("dpd",), ("xauth",)])
def test_message_2_is_no_longer_than_message_1(vendor_ids: tuple[str, ...]) -> None:
    transform = Phase1Transform(Cipher.AES128_CBC, Hash.SHA1, Group.MODP2048)
    link = up(policy(offer_phase1=(transform,), offer_vendor_ids=vendor_ids), quick=False)
    sizes = [len(message) for _, _, message in link.log]
    assert sizes[1] <= sizes[0]
    assert sizes[3] <= sizes[2]


def test_message_2_names_only_what_the_client_named() -> None:
    link = up(policy(offer_vendor_ids=("draft-02", "draft-03", "dpd")), quick=False)
    second = link.log[1][2]
    contents = parse_payloads(parse_header(second).next_payload, second[HEADER_OCTETS:])
    told = [payload.data for payload in contents.all(VendorId)]
    assert told == [vendor_octets("draft-03"), vendor_octets("dpd")]


@pytest.mark.parametrize(("vendor_id", "draft"), [("rfc3947", False), ("draft-03", True)])
def test_nat_d_rule(vendor_id: str, draft: bool) -> None:
    """What we say of ourselves is the client's own hash; of the client, nothing that matches."""
    link = up(policy(offer_vendor_ids=(vendor_id,)), quick=False)
    theirs, ours = (
        parse_payloads(parse_header(m).next_payload, m[HEADER_OCTETS:]).all(NatD)
        for m in (link.log[2][2], link.log[3][2])
    )
    assert len(theirs) == len(ours) == 2
    assert ours[1].data == theirs[0].data
    assert ours[0].data not in {payload.data for payload in theirs}
    assert len(ours[0].data) == len(theirs[0].data)
    assert {payload.draft for payload in theirs + ours} == {draft}


# --- refusals ------------------------------------------------------------------------------


def first_message(link: Link) -> tuple[Path, bytes]:
    stop_after(link, 0)
    link.connect()
    _, path, message = link.log[0]
    return path, message


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (RawTransform(1, ((1, 7), (14, 256), (2, 2), (3, 3), (4, 14))), Reason.AUTH_METHOD),
        (RawTransform(1, ((1, 7), (14, 256), (2, 2), (3, 65001), (4, 14))), Reason.XAUTH),
        (RawTransform(1, ((1, 1), (2, 2), (3, 1), (4, 14))), Reason.NO_PROPOSAL),
        (RawTransform(1, ((1, 7), (14, 256), (2, 2), (3, 1), (4, 2))), Reason.WEAK_GROUP),
        (RawTransform(1, ((1, 7), (14, 256), (2, 1), (3, 1), (4, 14))), Reason.WEAK_HASH),
        (RawTransform(1, ((1, 7), (14, 256), (2, 1), (3, 1), (4, 2))), Reason.WEAK_GROUP),
        (
            RawTransform(1, ((1, 7), (14, 256), (2, 2), (3, 1), (4, 14), (99, 1))),
            Reason.NO_PROPOSAL,
        ),
        (RawTransform(2, ((1, 7), (14, 256), (2, 2), (3, 1), (4, 14))), Reason.NO_PROPOSAL),
        (RawTransform(1, ((1, 7), (14, 64), (2, 2), (3, 1), (4, 14))), Reason.NO_PROPOSAL),
        (RawTransform(1, ((2, 2), (3, 1), (4, 14))), Reason.NO_PROPOSAL),
        (RawTransform(1, ((1, 7), (14, 256), (3, 1), (4, 14))), Reason.NO_PROPOSAL),
        (RawTransform(1, ()), Reason.NO_PROPOSAL),
    ],
)
def test_refusals_of_message_1(transform: RawTransform, reason: Reason) -> None:
    link = up(policy(offer_phase1=(transform,)), quick=False)
    failed = link.server.only(IkeFailed)
    assert failed.reason is reason
    assert failed.detail.startswith("offered: ")
    assert notify_kind(link.log[1][2]) == NotifyType.NO_PROPOSAL_CHOSEN
    assert len(link.log[1][2]) <= len(link.log[0][2])
    link.advance(3)
    assert link.client.only(IkeFailed).reason is Reason.PEER_NOTIFY


def test_a_repeated_refused_message_is_answered_but_reported_once() -> None:
    link = up(policy(offer_phase1=(RawTransform(1, ()),)), quick=False)
    _, path, message = link.log[0]
    again = link.server.ike.receive(path, message, link.now + 1)
    assert [type(effect) for effect in again] == [SendIke]


def test_aggressive_mode() -> None:
    path, message = first_message(Link())
    header = parse_header(message)
    aggressive = bytearray(message)
    aggressive[18] = ExchangeType.AGGRESSIVE
    effects = endpoint(9).receive(path, bytes(aggressive), 1.0)
    assert [type(effect) for effect in effects] == [SendIke, IkeFailed]
    assert effects[1].reason is Reason.AGGRESSIVE_MODE  # type: ignore[union-attr]
    reply = effects[0].message  # type: ignore[union-attr]
    assert notify_kind(reply) == NotifyType.NO_PROPOSAL_CHOSEN
    assert parse_header(reply).icookie == header.icookie
    assert len(reply) <= len(message)


def test_ikev2() -> None:
    path, message = first_message(Link())
    two = bytearray(message)
    two[17], two[18] = 0x20, 34
    ike = endpoint(9)
    effects = ike.receive(path, bytes(two), 1.0)
    assert [type(effect) for effect in effects] == [SendIke, IkeDropped]
    assert effects[1].reason is Reason.IKE_VERSION  # type: ignore[union-attr]
    assert notify_kind(effects[0].message) == NotifyType.INVALID_MAJOR_VERSION  # type: ignore[union-attr]
    two[8:16] = b"a cookie"
    effects = ike.receive(path, bytes(two), 1.0)
    assert [type(effect) for effect in effects] == [IkeDropped]


@pytest.mark.parametrize("exchange", [1, 3, 5, 6, 7, 32, 33, 34, 200, 255])
def test_other_exchanges_out_of_the_blue_are_dropped(exchange: int) -> None:
    path, message = first_message(Link())
    other = bytearray(message)
    other[18] = exchange
    effects = endpoint(9).receive(path, bytes(other), 1.0)
    assert [type(effect) for effect in effects] == [IkeDropped]
    expected = Reason.XAUTH if exchange == 6 else Reason.EXCHANGE_TYPE
    assert effects[0].reason is expected  # type: ignore[union-attr]


def test_no_reply_to_an_unknown_cookie() -> None:
    path, message = first_message(Link())
    effects = endpoint(9).receive(path, message[:8] + b"whatever" + message[16:], 1.0)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.UNKNOWN_COOKIE  # type: ignore[union-attr]


@pytest.mark.parametrize("octets", [0, 1, 27])
def test_what_is_shorter_than_a_header(octets: int) -> None:
    path, message = first_message(Link())
    effects = endpoint(9).receive(path, message[:octets], 1.0)
    assert effects[0].reason is Reason.NOT_IKE  # type: ignore[union-attr]


def _half_open(messages: int) -> tuple[Link, Path, bytes, bytes]:
    link = Link()
    stop_after(link, messages)
    link.connect()
    header = parse_header(link.log[1][2])
    return link, link.log[0][1], header.icookie, header.rcookie


@pytest.mark.parametrize(
    ("ke", "ni", "reason"),
    [
        (bytes(256), bytes(32), Reason.BAD_KEY_EXCHANGE),
        (b"\1" * 255, bytes(32), Reason.BAD_KEY_EXCHANGE),
        (b"\xff" * 256, bytes(32), Reason.BAD_KEY_EXCHANGE),
        (b"\1" * 256, bytes(7), Reason.BAD_NONCE),
        (b"\1" * 256, bytes(257), Reason.BAD_NONCE),
    ],
)
def test_refusals_of_message_3(ke: bytes, ni: bytes, reason: Reason) -> None:
    link, path, icookie, rcookie = _half_open(2)
    message = clear_message(icookie, rcookie, [KeyExchange(ke), Nonce(ni)])
    effects = link.server.ike.receive(path, message, link.now)
    assert [type(effect) for effect in effects] == [IkeFailed, SendIke]
    assert effects[0].reason is reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([KeyExchange(b"\1" * 256)], Reason.PAYLOAD_NOT_ALLOWED),
        ([Nonce(bytes(32))], Reason.PAYLOAD_NOT_ALLOWED),
        (
            [KeyExchange(b"\1" * 256), Nonce(bytes(32)), Nonce(bytes(32))],
            Reason.PAYLOAD_NOT_ALLOWED,
        ),
        (
            [KeyExchange(b"\1" * 256), Nonce(bytes(32)), SecurityAssociation([], b"")],
            Reason.IKE_MALFORMED,
        ),
        ([VendorId(b"x")], Reason.UNEXPECTED_MESSAGE),
        ([], Reason.UNEXPECTED_MESSAGE),
    ],
)
def test_what_is_no_message_3_is_dropped_and_the_exchange_goes_on(
    payloads: list[Opaque], reason: Reason
) -> None:
    link, path, icookie, rcookie = _half_open(2)
    message = clear_message(icookie, rcookie, payloads)  # type: ignore[arg-type]
    effects = link.server.ike.receive(path, message, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is reason  # type: ignore[union-attr]
    open_wire(link)
    link.advance(2)
    assert link.server.only(IsakmpSaUp)


def test_an_unauthenticated_refusal_ends_an_exchange_only_if_nothing_better_comes() -> None:
    link, path, icookie, rcookie = _half_open(2)
    note = Notification(1, 1, b"", NotifyType.NO_PROPOSAL_CHOSEN, b"")
    lie = clear_message(icookie, rcookie, [note], exchange=5, message_id=7)
    assert link.server.ike.receive(path, lie, link.now) == []
    assert link.client.ike.receive(mirrored(path), lie, link.now) == []
    open_wire(link)
    link.advance(1.5)
    assert link.server.only(IsakmpSaUp)
    assert link.client.only(IsakmpSaUp)
    assert not link.client.of(IkeFailed)


@pytest.mark.parametrize("kind", [NotifyType.INITIAL_CONTACT, NotifyType.R_U_THERE])
def test_a_status_in_the_clear_does_nothing(kind: NotifyType) -> None:
    link, path, icookie, rcookie = _half_open(2)
    note = Notification(1, 1, b"", kind, b"")
    message = clear_message(icookie, rcookie, [note], exchange=5, message_id=7)
    effects = link.server.ike.receive(path, message, link.now)
    assert effects[0].reason is Reason.UNENCRYPTED  # type: ignore[union-attr]


# --- the table, whole ----------------------------------------------------------------------

STOPS = {  # the side, and how many datagrams arrive; the next one is for it
    S.AWAIT_SA: ("client", 1),
    S.AWAIT_KE_R: ("server", 2),
    S.AWAIT_KE_I: ("client", 3),
    S.AWAIT_ID_R: ("server", 4),
    S.AWAIT_ID_I: ("client", 5),
    S.UP: ("server", 99),
}


@pytest.mark.parametrize("state", [s for s in S if s not in (S.IDLE, S.FAILED)])
@pytest.mark.parametrize("trigger", M)
def test_every_state_and_message(state: MainModeState, trigger: MainModeMessage) -> None:
    who, count = STOPS[state]
    whole = up(policy(offer_ike_seconds=1234), seed=3, quick=False)
    link = Link(seed=4)
    held = stop_after(link, count)
    link.connect()
    side = link.client if who == "client" else link.server
    assert [view.state for view in side.ike.sas()] == [state.value]
    row = TABLE.lookup(state, trigger)
    index = {M.SA: 1, M.KE: 3, M.ENCRYPTED: 5}.get(trigger, 1)
    if who == "server":
        index -= 1
    path = link.path(natt=state in (S.AWAIT_ID_R, S.UP, S.AWAIT_ID_I))
    if who == "server":
        path = mirrored(path)
    view = side.ike.sas()[0]
    before = view.state
    if isinstance(row, Row):
        _, path, message = held[0]
    else:
        # A message of another exchange with the cookies of this one.
        message = whole.log[index][2]
        if trigger is M.OTHER:
            message = clear_message(bytes(8), bytes(8), [VendorId(b"x")])
        cookies = next(m for _, _, m in reversed(link.log) if parse_header(m))[:16]
        message = cookies + message[16:]
    effects = side.ike.receive(path, message, link.now)
    after = side.ike.sas()[0].state
    if isinstance(row, Row):
        assert row.next is not None
        assert after == row.next.value
    else:
        assert [type(effect) for effect in effects] == [IkeDropped]
        assert after == before


def test_the_table_is_complete() -> None:
    for state in S:
        for trigger in M:
            assert TABLE.lookup(state, trigger) is not None
    assert {row.next for row in TABLE.rows} == set(S) - {S.IDLE, S.AWAIT_SA, S.FAILED}
    assert set(main_mode.REQUIRED) == set(main_mode.OPTIONAL)


def test_what_comes_in_the_clear_for_an_sa_that_is_up_is_dropped() -> None:
    link = up()
    _, path, third = link.log[2]
    effects = link.server.ike.receive(path, third, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is Reason.UNENCRYPTED  # type: ignore[union-attr]


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
