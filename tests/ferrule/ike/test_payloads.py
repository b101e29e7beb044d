"""Headers, payload chains, proposals, attributes, identities, vendor ids: octets both ways."""

import pytest

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Cookie
from ferrule.core.reasons import Reason
from ferrule.ike.attributes import UNREADABLE, build_attributes, parse_attributes
from ferrule.ike.header import build_message, parse_header
from ferrule.ike.iana import IdType, notify_name
from ferrule.ike.identity import identity_text, own_identification
from ferrule.ike.payloads import (
    Identification,
    NatD,
    Nonce,
    Payload,
    build_payloads,
    parse_payloads,
)
from ferrule.ike.proposals import build_proposals, parse_proposals
from ferrule.ike.vendor_ids import VENDOR_IDS, vendor_name, vendor_names, vendor_octets
from support.ike_samples import PAYLOADS, PROPOSALS


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda p: type(p).__name__)
def test_each_payload_both_ways(payload: Payload) -> None:
    first, octets = build_payloads([payload])
    contents = parse_payloads(first, octets)
    assert contents.payloads == [payload]
    assert contents.first_end == contents.end == len(octets)


def test_a_chain() -> None:
    first, octets = build_payloads(PAYLOADS)
    contents = parse_payloads(first, octets + bytes(3))
    assert contents.payloads == PAYLOADS
    assert contents.end == len(octets)
    assert contents.all(NatD) == [NatD(b"one"), NatD(b"two", draft=True)]
    assert contents.first(Nonce) == Nonce(b"nonce")
    assert build_payloads([]) == (0, b"")
    assert parse_payloads(0, b"").payloads == []


def test_a_payload_that_is_missing() -> None:
    with pytest.raises(Malformed) as caught:
        parse_payloads(0, b"").first(Nonce)
    assert caught.value.reason is Reason.PAYLOAD_NOT_ALLOWED


