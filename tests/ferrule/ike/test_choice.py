"""Choosing among offers: the operator's order, what is skipped, and what a refusal names."""

import pytest

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.ike.attributes import Attribute
from ferrule.ike.choice import (
    DETAIL_OFFERS_MAX,
    choose_phase1,
    choose_phase2,
    read_lifetime,
    read_suite,
)
from ferrule.ike.policy import Phase1Transform
from ferrule.ike.proposals import Proposal, Transform, offer
from support.ike import policy

AES256_SHA1_2048: tuple[Attribute, ...] = ((1, 7), (14, 256), (2, 2), (3, 1), (4, 14))
AES128_SHA1_2048: tuple[Attribute, ...] = ((1, 7), (14, 128), (2, 2), (3, 1), (4, 14))
ESP_AES128_SHA1: tuple[Attribute, ...] = ((4, 4), (5, 2), (6, 128))
ESP_AES256_SHA1: tuple[Attribute, ...] = ((4, 4), (5, 2), (6, 256))


def one(*attributes: tuple[Attribute, ...]) -> list[Proposal]:
    return [Proposal(1, 1, b"", [offer(1, a, n) for n, a in enumerate(attributes, 1)])]


def esp(*rows: tuple[int, tuple[Attribute, ...]], number: int = 1) -> Proposal:
    transforms = [offer(identifier, a, n) for n, (identifier, a) in enumerate(rows, 1)]
    return Proposal(number, 3, b"\1\2\3\4", transforms)


# --- phase 1 ---


def test_the_operators_order_decides() -> None:
    offers = one(AES128_SHA1_2048, AES256_SHA1_2048)
    assert choose_phase1(offers, policy()).chosen.number == 2
    mine = (
        Phase1Transform(Cipher.AES128_CBC, Hash.SHA1, Group.MODP2048),
        Phase1Transform(Cipher.AES256_CBC, Hash.SHA1, Group.MODP2048),
    )
    choice = choose_phase1(offers, policy(phase1=mine))
    assert choice.chosen.number == 1
    assert choice.transform == mine[0]
    assert choice.chosen is offers[0].transforms[0]


@pytest.mark.parametrize(
    ("attributes", "cipher"),
    [
        (((1, 7), (2, 2), (3, 1), (4, 14)), Cipher.AES128_CBC),  # no key length
        (((1, 7), (14, 192), (2, 2), (3, 1), (4, 14)), Cipher.AES192_CBC),
        (((1, 5), (2, 2), (3, 1), (4, 14)), Cipher.DES3_CBC),
    ],
)
def test_ciphers(attributes: tuple[Attribute, ...], cipher: Cipher) -> None:
    assert choose_phase1(one(attributes), policy()).cipher is cipher


@pytest.mark.parametrize(
    "poor",
    [
        ((1, 7), (14, 256), (3, 1), (4, 14)),  # no hash: ChromeOS
        ((2, 2), (3, 1), (4, 14)),  # no cipher
        ((1, 7), (14, 256), (2, 2), (3, 1)),  # no group
        ((1, 7), (14, 256), (2, 2), (4, 14)),  # no method
        ((1, 7), (14, 257), (2, 2), (3, 1), (4, 14)),
        ((1, 7), (14, 256), (2, 3), (3, 1), (4, 14)),
        ((1, 7), (14, 256), (2, 2), (3, 1), (4, 24)),
        ((1, 7), (14, 256), (2, 2), (3, 1), (4, 14), (13, 1)),  # another prf
        ((1, 7), (14, 256), (2, 2), (3, 1), (5, 1), (6, -1)),  # a group of its own making
    ],
)
def test_what_lacks_or_has_too_much_is_skipped(poor: tuple[Attribute, ...]) -> None:
    transforms = [Transform(1, 1, poor, b""), offer(1, AES128_SHA1_2048, 2)]
    choice = choose_phase1([Proposal(1, 1, b"", transforms)], policy())
    assert choice.chosen.number == 2


def test_another_protocol_is_no_phase_1_proposal() -> None:
    with pytest.raises(ProtocolError) as caught:
        choose_phase1([Proposal(1, 3, b"", [offer(1, AES128_SHA1_2048)])], policy())
    assert caught.value.reason is Reason.NO_PROPOSAL
    assert caught.value.detail == "offered: nothing"


def test_several_proposals() -> None:
    first = Proposal(1, 1, b"", [offer(1, AES128_SHA1_2048)])
    second = Proposal(2, 1, b"", [offer(1, AES256_SHA1_2048)])
    assert choose_phase1([first, second], policy()).proposal is second


