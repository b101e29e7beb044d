"""What an endpoint accepts, offers and keeps: plain data, replaceable at run time.

The gateway makes an `IkePolicy` of its configuration. Fields named `offer_...` concern only the
initiator; with them it can play the proposals of other clients. Times are in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.ike.attributes import Attribute
from ferrule.ike.vendor_ids import DPD, NATT_DRAFT_02_N, NATT_DRAFT_03, NATT_RFC


@dataclass(frozen=True, slots=True)
class Phase1Transform:
    """A choice for the ISAKMP SA. None for cipher or hash only in an offer: ChromeOS sends such."""

    cipher: Cipher | None
    hash: Hash | None
    group: Group

    def __str__(self) -> str:
        cipher = self.cipher.value if self.cipher else "none"
        algorithm = self.hash.value if self.hash else "none"
        return f"{cipher}-{algorithm}-{self.group.name.lower()}"


@dataclass(frozen=True, slots=True)
class RawTransform:
    """An offer that no other type can say: DES, RSA signatures, tunnel mode, unknown numbers.

    `attributes` are all of them but the lifetime, which is appended."""

    transform_id: int
    attributes: tuple[Attribute, ...]


WEAK_GROUPS: Final = frozenset({Group.MODP1024})
WEAK_HASHES: Final = frozenset({Hash.MD5})

# The order of preference. SHA2-384 ranks last: QUIRK(android 8-11): offers it, then fails with it.
# Elliptic curves rank before MODP: the same strength for a tenth of the work.
_CIPHERS: Final = (Cipher.AES256_CBC, Cipher.AES192_CBC, Cipher.AES128_CBC, Cipher.DES3_CBC)
_HASHES: Final = (Hash.SHA2_256, Hash.SHA1, Hash.SHA2_512, Hash.SHA2_384, Hash.MD5)
_GROUPS: Final = (
    Group.CURVE25519,
    Group.ECP256,
    Group.ECP384,
    Group.MODP2048,
    Group.MODP3072,
    Group.ECP521,
    Group.MODP4096,
    Group.MODP1536,
    Group.MODP1024,
)
_ESP_GCM: Final = tuple(
    EspSuite(Cipher(f"aes{bits}gcm{tag}"), None) for tag in (16, 12, 8) for bits in (256, 128, 192)
)
_ESP_INTEGRITIES: Final = (
    Integrity.HMAC_SHA2_256_128,
    Integrity.HMAC_SHA1_96,
    Integrity.HMAC_SHA2_512_256,
    Integrity.HMAC_SHA2_384_192,
    Integrity.HMAC_MD5_96,
)


def _phase1_tier(transform: Phase1Transform) -> tuple[bool, bool, bool]:
    """Better a weaker partner than the weakest link: these sort before the lists' order."""
    weak = transform.group in WEAK_GROUPS or transform.hash in WEAK_HASHES
    return weak, transform.cipher is Cipher.DES3_CBC, transform.group is Group.MODP1536


def default_phase1() -> tuple[Phase1Transform, ...]:
    """All transforms, best first: by cipher, then hash, then group; 3DES, MODP 1536 and what is
    weak come after everything else. What is weak counts only if the policy allows it."""
    transforms = (Phase1Transform(c, h, g) for c in _CIPHERS for h in _HASHES for g in _GROUPS)
    return tuple(sorted(transforms, key=_phase1_tier))


def default_phase2() -> tuple[EspSuite, ...]:
    """All ESP suites, best first: GCM, then CBC by integrity and cipher; HMAC-MD5 last."""
    cbc = (EspSuite(c, i) for c in _CIPHERS for i in _ESP_INTEGRITIES)

    def tier(suite: EspSuite) -> tuple[bool, bool]:
        return suite.integrity is Integrity.HMAC_MD5_96, suite.cipher is Cipher.DES3_CBC

    return _ESP_GCM + tuple(sorted(cbc, key=tier))


@dataclass(frozen=True, slots=True)
class IkePolicy:
    """The one object that configures an `IkeEndpoint`.

    `keys` are the pre-shared keys, one or, during a rotation, two. `identity` is "" for the
    address that the packet came to, an address, or "@fqdn". Lifetimes are upper bounds: a
    shorter one of the peer wins. `dpd_seconds` is the silence after which we ask, 0 for never.
    `natt_peer_port` and `natt_local_port` are where an initiator floats to.
    """

    keys: tuple[Secret, ...]
    phase1: tuple[Phase1Transform, ...] = field(default_factory=default_phase1)
    phase2: tuple[EspSuite, ...] = field(default_factory=default_phase2)
    identity: str = ""
    ike_life_seconds: int = 86_400
    esp_life_seconds: int = 28_800
    dpd_seconds: float = 30.0
    allow_modp1024: bool = False
    allow_md5: bool = False
    half_open_max: int = 4096
    per_source_rate: float = 20.0
    per_source_burst: int = 200
    ipsec_sas_max: int = 8
    plain_esp: bool = False  # accept Quick Mode off the NAT-T port: ESP as IP protocol 50
    # the initiator
    offer_phase1: tuple[Phase1Transform | RawTransform, ...] = (
        Phase1Transform(Cipher.AES256_CBC, Hash.SHA2_256, Group.MODP2048),
        Phase1Transform(Cipher.AES256_CBC, Hash.SHA1, Group.MODP2048),
        Phase1Transform(Cipher.AES128_CBC, Hash.SHA1, Group.ECP256),
    )
    offer_phase2: tuple[EspSuite | RawTransform, ...] = (
        EspSuite(Cipher.AES256_GCM16, None),
        EspSuite(Cipher.AES128_GCM16, None),
        EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_256_128),
        EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA1_96),
        EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96),
    )
    offer_proposal_each: bool = False  # one proposal a suite (Windows) instead of a transform each
    offer_pfs: Group | None = None
    offer_ids: bool = True
    offer_local_port: int = 1701
    offer_peer_port: int = 1701
    offer_identification: str = ""  # "" for the local address; else as `identity`
    offer_vendor_ids: tuple[str | bytes, ...] = (NATT_RFC, NATT_DRAFT_03, NATT_DRAFT_02_N, DPD)
    offer_nonce_octets: int = 32
    offer_ike_seconds: int = 28_800
    offer_esp_seconds: int = 3600
    offer_esp_kilobytes: int = 0
    offer_initial_contact: bool = True
    offer_nat_oa: bool = False
    natt_peer_port: int = 4500
    natt_local_port: int = 4500
    # computed
    phase1_rank: Mapping[Phase1Transform, int] = field(init=False, repr=False, compare=False)
    phase2_rank: Mapping[EspSuite, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= 2 or not all(len(key) for key in self.keys):
            raise ValueError("one or two pre-shared keys, none of them empty")
        phase1 = (t for t in self.phase1 if self.allows(t.group, t.hash))
        ranks = {transform: rank for rank, transform in enumerate(phase1)}
        object.__setattr__(self, "phase1_rank", MappingProxyType(ranks))
        phase2 = (
            s for s in self.phase2 if s.integrity is None or self.allows(None, s.integrity.hash)
        )
        suites = {suite: rank for rank, suite in enumerate(phase2)}
        object.__setattr__(self, "phase2_rank", MappingProxyType(suites))

    def allows(self, group: Group | None, algorithm: Hash | None) -> bool:
        """Whether the operator takes the risk of what is weak."""
        return (self.allow_modp1024 or group not in WEAK_GROUPS) and (
            self.allow_md5 or algorithm not in WEAK_HASHES
        )
