"""NAT traversal: versions, NAT-D both ways, encapsulation modes."""

import pytest

from ferrule.core.ids import Address, Cookie
from ferrule.crypto.suites import Hash
from ferrule.ike.header import HEADER_OCTETS, parse_header
from ferrule.ike.iana import EncapsulationMode
from ferrule.ike.natt import (
    choose_version,
    initiator_nat_d,
    nat_d_hash,
    responder_nat_d,
    transport_mode,
)
from ferrule.ike.payloads import (
    NatD,
    parse_payloads,
)
from support.ike import (
    policy,
    up,
)


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


def test_the_hash_of_an_address() -> None:
    """Of strongSwan's log: natd_chunk and natd_hash of a set-up with SHA2-256."""
    icookie = Cookie(bytes.fromhex("34eaf1dd538efd34"))
    rcookie = Cookie(bytes.fromhex("bac0e3c07b11a481"))
    value = nat_d_hash(Hash.SHA2_256, icookie, rcookie, Address("10.77.0.2", 500))
    assert value.hex() == "4fa231320847c9ecdda1bef61f7f6fd4625d7f50ccd17e7ebf039ef15145266d"
    six = nat_d_hash(Hash.SHA1, icookie, rcookie, Address("fe80::1%eth0", 500))
    assert six == nat_d_hash(Hash.SHA1, icookie, rcookie, Address("fe80::1", 500))


@pytest.mark.parametrize(
    ("names", "version"),
    [
        ((), "none"),
        (("dpd", "natt-draft-00"), "none"),
        (("draft-02", "draft-02_n"), "draft-02_n"),
        (("draft-02", "draft-03", "draft-02_n"), "draft-03"),
        (("draft-03", "rfc3947"), "rfc3947"),
    ],
)
def test_the_best_version(names: tuple[str, ...], version: str) -> None:
    assert choose_version(names) == version


@pytest.mark.parametrize(
    ("version", "udp", "mode"),
    [
        ("rfc3947", True, EncapsulationMode.UDP_TRANSPORT),
        ("draft-02", True, EncapsulationMode.UDP_TRANSPORT_DRAFT),
        ("none", True, EncapsulationMode.UDP_TRANSPORT),
        ("rfc3947", False, EncapsulationMode.TRANSPORT),
    ],
)
def test_transport_mode(version: str, udp: bool, mode: EncapsulationMode) -> None:
    assert transport_mode(version, udp=udp) is mode


def test_no_nat_d_without_nat_traversal() -> None:
    assert responder_nat_d(Hash.SHA1, "none", [NatD(bytes(20))], bytes) == []
    assert responder_nat_d(Hash.SHA1, "rfc3947", [], bytes) == []
    cookie = Cookie(bytes(8))
    assert initiator_nat_d(Hash.SHA1, "none", cookie, cookie, Address("::1", 1), bytes) == []


def test_the_initiator_tells_the_truth_about_the_server_only() -> None:
    cookie, server = Cookie(bytes(8)), Address("192.0.2.1", 500)
    told = initiator_nat_d(Hash.SHA1, "draft-02", cookie, cookie, server, lambda n: b"x" * n)
    assert told == [
        NatD(nat_d_hash(Hash.SHA1, cookie, cookie, server), draft=True),
        NatD(b"x" * 20, draft=True),
    ]
