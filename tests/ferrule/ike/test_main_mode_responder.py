"""Main Mode as responder: keys, identity, floating, amplification, refusals of message 3."""

import pytest

from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, Group, Hash
from ferrule.ike.effects import (
    IkeDropped,
    IkeFailed,
    InitialContact,
    IsakmpSaDown,
    IsakmpSaUp,
    SendIke,
)
from ferrule.ike.header import HEADER_OCTETS, parse_header
from ferrule.ike.iana import ExchangeType, NotifyType
from ferrule.ike.payloads import (
    KeyExchange,
    Nonce,
    VendorId,
    parse_payloads,
)
from ferrule.ike.policy import Phase1Transform
from ferrule.ike.vendor_ids import vendor_octets
from support.ike import (
    CLIENT,
    KEY,
    OTHER_KEY,
    SERVER,
    Link,
    clear_message,
    half_open,
    mirrored,
    notify_kind,
    policy,
    up,
)


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


def test_our_shorter_lifetime_is_told() -> None:
    link = up(policy(offer_ike_seconds=86_400), policy(ike_life_seconds=600), quick=False)
    assert len(link.log) == 7
    assert link.log[-1][0] == "server"
    assert parse_header(link.log[-1][2]).exchange == ExchangeType.INFORMATIONAL
    link.advance(620)
    assert link.server.of(IsakmpSaDown)[0].reason is Reason.PHASE1_EXPIRED


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
    link, path, icookie, rcookie = half_open(2)
    message = clear_message(icookie, rcookie, [KeyExchange(ke), Nonce(ni)])
    effects = link.server.ike.receive(path, message, link.now)
    assert [type(effect) for effect in effects] == [IkeFailed, SendIke]
    assert effects[0].reason is reason  # type: ignore[union-attr]
