"""Payloads, RFC 2408 3.2 to 3.16, RFC 2407 4.6, RFC 3947: one dataclass each, one table.

A chain is first cut along its generic headers, then each body is parsed by its row. Unknown
payload types are refused (RFC 2408 5.3). SA payloads keep their body, which HASH_I covers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar

from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ike.iana import DOI_IPSEC, PayloadType
from ferrule.ike.proposals import Proposal, build_proposals, parse_proposals

_GENERIC: Final = struct.Struct("!BBH")
GENERIC_OCTETS: Final = 4
PAYLOADS_MAX: Final = 64
SPIS_MAX: Final = 256
CLEAR_PADDING_MAX: Final = 3


@dataclass(slots=True)
class SecurityAssociation:
    """RFC 2408 3.4. `body` is the payload without its generic header (SAi_b)."""

    proposals: list[Proposal]
    body: bytes


@dataclass(slots=True)
class KeyExchange:
    """RFC 2408 3.7."""

    data: bytes


@dataclass(slots=True)
class Nonce:
    """RFC 2408 3.13."""

    data: bytes


@dataclass(slots=True)
class Identification:
    """RFC 2407 4.6.2. `data` is the identity itself."""

    kind: int
    protocol: int
    port: int
    data: bytes


@dataclass(slots=True)
class HashPayload:
    """RFC 2408 3.11."""

    data: bytes


@dataclass(slots=True)
class Notification:
    """RFC 2408 3.14."""

    doi: int
    protocol: int
    spi: bytes
    kind: int
    data: bytes


@dataclass(slots=True)
class Delete:
    """RFC 2408 3.15."""

    doi: int
    protocol: int
    spis: tuple[bytes, ...]


@dataclass(slots=True)
class VendorId:
    """RFC 2408 3.16."""

    data: bytes


@dataclass(slots=True)
class NatD:
    """RFC 3947 3.2: the hash of an address and port. `draft` tells the payload's number."""

    data: bytes
    draft: bool = False


@dataclass(slots=True)
class NatOa:
    """RFC 3947 5.2: an original address."""

    kind: int
    data: bytes
    draft: bool = False


@dataclass(slots=True)
class Opaque:
    """A payload that is recognised and not looked into: certificates, signatures, Mode Config."""

    kind: int
    data: bytes


Payload: TypeAlias = (
    SecurityAssociation
    | KeyExchange
    | Nonce
    | Identification
    | HashPayload
    | Notification
    | Delete
    | VendorId
    | NatD
    | NatOa
    | Opaque
)
P = TypeVar("P")


def _parse_sa(body: bytes) -> SecurityAssociation:
    return SecurityAssociation(parse_proposals(body), body)


def _parse_identification(body: bytes) -> Identification:
    reader = Reader(body, Reason.IKE_MALFORMED)
    return Identification(reader.u8(), reader.u8(), reader.u16(), reader.rest())


def _parse_notification(body: bytes) -> Notification:
    reader = Reader(body, Reason.IKE_MALFORMED)
    doi, protocol, spi_size, kind = reader.u32(), reader.u8(), reader.u8(), reader.u16()
    return Notification(doi, protocol, reader.take(spi_size), kind, reader.rest())


def _parse_delete(body: bytes) -> Delete:
    reader = Reader(body, Reason.IKE_MALFORMED)
    doi, protocol, spi_size, count = reader.u32(), reader.u8(), reader.u8(), reader.u16()
    if count > SPIS_MAX or not spi_size:
        raise Malformed(Reason.IKE_MALFORMED, f"Delete of {count} SPIs of {spi_size} octets")
    spis = tuple(reader.take(spi_size) for _ in range(count))
    reader.finish()
    return Delete(doi, protocol, spis)


def _parse_nat_oa(body: bytes, draft: bool) -> NatOa:
    reader = Reader(body, Reason.IKE_MALFORMED)
    kind = reader.u8()
    reader.take(3)
    return NatOa(kind, reader.rest(), draft)


def _opaque(kind: PayloadType) -> Callable[[bytes], Payload]:
    return lambda body: Opaque(kind, body)


PARSERS: Final[Mapping[int, Callable[[bytes], Payload]]] = MappingProxyType(
    {
        PayloadType.SA: _parse_sa,
        PayloadType.KEY_EXCHANGE: KeyExchange,
        PayloadType.IDENTIFICATION: _parse_identification,
        PayloadType.CERTIFICATE: _opaque(PayloadType.CERTIFICATE),
        PayloadType.CERTIFICATE_REQUEST: _opaque(PayloadType.CERTIFICATE_REQUEST),
        PayloadType.HASH: HashPayload,
        PayloadType.SIGNATURE: _opaque(PayloadType.SIGNATURE),
        PayloadType.NONCE: Nonce,
        PayloadType.NOTIFICATION: _parse_notification,
        PayloadType.DELETE: _parse_delete,
        PayloadType.VENDOR_ID: VendorId,
        PayloadType.ATTRIBUTES: _opaque(PayloadType.ATTRIBUTES),
        PayloadType.NAT_D: NatD,
        PayloadType.NAT_OA: lambda body: _parse_nat_oa(body, draft=False),
        PayloadType.NAT_D_DRAFT: lambda body: NatD(body, draft=True),
        PayloadType.NAT_OA_DRAFT: lambda body: _parse_nat_oa(body, draft=True),
    }
)


