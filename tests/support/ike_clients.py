"""The proposals of real clients, for an initiator to play (evidence: captures and their sources).

Each value is the set of `IkePolicy` fields by which the client differs from our own initiator.
"""

from __future__ import annotations

from typing import Final

from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.ike.iana import EncapsulationMode
from ferrule.ike.policy import Phase1Transform, RawTransform

AES256, AES192, AES128, DES3 = (
    Cipher.AES256_CBC,
    Cipher.AES192_CBC,
    Cipher.AES128_CBC,
    Cipher.DES3_CBC,
)
SHA1, SHA256, SHA384, SHA512, MD5 = (
    Hash.SHA1,
    Hash.SHA2_256,
    Hash.SHA2_384,
    Hash.SHA2_512,
    Hash.MD5,
)
M1024, M1536, M2048, M3072 = Group.MODP1024, Group.MODP1536, Group.MODP2048, Group.MODP3072
UDP_TRANSPORT: Final = EncapsulationMode.UDP_TRANSPORT


def phase1(*rows: tuple[Cipher | None, Hash | None, Group]) -> tuple[Phase1Transform, ...]:
    return tuple(Phase1Transform(*row) for row in rows)


def des_phase1(algorithm: int, group: int) -> RawTransform:
    """DES-CBC, which has no name here."""
    return RawTransform(1, ((1, 1), (2, algorithm), (3, 1), (4, group)))


def des_phase2(algorithm: int) -> RawTransform:
    return RawTransform(2, ((4, UDP_TRANSPORT), (5, algorithm)))


def esp(*rows: tuple[Cipher, Integrity]) -> tuple[EspSuite, ...]:
    return tuple(EspSuite(*row) for row in rows)


_I1, _I256, _I384, _I512, _I5 = (
    Integrity.HMAC_SHA1_96,
    Integrity.HMAC_SHA2_256_128,
    Integrity.HMAC_SHA2_384_192,
    Integrity.HMAC_SHA2_512_256,
    Integrity.HMAC_MD5_96,
)

WINDOWS: Final[dict[str, object]] = {
    "offer_phase1": phase1(
        (AES256, SHA1, Group.ECP384),
        (AES128, SHA1, Group.ECP256),
        (AES256, SHA1, M2048),
        (DES3, SHA1, M2048),
        (DES3, SHA1, M1024),
    ),
    "offer_phase2": (
        *esp((AES256, _I1), (AES128, _I1), (DES3, _I1)),
        des_phase2(2),
        RawTransform(11, ((4, UDP_TRANSPORT), (5, 2))),
    ),
    "offer_proposal_each": True,
    "offer_vendor_ids": (
        bytes.fromhex("01528bbbc00696121849ab9a1c5b2a5100000001"),
        bytes.fromhex("1e2b516905991c7d7c96fcbfb587e46100000009"),
        "rfc3947",
        "draft-02_n",
        bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3"),
        "windows-negotiation-discovery",
        "windows-initial-contact",
        "windows-cga",
    ),
    "offer_nonce_octets": 48,
    "offer_identification": "192.168.1.5",
    "offer_esp_kilobytes": 250_000,
    "offer_initial_contact": False,
    "offer_nat_oa": True,
}

MACOS: Final[dict[str, object]] = {
    "offer_phase1": phase1(
        (AES256, SHA256, M2048),
        (AES256, SHA1, M2048),
        (AES256, MD5, M2048),
        (AES256, SHA512, M2048),
        (AES256, SHA256, M1536),
        (AES256, SHA1, M1536),
        (AES256, MD5, M1536),
        (AES256, SHA256, M1024),
        (AES256, SHA1, M1024),
        (AES256, MD5, M1024),
        (AES128, SHA1, M1024),
        (AES128, MD5, M1024),
        (DES3, SHA1, M1024),
        (DES3, MD5, M1024),
    ),
    "offer_phase2": esp(
        (AES256, _I256),
        (AES256, _I1),
        (AES256, _I5),
        (AES128, _I256),
        (AES128, _I1),
        (AES128, _I5),
        (DES3, _I256),
        (DES3, _I1),
        (DES3, _I5),
    ),
    "offer_vendor_ids": (
        "rfc3947",
        "natt-draft",
        "natt-draft-08",
        "natt-draft-07",
        "natt-draft-06",
        "natt-draft-05",
        "natt-draft-04",
        "draft-03",
        "draft-02",
        "draft-02_n",
        bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d380000000"),
        "dpd",
    ),
    "offer_nonce_octets": 16,
    "offer_identification": "192.168.1.6",
    "offer_local_port": 53_712,
    "offer_ike_seconds": 3600,
}

