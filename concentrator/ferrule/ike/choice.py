"""Choosing among the peer's transforms: the operator's order decides, not the peer's.

Transforms that lack something or hold what we do not know are skipped. If nothing is left, the
refusal names the most useful reason: only the group is weak, only the hash is, and so on.
RFC 2409 appendix A (phase 1), RFC 2407 4.5 and RFC 3602, 4106, 4868 (phase 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.ike.attributes import Attribute
from ferrule.ike.iana import (
    KEY_IKE,
    AuthenticationAlgorithm,
    AuthenticationMethod,
    EncapsulationMode,
    EncryptionAlgorithm,
    EspTransform,
    HashAlgorithm,
    LifeType,
    Phase1Attribute,
    Phase2Attribute,
    ProtocolId,
)
from ferrule.ike.natt import TRANSPORT_MODES
from ferrule.ike.policy import WEAK_GROUPS, WEAK_HASHES, IkePolicy, Phase1Transform
from ferrule.ike.proposals import Proposal, Transform

DEFAULT_LIFE_SECONDS: Final = 28_800  # RFC 2407 4.5.3; the same for phase 1 by custom
KILOBYTE: Final = 1024
LIFE_OCTETS_MAX: Final = (1 << 63) - 1
DETAIL_OFFERS_MAX: Final = 24

PHASE1_CIPHERS: Final[dict[tuple[int, int], Cipher]] = {
    (EncryptionAlgorithm.DES3_CBC, 0): Cipher.DES3_CBC,
    (EncryptionAlgorithm.AES_CBC, 0): Cipher.AES128_CBC,  # RFC 3602 5.3: the default length
    (EncryptionAlgorithm.AES_CBC, 128): Cipher.AES128_CBC,
    (EncryptionAlgorithm.AES_CBC, 192): Cipher.AES192_CBC,
    (EncryptionAlgorithm.AES_CBC, 256): Cipher.AES256_CBC,
}
PHASE1_HASHES: Final[dict[int, Hash]] = {
    HashAlgorithm.MD5: Hash.MD5,
    HashAlgorithm.SHA1: Hash.SHA1,
    HashAlgorithm.SHA2_256: Hash.SHA2_256,
    HashAlgorithm.SHA2_384: Hash.SHA2_384,
    HashAlgorithm.SHA2_512: Hash.SHA2_512,
}
GROUPS: Final = {group.value: group for group in Group}
_ESP_CBC: Final[dict[tuple[int, int], Cipher]] = {
    (EspTransform.DES3, 0): Cipher.DES3_CBC,
    (EspTransform.AES_CBC, 0): Cipher.AES128_CBC,
    (EspTransform.AES_CBC, 128): Cipher.AES128_CBC,
    (EspTransform.AES_CBC, 192): Cipher.AES192_CBC,
    (EspTransform.AES_CBC, 256): Cipher.AES256_CBC,
}
_ESP_GCM: Final[dict[tuple[int, int], Cipher]] = {
    (transform, bits): Cipher(f"aes{bits}gcm{tag}")
    for transform, tag in (
        (EspTransform.AES_GCM_8, 8),
        (EspTransform.AES_GCM_12, 12),
        (EspTransform.AES_GCM_16, 16),
    )
    for bits in (128, 192, 256)
}
ESP_CIPHERS: Final = _ESP_CBC | _ESP_GCM
ESP_INTEGRITIES: Final[dict[int, Integrity]] = {
    AuthenticationAlgorithm.HMAC_MD5: Integrity.HMAC_MD5_96,
    AuthenticationAlgorithm.HMAC_SHA1: Integrity.HMAC_SHA1_96,
    AuthenticationAlgorithm.HMAC_SHA2_256: Integrity.HMAC_SHA2_256_128,
    AuthenticationAlgorithm.HMAC_SHA2_384: Integrity.HMAC_SHA2_384_192,
    AuthenticationAlgorithm.HMAC_SHA2_512: Integrity.HMAC_SHA2_512_256,
}
_XAUTH_METHODS: Final = range(65001, 65011)
_PHASE1_KNOWN: Final = frozenset(Phase1Attribute)
_PHASE2_KNOWN: Final = frozenset(Phase2Attribute)


@dataclass(slots=True)
class Lifetime:
    """As proposed; None and 0 stand for "not said"."""

    seconds: int | None = None
    kilobytes: int = 0


def read_lifetime(attributes: tuple[Attribute, ...], life_type: int, duration: int) -> Lifetime:
    """Pairs of life type and life duration, in order; the shorter of two of a kind counts."""
    lifetime = Lifetime()
    kind = LifeType.SECONDS  # where a peer forgets the type
    for name, value in attributes:
        if name == life_type:
            kind = LifeType.KILOBYTES if value == LifeType.KILOBYTES else LifeType.SECONDS
        elif name == duration and value > 0:
            if kind is LifeType.SECONDS:
                lifetime.seconds = min(value, lifetime.seconds or value)
            else:
                lifetime.kilobytes = min(value, lifetime.kilobytes or value)
    return lifetime


def _named(table: type, value: int) -> str:
    try:
        return str(table(value).name).lower()
    except ValueError:
        return str(value)


# --- phase 1 -------------------------------------------------------------------------------


@dataclass(slots=True)
class Phase1Choice:
    """`chosen` with the attributes as they came; `proposal` is the one that holds it."""

    transform: Phase1Transform
    cipher: Cipher
    hash: Hash
    proposal: Proposal
    chosen: Transform
    seconds: int


@dataclass(slots=True)
class _Phase1Offer:
    cipher: Cipher | None
    hash: Hash | None
    group: Group | None
    method: int
    known: bool  # no attribute that we do not understand


def _read_phase1(transform: Transform) -> _Phase1Offer:
    values = dict(transform.attributes)
    return _Phase1Offer(
        cipher=PHASE1_CIPHERS.get(
            (
                values.get(Phase1Attribute.ENCRYPTION_ALGORITHM, 0),
                values.get(Phase1Attribute.KEY_LENGTH, 0),
            )
        ),
        hash=PHASE1_HASHES.get(values.get(Phase1Attribute.HASH_ALGORITHM, 0)),
        group=GROUPS.get(values.get(Phase1Attribute.GROUP_DESCRIPTION, 0)),
        method=values.get(Phase1Attribute.AUTHENTICATION_METHOD, 0),
        known=transform.transform_id == KEY_IKE and _PHASE1_KNOWN.issuperset(values),
    )


def choose_phase1(proposals: list[Proposal], policy: IkePolicy) -> Phase1Choice:
    """Raises ProtocolError with NO_PROPOSAL, WEAK_GROUP, WEAK_HASH, AUTH_METHOD or XAUTH."""
    ranks = policy.phase1_rank
    best: Phase1Choice | None = None
    best_rank = len(ranks)
    for proposal in proposals:
        if proposal.protocol != ProtocolId.ISAKMP:
            continue
        for transform in proposal.transforms:
            offer = _read_phase1(transform)
            if (
                not offer.known
                or offer.method != AuthenticationMethod.PRE_SHARED_KEY
                or offer.cipher is None
                or offer.hash is None
                or offer.group is None
            ):
                continue
            candidate = Phase1Transform(offer.cipher, offer.hash, offer.group)
            rank = ranks.get(candidate, best_rank)
            if rank < best_rank:
                best_rank = rank
                best = Phase1Choice(candidate, offer.cipher, offer.hash, proposal, transform, 0)
    if best is None:
        raise _phase1_refusal(proposals, policy)
    lifetime = read_lifetime(
        best.chosen.attributes, Phase1Attribute.LIFE_TYPE, Phase1Attribute.LIFE_DURATION
    )
    best.seconds = lifetime.seconds or DEFAULT_LIFE_SECONDS
    return best


def _describe_phase1(transform: Transform) -> str:
    values = dict(transform.attributes)
    encryption = values.get(Phase1Attribute.ENCRYPTION_ALGORITHM)
    algorithm = values.get(Phase1Attribute.HASH_ALGORITHM)
    group = values.get(Phase1Attribute.GROUP_DESCRIPTION)
    length = values.get(Phase1Attribute.KEY_LENGTH)
    parts = [
        "none" if encryption is None else _named(EncryptionAlgorithm, encryption),
        "none" if algorithm is None else _named(HashAlgorithm, algorithm),
        "none" if group is None else _named(Group, group),
    ]
    if length:
        parts[0] += str(length)
    method = values.get(Phase1Attribute.AUTHENTICATION_METHOD, 0)
    if method != AuthenticationMethod.PRE_SHARED_KEY:
        parts.append(_named(AuthenticationMethod, method))
    return "-".join(parts)


def _phase1_refusal(proposals: list[Proposal], policy: IkePolicy) -> ProtocolError:
    transforms = [
        transform
        for proposal in proposals
        if proposal.protocol == ProtocolId.ISAKMP
        for transform in proposal.transforms
    ]
    offers = [_read_phase1(transform) for transform in transforms]
    psk = [o for o in offers if o.method == AuthenticationMethod.PRE_SHARED_KEY and o.known]
    reason = Reason.NO_PROPOSAL
    if offers and not psk:
        xauth = any(offer.method in _XAUTH_METHODS for offer in offers)
        other = any(o.method not in (0, AuthenticationMethod.PRE_SHARED_KEY) for o in offers)
        reason = Reason.XAUTH if xauth else Reason.AUTH_METHOD if other else Reason.NO_PROPOSAL
    else:
        allowed = policy.phase1_rank
        ciphers = {transform.cipher for transform in allowed}
        hashes = {transform.hash for transform in allowed}
        groups = {transform.group for transform in allowed}
        fitting = [offer for offer in psk if offer.cipher in ciphers]
        weak_hash = [o for o in fitting if o.hash in WEAK_HASHES - hashes]
        if any(o.group in WEAK_GROUPS - groups and o.hash in hashes for o in fitting):
            reason = Reason.WEAK_GROUP
        elif any(offer.group in groups for offer in weak_hash):
            reason = Reason.WEAK_HASH
        elif any(offer.group in WEAK_GROUPS - groups for offer in weak_hash):
            reason = Reason.WEAK_GROUP
    described = dict.fromkeys(_describe_phase1(transform) for transform in transforms)
    return ProtocolError(reason, _offered(list(described)))


def _offered(described: list[str]) -> str:
    shown = ", ".join(described[:DETAIL_OFFERS_MAX])
    more = len(described) - DETAIL_OFFERS_MAX
    return f"offered: {shown or 'nothing'}" + (f" and {more} more" if more > 0 else "")


# --- phase 2 -------------------------------------------------------------------------------


@dataclass(slots=True)
class Phase2Choice:
    """`mode` is None where the peer left the encapsulation mode out."""

    suite: EspSuite
    proposal: Proposal
    chosen: Transform
    group: Group | None
    mode: int | None
    lifetime: Lifetime


@dataclass(slots=True)
class _Phase2Offer:
    suite: EspSuite | None
    group: Group | None
    mode: int | None
    usable: bool


def _read_phase2(transform: Transform) -> _Phase2Offer:
    values = dict(transform.attributes)
    length = values.get(Phase2Attribute.KEY_LENGTH, 0)
    cipher = ESP_CIPHERS.get((transform.transform_id, length))
    algorithm = values.get(Phase2Attribute.AUTHENTICATION_ALGORITHM)
    integrity = ESP_INTEGRITIES.get(algorithm) if algorithm else None
    suite = None
    if cipher is not None and bool(cipher.info.tag) == (integrity is None):
        suite = EspSuite(cipher, integrity)
    described = values.get(Phase2Attribute.GROUP_DESCRIPTION, 0)
    group = GROUPS.get(described)
    return _Phase2Offer(
        suite,
        group,
        values.get(Phase2Attribute.ENCAPSULATION_MODE),
        # PFS only adds to SKEYID_d, so any group that we have is as good as none.
        usable=_PHASE2_KNOWN.issuperset(values) and (group is not None or not described),
    )


def _alone(proposals: list[Proposal]) -> list[Proposal]:
    """ESP proposals that stand for themselves: no AH or IPComp goes with them."""
    counts: dict[int, int] = {}
    for proposal in proposals:
        counts[proposal.number] = counts.get(proposal.number, 0) + 1
    return [
        proposal
        for proposal in proposals
        if proposal.protocol == ProtocolId.ESP
        and counts[proposal.number] == 1
        and len(proposal.spi) == 4
        and int.from_bytes(proposal.spi, "big") > 255  # RFC 4303 2.1
    ]


def choose_phase2(proposals: list[Proposal], policy: IkePolicy, ke_present: bool) -> Phase2Choice:
    """Raises ProtocolError with NO_PHASE2_PROPOSAL or ENCAPSULATION.

    `ke_present`: a transform with a group needs a KE payload, one without must have none.
    """
    ranks = policy.phase2_rank
    best: Phase2Choice | None = None
    best_rank = len(ranks)
    tunnel = False
    for proposal in _alone(proposals):
        for transform in proposal.transforms:
            offer = _read_phase2(transform)
            if offer.suite is None or not offer.usable or (offer.group is not None) != ke_present:
                continue
            if offer.mode is not None and offer.mode not in TRANSPORT_MODES:
                tunnel = tunnel or offer.suite in ranks
                continue
            rank = ranks.get(offer.suite, best_rank)
            if rank < best_rank:
                best_rank = rank
                best = Phase2Choice(
                    offer.suite, proposal, transform, offer.group, offer.mode, Lifetime()
                )
    if best is None:
        raise ProtocolError(
            Reason.ENCAPSULATION if tunnel else Reason.NO_PHASE2_PROPOSAL,
            _offered(
                list(dict.fromkeys(_describe_phase2(p, t) for p in proposals for t in p.transforms))
            ),
        )
    best.lifetime = read_lifetime(
        best.chosen.attributes, Phase2Attribute.LIFE_TYPE, Phase2Attribute.LIFE_DURATION
    )
    return best


def _describe_phase2(proposal: Proposal, transform: Transform) -> str:
    if proposal.protocol != ProtocolId.ESP:
        return f"{_named(ProtocolId, proposal.protocol)} {transform.transform_id}"
    values = dict(transform.attributes)
    text = _named(EspTransform, transform.transform_id)
    if length := values.get(Phase2Attribute.KEY_LENGTH):
        text += str(length)
    if algorithm := values.get(Phase2Attribute.AUTHENTICATION_ALGORITHM):
        text += f"-{_named(AuthenticationAlgorithm, algorithm)}"
    if group := values.get(Phase2Attribute.GROUP_DESCRIPTION):
        text += f"-{_named(Group, group)}"
    mode = values.get(Phase2Attribute.ENCAPSULATION_MODE)
    return text if mode is None else f"{text} {_named(EncapsulationMode, mode)}"


def read_suite(transform: Transform) -> EspSuite | None:
    """The suite that a transform names, or None."""
    return _read_phase2(transform).suite
