"""Main Mode in both roles: the table, keys, duplicates, time, NAT traversal, refusals."""

import pytest

from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row
from ferrule.crypto.suites import Cipher, Group, Hash
from ferrule.ike import main_mode
from ferrule.ike.effects import (
    IkeDropped,
    IkeFailed,
    IsakmpSaDown,
    IsakmpSaUp,
    RemoveIpsecSa,
    SendIke,
)
from ferrule.ike.header import parse_header
from ferrule.ike.iana import NotifyType
from ferrule.ike.isakmp_sa import MainModeState
from ferrule.ike.main_mode import TABLE, MainModeMessage
from ferrule.ike.payloads import (
    KeyExchange,
    Nonce,
    Notification,
    Opaque,
    SecurityAssociation,
    VendorId,
)
from ferrule.ike.policy import Phase1Transform, RawTransform
from support.ike import (
    Link,
    clear_message,
    half_open,
    mirrored,
    notify_kind,
    open_wire,
    policy,
    stop_after,
    up,
)

S, M = MainModeState, MainModeMessage


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


# --- amplification, NAT-D ------------------------------------------------------------------


# --- refusals ------------------------------------------------------------------------------


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
    link, path, icookie, rcookie = half_open(2)
    message = clear_message(icookie, rcookie, payloads)  # type: ignore[arg-type]
    effects = link.server.ike.receive(path, message, link.now)
    assert [type(effect) for effect in effects] == [IkeDropped]
    assert effects[0].reason is reason  # type: ignore[union-attr]
    open_wire(link)
    link.advance(2)
    assert link.server.only(IsakmpSaUp)


def test_an_unauthenticated_refusal_ends_an_exchange_only_if_nothing_better_comes() -> None:
    link, path, icookie, rcookie = half_open(2)
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
    link, path, icookie, rcookie = half_open(2)
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
