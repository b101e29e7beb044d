"""Quick Mode as responder: choice, selectors, lifetimes, refusals."""

import pytest

from ferrule.core.reasons import Reason
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.ike.effects import (
    IkeFailed,
    InstallIpsecSa,
    IsakmpSaUp,
    SendIke,
)
from ferrule.ike.iana import EncapsulationMode, Phase2Attribute
from ferrule.ike.policy import RawTransform
from support.ike import keys_agree, mirrored, policy, up

AES_SHA1 = EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96)


TUNNEL = RawTransform(12, ((4, EncapsulationMode.UDP_TUNNEL), (5, 2), (6, 128)))


def test_the_operators_order_decides() -> None:
    offered = (AES_SHA1, EspSuite(Cipher.AES256_GCM16, None), EspSuite(Cipher.AES128_GCM16, None))
    wanted = (EspSuite(Cipher.AES128_GCM16, None), AES_SHA1)
    for each in (False, True):
        link = up(policy(offer_phase2=offered, offer_proposal_each=each), policy(phase2=wanted))
        assert link.server.only(InstallIpsecSa).suite == wanted[0]
        keys_agree(link)


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


@pytest.mark.parametrize("version", ["rfc3947", "draft-03"])
def test_nat_oa_is_answered_in_kind(version: str) -> None:
    link = up(policy(offer_nat_oa=True, offer_vendor_ids=(version,)))
    plain = up(policy(offer_vendor_ids=(version,)))
    assert len(link.log[7][2]) >= len(plain.log[7][2]) + 16
    keys_agree(link)


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
