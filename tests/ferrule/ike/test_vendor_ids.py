"""Vendor ids."""

import pytest

from ferrule.ike.vendor_ids import VENDOR_IDS, vendor_name, vendor_names, vendor_octets


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