@pytest.mark.parametrize(
    ("first", "octets"),
    [
        (10, b""),
        (10, b"\0\0\0"),
        (10, b"\0\0\0\3"),  # shorter than its header
        (10, b"\0\0\0\6x"),  # longer than the message
        (10, b"\0\1\0\5x"),  # reserved octet
        (10, b"\n\0\0\5x"),  # another one is announced
        (10, b"\0\0\0\5x" + bytes(4)),  # too much padding
        (15, b"\0\0\0\5x"),  # unknown type
        (132, b"\0\0\0\5x"),
        (11, b"\0\0\0\14\0\0\0\1\1\4\0\1"),  # SPI cut off
        (12, b"\0\0\0\14\0\0\0\1\3\4\0\1"),
        (12, b"\0\0\0\14\0\0\0\1\3\0\0\1"),  # SPI of no octets
        (12, b"\0\0\0\20\0\0\0\1\3\4\0\0abcd"),  # octets that no SPI claims
        (12, b"\0\0\0\14\0\0\0\1\3\4\xff\xff"),
        (5, b"\0\0\0\6\1\0"),
        (21, b"\0\0\0\6\1\0"),
        (1, b"\0\0\0\14\0\0\0\1\0\0\0\1"),  # no proposal
    ],
)
def test_chains_that_do_not_parse(first: int, octets: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_payloads(first, octets)
    assert caught.value.reason is Reason.IKE_MALFORMED


def test_no_more_than_64_payloads() -> None:
    first, octets = build_payloads([Nonce(b"")] * 64)
    assert len(parse_payloads(first, octets).payloads) == 64
    first, octets = build_payloads([Nonce(b"")] * 65)
    with pytest.raises(Malformed):
        parse_payloads(first, octets)


# --- header --------------------------------------------------------------------------------


def test_header() -> None:
    message = build_message(Cookie(b"initiate"), Cookie(b"respond."), 5, 2, 1, 7, b"body")
    header = parse_header(message + b"trailer")
    assert (header.icookie, header.rcookie) == (b"initiate", b"respond.")
    assert (header.next_payload, header.version, header.exchange) == (5, 0x10, 2)
    assert (header.flags, header.message_id, header.length) == (1, 7, 32)
    assert header.major_version == 1


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(28),
        b"\1" * 24 + (27).to_bytes(4, "big"),
        b"\1" * 24 + (29).to_bytes(4, "big"),
    ],
)
def test_what_is_no_header(message: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_header(message)
    assert caught.value.reason is Reason.NOT_IKE


# --- proposals and attributes --------------------------------------------------------------


def test_proposals_both_ways() -> None:
    octets = build_proposals(PROPOSALS)
    assert parse_proposals(octets) == PROPOSALS


@pytest.mark.parametrize("cut", range(len(build_proposals(PROPOSALS))))
def test_proposals_cut_off(cut: int) -> None:
    with pytest.raises(Malformed):
        parse_proposals(build_proposals(PROPOSALS)[:cut])


@pytest.mark.parametrize(
    ("at", "value"), [(3, 9), (7, 2), (3, 0), (7, 0)], ids=["doi", "situation", "doi0", "sit0"]
)
def test_foreign_doi_or_situation(at: int, value: int) -> None:
    octets = bytearray(build_proposals(PROPOSALS))
    octets[at] = value
    with pytest.raises(Malformed) as caught:
        parse_proposals(bytes(octets))
    assert caught.value.reason is Reason.CRITICAL_PAYLOAD


@pytest.mark.parametrize("at", [8, 10, 11, 14, 15, 16, 18, 19])
def test_proposals_that_lie(at: int) -> None:
    """Next payload, lengths, SPI size, number of transforms, each in proposal and transform."""
    octets = bytearray(build_proposals(PROPOSALS))
    octets[at] ^= 0x55
    with pytest.raises(Malformed):
        parse_proposals(bytes(octets))


def test_attributes() -> None:
    wire = bytes.fromhex("80010007 000c0004 00015180 000d0002 1234 00060009 010203040506070809")
    parsed = parse_attributes(wire)
    assert parsed == ((1, 7), (12, 86_400), (13, 0x1234), (6, UNREADABLE))
    assert build_attributes(parsed[:2]) == wire[:12]
    assert parse_attributes(b"") == ()


@pytest.mark.parametrize(
    "wire", ["80", "8001", "800100", "000c0004000151", "000cffff", "80010001" * 25]
)
def test_attributes_that_do_not_parse(wire: str) -> None:
    with pytest.raises(Malformed):
        parse_attributes(bytes.fromhex(wire))


# --- identities ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (IdType.IPV4_ADDR, b"\xc0\xa8\1\5", "192.168.1.5"),
        (IdType.IPV6_ADDR, bytes(15) + b"\1", "::1"),
        (IdType.FQDN, b"client.example", "@client.example"),
        (IdType.USER_FQDN, b"me@example", "me@example"),
        (IdType.DER_ASN1_DN, b"\x30\0", "dn:3000"),
        (IdType.KEY_ID, b"group", "key:67726f7570"),
    ],
)
def test_identity_as_text(kind: int, data: bytes, text: str) -> None:
    assert identity_text(Identification(kind, 0, 0, data)) == text


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (IdType.IPV4_ADDR, b"\1\2\3"),
        (IdType.IPV6_ADDR, bytes(4)),
        (IdType.FQDN, b""),
        (IdType.FQDN, b"x" * 256),
        (IdType.FQDN, b"line\nfeed"),
        (IdType.USER_FQDN, b"\x1b[31m"),
        (IdType.KEY_ID, b""),
        (IdType.KEY_ID, b"x" * 1025),
        (IdType.IPV4_ADDR_RANGE, bytes(8)),
        (0, b""),
        (200, b"x"),
    ],
)
def test_identities_that_cannot_be_used(kind: int, data: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        identity_text(Identification(kind, 0, 0, data))
    assert caught.value.reason is Reason.BAD_IDENTITY


@pytest.mark.parametrize(
    ("identity", "text"),
    [("", "192.0.2.7"), ("198.51.100.1", "198.51.100.1"), ("@gw.example", "@gw.example")],
)
def test_own_identity(identity: str, text: str) -> None:
    assert identity_text(own_identification(identity, "192.0.2.7")) == text


# --- vendor ids and names ------------------------------------------------------------------


def test_vendor_ids() -> None:
    assert len({row.octets for row in VENDOR_IDS}) == len(VENDOR_IDS)
    for row in VENDOR_IDS:
        assert vendor_name(row.octets) == row.name
        assert vendor_name(vendor_octets(row.name)) == row.name
        assert (vendor_name(row.octets + b"\0\0\0\1") == row.name) == row.prefix
    assert vendor_name(b"nobody knows") is None
    assert vendor_octets("dpd").hex() == "afcad71368a1f1c96b8696fc77570100"
    twice = [vendor_octets("dpd"), b"?", vendor_octets("rfc3947"), vendor_octets("dpd")]
    assert vendor_names(twice) == ("dpd", "rfc3947")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RFC 3947", "rfc3947"),
        ("draft-ietf-ipsec-nat-t-ike-03", "draft-03"),
        ("draft-ietf-ipsec-nat-t-ike-02\n", "draft-02_n"),
        ("draft-ietf-ipsec-nat-t-ike-02", "draft-02"),
        ("draft-ietf-ipsec-nat-t-ike", "natt-draft"),
        ("draft-ietf-ipsec-nat-t-ike-08", "natt-draft-08"),
        ("FRAGMENTATION", "fragmentation"),
        ("MS NT5 ISAKMPOAKLEY", "windows"),
        ("Vid-Initial-Contact", "windows-initial-contact"),
        ("MS-Negotiation Discovery Capable", "windows-negotiation-discovery"),
        ("IKE CGA version 1", "windows-cga"),
        ("MS-MamieExists", "windows-mamie-exists"),
        ("strongSwan", "strongswan"),
        ("KAME/racoon", "racoon"),
    ],
)
def test_vendor_ids_are_hashes_of_their_texts(text: str, name: str) -> None:
    from ferrule.crypto.hashes import digest
    from ferrule.crypto.suites import Hash

    assert vendor_name(digest(Hash.MD5, text.encode())) == name


def test_names_of_notifications() -> None:
    assert notify_name(14) == "NO-PROPOSAL-CHOSEN"
    assert notify_name(36_136) == "R-U-THERE"
    assert notify_name(9999) == "9999"
