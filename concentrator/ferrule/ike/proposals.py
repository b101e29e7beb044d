"""The SA payload's inside: proposals and transforms, RFC 2408 3.4 to 3.6, RFC 2407 4.6.1.

Here is the wire format only. What is acceptable is decided by `ferrule.ike.choice`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ike.attributes import Attribute, build_attributes, parse_attributes
from ferrule.ike.iana import DOI_IPSEC, SITUATION_IDENTITY_ONLY, PayloadType

_PROPOSAL_HEAD: Final = struct.Struct("!BBHBBBB")
_TRANSFORM_HEAD: Final = struct.Struct("!BBHBBH")
_SITUATION: Final = struct.Struct("!II")
PROPOSALS_MAX: Final = 64
TRANSFORMS_MAX: Final = 512  # of all proposals: strongSwan's default list has about 150
SPI_OCTETS_MAX: Final = 16


@dataclass(slots=True)
class Transform:
    """`raw` is the attributes' wire form: a responder returns them as they came (RFC 2409 5)."""

    number: int
    transform_id: int
    attributes: tuple[Attribute, ...]
    raw: bytes


@dataclass(slots=True)
class Proposal:
    """Proposals of one number belong together (and), those of different numbers are choices."""

    number: int
    protocol: int
    spi: bytes
    transforms: list[Transform]


def offer(transform_id: int, attributes: tuple[Attribute, ...], number: int = 1) -> Transform:
    """A transform of our own making."""
    return Transform(number, transform_id, attributes, build_attributes(attributes))


def _malformed(detail: str) -> Malformed:
    return Malformed(Reason.IKE_MALFORMED, detail)


def _parse_transforms(octets: bytes, count: int) -> list[Transform]:
    transforms: list[Transform] = []
    at, end, more = 0, len(octets), count > 0
    while more:
        if end - at < _TRANSFORM_HEAD.size:
            raise _malformed("a transform is cut off")
        following, _, length, number, transform_id, _ = _TRANSFORM_HEAD.unpack_from(octets, at)
        if not _TRANSFORM_HEAD.size <= length <= end - at:
            raise _malformed("a transform's length")
        if following not in (PayloadType.NONE, PayloadType.TRANSFORM):
            raise _malformed("a transform is followed by something else")
        raw = octets[at + _TRANSFORM_HEAD.size : at + length]
        transforms.append(Transform(number, transform_id, parse_attributes(raw), raw))
        at += length
        more = following == PayloadType.TRANSFORM
    if at != end or len(transforms) != count:
        raise _malformed("the number of transforms")
    return transforms


def parse_proposals(body: bytes) -> list[Proposal]:
    """`body` is the SA payload without its generic header.

    Raises Malformed(IKE_MALFORMED), or Malformed(CRITICAL_PAYLOAD) for a foreign DOI or situation.
    """
    if len(body) < _SITUATION.size:
        raise _malformed("an SA payload is cut off")
    doi, situation = _SITUATION.unpack_from(body)
    if doi != DOI_IPSEC or situation != SITUATION_IDENTITY_ONLY:
        raise Malformed(Reason.CRITICAL_PAYLOAD, f"DOI {doi}, situation {situation}")
    proposals: list[Proposal] = []
    at, end, left = _SITUATION.size, len(body), TRANSFORMS_MAX
    more = True
    while more:
        if end - at < _PROPOSAL_HEAD.size or len(proposals) == PROPOSALS_MAX:
            raise _malformed("a proposal is cut off, or one too many")
        following, _, length, number, protocol, spi_size, count = _PROPOSAL_HEAD.unpack_from(
            body, at
        )
        first = at + _PROPOSAL_HEAD.size + spi_size
        left -= count
        if first > at + length or length > end - at or spi_size > SPI_OCTETS_MAX or left < 0:
            raise _malformed("a proposal's length")
        if following not in (PayloadType.NONE, PayloadType.PROPOSAL):
            raise _malformed("a proposal is followed by something else")
        spi = body[first - spi_size : first]
        transforms = _parse_transforms(body[first : at + length], count)
        proposals.append(Proposal(number, protocol, spi, transforms))
        at += length
        more = following == PayloadType.PROPOSAL
    if at != end:
        raise _malformed("octets after the last proposal")
    return proposals


def build_proposals(proposals: list[Proposal]) -> bytes:
    """The SA payload's body."""
    parts = [_SITUATION.pack(DOI_IPSEC, SITUATION_IDENTITY_ONLY)]
    for index, proposal in enumerate(proposals, 1):
        following = PayloadType.NONE if index == len(proposals) else PayloadType.PROPOSAL
        inside = _build_transforms(proposal.transforms)
        spi = proposal.spi
        length = _PROPOSAL_HEAD.size + len(spi) + len(inside)
        parts.append(
            _PROPOSAL_HEAD.pack(
                following,
                0,
                length,
                proposal.number,
                proposal.protocol,
                len(spi),
                len(proposal.transforms),
            )
        )
        parts += (spi, inside)
    return b"".join(parts)


def _build_transforms(transforms: list[Transform]) -> bytes:
    parts = []
    for index, transform in enumerate(transforms, 1):
        following = PayloadType.NONE if index == len(transforms) else PayloadType.TRANSFORM
        length = _TRANSFORM_HEAD.size + len(transform.raw)
        parts.append(
            _TRANSFORM_HEAD.pack(following, 0, length, transform.number, transform.transform_id, 0)
        )
        parts.append(transform.raw)
    return b"".join(parts)
