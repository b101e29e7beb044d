"""Key derivation and authenticators: RFC 2409 5, 5.4, 5.5 and appendix B.

Functions of octets only, so that published vectors can be put against them one by one. Names
are the RFC's; g^xy and the KE bodies come as IKE carries them (`ferrule.crypto.dh`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrule.core.ids import Cookie
from ferrule.core.secret import Secret
from ferrule.crypto.hashes import digest, prf
from ferrule.crypto.suites import Hash

_ZERO: Final = b"\0"


@dataclass(slots=True)
class Skeyids:
    """SKEYID and what is derived from it (RFC 2409 5)."""

    skeyid: Secret
    skeyid_d: Secret
    skeyid_a: Secret
    skeyid_e: Secret


def skeyid_psk(algorithm: Hash, key: Secret, ni: bytes, nr: bytes) -> Secret:
    """SKEYID = prf(pre-shared-key, Ni_b | Nr_b)."""
    return Secret(prf(algorithm, key.reveal(), ni + nr))


def derive_skeyids(
    algorithm: Hash, skeyid: Secret, gxy: bytes, icookie: Cookie, rcookie: Cookie
) -> Skeyids:
    """SKEYID_d, SKEYID_a and SKEYID_e from SKEYID, whatever SKEYID was made of."""
    key, common = skeyid.reveal(), gxy + icookie + rcookie
    d = prf(algorithm, key, common + b"\0")
    a = prf(algorithm, key, d + common + b"\1")
    e = prf(algorithm, key, a + common + b"\2")
    return Skeyids(skeyid, Secret(d), Secret(a), Secret(e))


def expand_cipher_key(algorithm: Hash, skeyid_e: Secret, octets: int) -> Secret:
    """RFC 2409 appendix B: SKEYID_e itself, or Ka = K1 | K2 | ... if it is too short."""
    e = skeyid_e.reveal()
    if len(e) >= octets:
        return Secret(e[:octets])
    block = prf(algorithm, e, _ZERO)
    stretched = block
    while len(stretched) < octets:
        block = prf(algorithm, e, block)
        stretched += block
    return Secret(stretched[:octets])


def phase1_iv(algorithm: Hash, gxi: bytes, gxr: bytes, octets: int) -> bytes:
    """RFC 2409 appendix B: hash(g^xi | g^xr), truncated."""
    return digest(algorithm, gxi + gxr)[:octets]


def phase2_iv(algorithm: Hash, last_block: bytes, message_id: int, octets: int) -> bytes:
    """RFC 2409 appendix B: hash(last phase 1 ciphertext block | M-ID), truncated."""
    return digest(algorithm, last_block + message_id.to_bytes(4, "big"))[:octets]


def hash_i(
    algorithm: Hash,
    skeyid: Secret,
    gxi: bytes,
    gxr: bytes,
    icookie: Cookie,
    rcookie: Cookie,
    sai: bytes,
    idii: bytes,
) -> bytes:
    """HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)."""
    return prf(algorithm, skeyid.reveal(), gxi + gxr + icookie + rcookie + sai + idii)


def hash_r(
    algorithm: Hash,
    skeyid: Secret,
    gxi: bytes,
    gxr: bytes,
    icookie: Cookie,
    rcookie: Cookie,
    sai: bytes,
    idir: bytes,
) -> bytes:
    """HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)."""
    return prf(algorithm, skeyid.reveal(), gxr + gxi + rcookie + icookie + sai + idir)


def hash_1(algorithm: Hash, skeyid_a: Secret, message_id: int, rest: bytes) -> bytes:
    """HASH(1) = prf(SKEYID_a, M-ID | rest of the message), also of informational exchanges."""
    return prf(algorithm, skeyid_a.reveal(), message_id.to_bytes(4, "big") + rest)


def hash_2(algorithm: Hash, skeyid_a: Secret, message_id: int, ni: bytes, rest: bytes) -> bytes:
    """HASH(2) = prf(SKEYID_a, M-ID | Ni_b | rest of the message)."""
    return prf(algorithm, skeyid_a.reveal(), message_id.to_bytes(4, "big") + ni + rest)


def hash_3(algorithm: Hash, skeyid_a: Secret, message_id: int, ni: bytes, nr: bytes) -> bytes:
    """HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)."""
    return prf(algorithm, skeyid_a.reveal(), _ZERO + message_id.to_bytes(4, "big") + ni + nr)


def keymat(
    algorithm: Hash,
    skeyid_d: Secret,
    gxy: bytes,
    protocol: int,
    spi: bytes,
    ni: bytes,
    nr: bytes,
    octets: int,
) -> Secret:
    """KEYMAT of one direction, RFC 2409 5.5: `spi` is the one that the receiver chose.

    `gxy` is empty without PFS. K1 = prf(SKEYID_d, seed), Kn = prf(SKEYID_d, Kn-1 | seed).
    """
    key = skeyid_d.reveal()
    seed = gxy + bytes((protocol,)) + spi + ni + nr
    block = material = prf(algorithm, key, seed)
    while len(material) < octets:
        block = prf(algorithm, key, block + seed)
        material += block
    return Secret(material[:octets])
