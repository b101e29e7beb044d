"""Identification payloads as text and back, RFC 2407 4.6.2.

As text an identity is "192.0.2.5" or "2001:db8::5", "@name" (FQDN), "user@name", "dn:..." or
"key:..." (hexadecimal). The text is a key of comparisons and goes to the log, so it is printable.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ike.iana import IdType
from ferrule.ike.payloads import Identification

TEXT_OCTETS_MAX: Final = 255
OPAQUE_OCTETS_MAX: Final = 1024
FALLBACK_FQDN: Final = "gateway"


def _bad(detail: str) -> ProtocolError:
    return ProtocolError(Reason.BAD_IDENTITY, detail)


def _name(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    if not 0 < len(data) <= TEXT_OCTETS_MAX or not text.isprintable():
        raise _bad("a name that is empty, too long or not printable")
    return text


def identity_text(payload: Identification) -> str:
    """Raises ProtocolError(BAD_IDENTITY)."""
    data = payload.data
    match payload.kind:
        case IdType.IPV4_ADDR if len(data) == 4:
            return str(IPv4Address(data))
        case IdType.IPV6_ADDR if len(data) == 16:
            return str(IPv6Address(data))
        case IdType.FQDN:
            return f"@{_name(data)}"
        case IdType.USER_FQDN:
            return _name(data)
        case IdType.DER_ASN1_DN | IdType.DER_ASN1_GN if 0 < len(data) <= OPAQUE_OCTETS_MAX:
            return f"dn:{data.hex()}"
        case IdType.KEY_ID if 0 < len(data) <= OPAQUE_OCTETS_MAX:
            return f"key:{data.hex()}"
    raise _bad(f"identification type {payload.kind} of {len(data)} octets")


def address_identification(host: str, protocol: int = 0, port: int = 0) -> Identification:
    """ID_IPV4_ADDR or ID_IPV6_ADDR of an address in text form."""
    address = ip_address(host.partition("%")[0])
    kind = IdType.IPV4_ADDR if address.version == 4 else IdType.IPV6_ADDR
    return Identification(kind, protocol, port, address.packed)


def own_identification(identity: str, local_host: str) -> Identification:
    """Who we are in phase 1: `identity` as configured, or the address that the packet came to.

    QUIRK(libreswan): an identity of 0.0.0.0 is refused, so an unspecified address becomes a name.
    """
    text = identity or local_host
    if text.startswith("@"):
        return Identification(IdType.FQDN, 0, 0, text[1:].encode())
    try:
        payload = address_identification(text)
    except ValueError:
        kind = IdType.USER_FQDN if "@" in text else IdType.FQDN
        return Identification(kind, 0, 0, text.encode())
    if not any(payload.data):
        return Identification(IdType.FQDN, 0, 0, FALLBACK_FQDN.encode())
    return payload