@dataclass(slots=True)
class Contents:
    """The payloads of one message. `first_end` is the offset behind the first payload and `end`
    that behind the last: HASH(1) and HASH(2) cover what lies between (RFC 2409 5.5)."""

    payloads: list[Payload]
    first_end: int
    end: int

    def all(self, kind: type[P]) -> list[P]:
        """The payloads of one class, in the order of the message."""
        return [payload for payload in self.payloads if isinstance(payload, kind)]

    def first(self, kind: type[P]) -> P:
        """Raises Malformed(PAYLOAD_NOT_ALLOWED) if there is none."""
        for payload in self.payloads:
            if isinstance(payload, kind):
                return payload
        raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, f"{kind.__name__} is missing")


def parse_payloads(first: int, octets: bytes, *, padding_max: int = CLEAR_PADDING_MAX) -> Contents:
    """The chain that starts with a payload of type `first`.

    QUIRK(libreswan): messages in the clear are padded to a multiple of four octets too.
    Raises Malformed.
    """
    payloads: list[Payload] = []
    at, end, first_end = 0, len(octets), 0
    kind = first
    while kind:
        if end - at < GENERIC_OCTETS or len(payloads) == PAYLOADS_MAX:
            raise Malformed(Reason.IKE_MALFORMED, "a payload is cut off, or one too many")
        following, reserved, length = _GENERIC.unpack_from(octets, at)
        if reserved or not GENERIC_OCTETS <= length <= end - at:
            raise Malformed(Reason.IKE_MALFORMED, "a payload's length or reserved octet")
        parser = PARSERS.get(kind)
        if parser is None:
            raise Malformed(Reason.IKE_MALFORMED, f"payload type {kind}")
        payloads.append(parser(octets[at + GENERIC_OCTETS : at + length]))
        at += length
        first_end = first_end or at
        kind = following
    if end - at > padding_max:
        raise Malformed(Reason.IKE_MALFORMED, f"{end - at} octets after the last payload")
    return Contents(payloads, first_end, at)


def body_of(payload: Payload) -> tuple[int, bytes]:
    """The payload's type and its octets without the generic header."""
    match payload:
        case SecurityAssociation(_, body):
            return PayloadType.SA, body
        case KeyExchange(data):
            return PayloadType.KEY_EXCHANGE, data
        case Nonce(data):
            return PayloadType.NONCE, data
        case Identification():
            return PayloadType.IDENTIFICATION, identification_body(payload)
        case HashPayload(data):
            return PayloadType.HASH, data
        case Notification(doi, protocol, spi, kind, data):
            head = struct.pack("!IBBH", doi, protocol, len(spi), kind)
            return PayloadType.NOTIFICATION, head + spi + data
        case Delete(doi, protocol, spis):
            head = struct.pack("!IBBH", doi, protocol, len(spis[0]), len(spis))
            return PayloadType.DELETE, head + b"".join(spis)
        case VendorId(data):
            return PayloadType.VENDOR_ID, data
        case NatD(data, draft):
            return PayloadType.NAT_D_DRAFT if draft else PayloadType.NAT_D, data
        case NatOa(kind, data, draft):
            head = bytes((kind, 0, 0, 0))
            return PayloadType.NAT_OA_DRAFT if draft else PayloadType.NAT_OA, head + data
        case Opaque(kind, data):
            return kind, data


def identification_body(payload: Identification) -> bytes:
    """IDii_b, IDir_b: the payload without its generic header."""
    return struct.pack("!BBH", payload.kind, payload.protocol, payload.port) + payload.data


def security_association(proposals: list[Proposal]) -> SecurityAssociation:
    """An SA payload of our own making."""
    return SecurityAssociation(proposals, build_proposals(proposals))


def notification(
    kind: int, *, protocol: int, spi: bytes = b"", data: bytes = b"", doi: int = DOI_IPSEC
) -> Notification:
    """A Notification of our own making."""
    return Notification(doi, protocol, spi, kind, data)


def build_payloads(payloads: Iterable[Payload]) -> tuple[int, bytes]:
    """The type of the first payload, and the chain."""
    bodies = [body_of(payload) for payload in payloads]
    parts: list[bytes] = []
    following = 0
    for kind, body in reversed(bodies):
        parts += (body, _GENERIC.pack(following, 0, GENERIC_OCTETS + len(body)))
        following = kind
    return following, b"".join(reversed(parts))
