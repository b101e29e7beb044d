"""Identification payloads as text and back."""

import pytest

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ike.iana import IdType
from ferrule.ike.identity import identity_text, own_identification
from ferrule.ike.payloads import (
    Identification,
)


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