ANDROID: Final[dict[str, object]] = {
    "offer_phase1": (
        *phase1(
            *((c, h, M1024) for c in (AES256, AES128, DES3) for h in (SHA384, SHA256, SHA1, MD5))
        ),
        des_phase1(2, 2),
        des_phase1(1, 2),
    ),
    "offer_phase2": (
        *esp(*((c, i) for c in (AES256, AES128, DES3) for i in (_I384, _I256, _I1, _I5))),
        des_phase2(2),
        des_phase2(1),
    ),
    "offer_vendor_ids": (
        "rfc3947",
        "draft-02",
        "draft-02_n",
        "natt-draft-00",
        bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d380000000"),
        "dpd",
    ),
    "offer_nonce_octets": 16,
    "offer_identification": "192.168.43.2",
    "offer_local_port": 0,
    "offer_esp_seconds": 28_800,
}

CHROMEOS: Final[dict[str, object]] = {
    "offer_phase1": (
        *phase1(
            (AES128, SHA256, M3072),
            (AES128, SHA1, M2048),
            (DES3, SHA1, M1536),
            (DES3, SHA1, M1024),
            (AES256, None, M2048),
            (None, SHA256, M2048),
            (AES128, SHA256, Group.ECP256),
            (AES192, SHA384, Group.ECP384),
            (AES256, SHA512, Group.CURVE25519),
        ),
    ),
    "offer_phase2": (
        EspSuite(Cipher.AES128_GCM16, None),
        *esp((AES128, _I256), (AES128, _I1), (DES3, _I1), (DES3, _I5)),
    ),
    "offer_vendor_ids": ("xauth", "dpd", "fragmentation", "rfc3947", "draft-02_n"),
    "offer_identification": "192.168.1.7",
    "offer_nat_oa": True,
}

NETWORK_MANAGER: Final[dict[str, object]] = {
    "offer_phase1": phase1(
        (AES256, SHA256, M2048),
        (AES256, SHA256, M1536),
        (AES256, SHA256, M1024),
        (AES256, SHA1, M2048),
        (AES256, SHA1, M1536),
        (AES256, SHA1, M1024),
        (AES256, SHA1, Group.ECP384),
        (AES128, SHA1, M1024),
        (AES128, SHA1, Group.ECP256),
        (DES3, SHA1, M2048),
        (DES3, SHA1, M1024),
    ),
    "offer_phase2": esp((AES256, _I1), (AES128, _I1), (DES3, _I1)),
    "offer_vendor_ids": ("xauth", "dpd", "fragmentation", "rfc3947", "draft-02_n"),
    "offer_identification": "192.168.1.8",
    "offer_nat_oa": True,
}

MIKROTIK: Final[dict[str, object]] = {
    "offer_phase1": phase1((AES128, SHA1, M2048), (DES3, SHA1, M1024)),
    "offer_phase2": esp((AES128, _I1)),
    "offer_pfs": M1024,
    "offer_identification": "192.168.88.2",
    "offer_ike_seconds": 86_400,
    "offer_esp_seconds": 1800,
}

OLD_ROUTER: Final[dict[str, object]] = {
    "offer_phase1": phase1((DES3, MD5, M2048)),
    "offer_phase2": esp((DES3, _I5)),
}

CLIENTS: Final[dict[str, dict[str, object]]] = {
    "windows": WINDOWS,
    "macos": MACOS,
    "android": ANDROID,
    "chromeos": CHROMEOS,
    "networkmanager": NETWORK_MANAGER,
    "mikrotik": MIKROTIK,
    "old-router": OLD_ROUTER,
}