@pytest.mark.parametrize(
    ("weak", "rules", "reason"),
    [
        (((1, 7), (2, 2), (3, 1), (4, 2)), {}, Reason.WEAK_GROUP),
        (((1, 7), (2, 1), (3, 1), (4, 14)), {}, Reason.WEAK_HASH),
        (((1, 7), (2, 1), (3, 1), (4, 2)), {}, Reason.WEAK_GROUP),
        (((1, 7), (2, 1), (3, 1), (4, 2)), {"allow_modp1024": True}, Reason.WEAK_HASH),
        (((1, 7), (2, 1), (3, 1), (4, 2)), {"allow_md5": True}, Reason.WEAK_GROUP),
        (((1, 1), (2, 2), (3, 1), (4, 2)), {}, Reason.NO_PROPOSAL),  # DES too
        (((1, 7), (2, 2), (3, 3), (4, 2)), {}, Reason.AUTH_METHOD),
        (((1, 7), (2, 2), (3, 65_001), (4, 14)), {}, Reason.XAUTH),
    ],
)
def test_refusals_name_the_cause(
    weak: tuple[Attribute, ...], rules: dict[str, object], reason: Reason
) -> None:
    with pytest.raises(ProtocolError) as caught:
        choose_phase1(one(weak), policy(**rules))
    assert caught.value.reason is reason


def test_a_long_list_is_cut_in_the_log() -> None:
    offers = one(*(((1, 7), (14, 1000 + n), (2, 2), (3, 1), (4, 14)) for n in range(100)))
    with pytest.raises(ProtocolError) as caught:
        choose_phase1(offers, policy())
    assert caught.value.detail.count("aes_cbc") == DETAIL_OFFERS_MAX
    assert caught.value.detail.endswith(f"and {100 - DETAIL_OFFERS_MAX} more")


@pytest.mark.parametrize(
    ("attributes", "seconds", "kilobytes"),
    [
        ((), None, 0),
        (((11, 1), (12, 3600)), 3600, 0),
        (((11, 2), (12, 250_000)), None, 250_000),
        (((11, 1), (12, 3600), (11, 2), (12, 250_000)), 3600, 250_000),
        (((11, 1), (12, 3600), (11, 1), (12, 60)), 60, 0),
        (((12, 600),), 600, 0),
        (((11, 1), (12, 0)), None, 0),
        (((11, 1), (12, -1)), None, 0),
    ],
)
def test_lifetimes(attributes: tuple[Attribute, ...], seconds: int | None, kilobytes: int) -> None:
    lifetime = read_lifetime(attributes, 11, 12)
    assert (lifetime.seconds, lifetime.kilobytes) == (seconds, kilobytes)


def test_the_default_lifetime() -> None:
    assert choose_phase1(one(AES128_SHA1_2048), policy()).seconds == 28_800


# --- phase 2 ---


def test_proposals_with_company_are_skipped() -> None:
    """ESP together with AH or IPComp under one number is no ESP alone (RFC 2408 4.2)."""
    bundle = [esp((12, ESP_AES256_SHA1)), Proposal(1, 2, b"\1\2\3\4", [offer(3, ((5, 2),))])]
    alone = esp((12, ESP_AES128_SHA1), number=2)
    choice = choose_phase2([*bundle, alone], policy(), ke_present=False)
    assert choice.proposal is alone
    with pytest.raises(ProtocolError) as caught:
        choose_phase2(bundle, policy(), ke_present=False)
    assert caught.value.reason is Reason.NO_PHASE2_PROPOSAL
    assert "ah 3" in caught.value.detail


@pytest.mark.parametrize("spi", [b"", b"\1\2\3", b"\0\0\0\xff", bytes(4), bytes(16)])
def test_spis_that_cannot_be(spi: bytes) -> None:
    proposal = Proposal(1, 3, spi, [offer(12, ESP_AES128_SHA1)])
    with pytest.raises(ProtocolError):
        choose_phase2([proposal], policy(), ke_present=False)


@pytest.mark.parametrize(
    ("group", "ke_present", "accepted"),
    [
        (None, False, True),
        (14, True, True),
        (None, True, False),
        (14, False, False),
        (24, True, False),
    ],
)
def test_pfs_and_ke_go_together(group: int | None, ke_present: bool, accepted: bool) -> None:
    attributes = ESP_AES128_SHA1 + (((3, group),) if group is not None else ())
    proposals = [esp((12, attributes))]
    if accepted:
        choice = choose_phase2(proposals, policy(), ke_present)
        assert choice.group is (Group.MODP2048 if group else None)
    else:
        with pytest.raises(ProtocolError):
            choose_phase2(proposals, policy(), ke_present)


@pytest.mark.parametrize(
    ("identifier", "attributes", "suite"),
    [
        (3, ((5, 2),), EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA1_96)),
        (12, ((5, 5),), EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA2_256_128)),
        (12, ((5, 7), (6, 256)), EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_512_256)),
        (20, ((6, 256),), EspSuite(Cipher.AES256_GCM16, None)),
        (18, ((6, 128),), EspSuite(Cipher.AES128_GCM8, None)),
        (20, (), None),  # RFC 4106 8.3: the key length is a must
        (20, ((6, 128), (5, 2)), None),
        (12, ((6, 128),), None),
        (12, ((5, 2), (6, 64)), None),
        (2, ((5, 2),), None),
        (11, ((5, 2),), None),
    ],
)
def test_suites(identifier: int, attributes: tuple[Attribute, ...], suite: EspSuite | None) -> None:
    assert read_suite(offer(identifier, attributes)) == suite
