"""Names of algorithms with their sizes: the words in which IKE, ESP and the data plane agree.

RFC 2409 appendix A, RFC 3602, RFC 4106, RFC 2404, RFC 4868, RFC 3526, RFC 5903, RFC 8031.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Hash(Enum):
    """A hash; as HMAC also the prf of IKE and the integrity of ESP. Value: hashlib's name."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA2_256 = "sha256"
    SHA2_384 = "sha384"
    SHA2_512 = "sha512"


class Group(Enum):
    """A Diffie-Hellman group. Value: IANA's number, the same in IKEv1 and IKEv2."""

    MODP1024 = 2
    MODP1536 = 5
    MODP2048 = 14
    MODP3072 = 15
    MODP4096 = 16
    ECP256 = 19
    ECP384 = 20
    ECP521 = 21
    CURVE25519 = 31


@dataclass(frozen=True, slots=True)
class CipherInfo:
    """Sizes in octets. `tag` > 0 means AEAD, `salt` is its implicit nonce part (RFC 4106 4)."""

    key: int
    iv: int
    block: int
    salt: int = 0
    tag: int = 0


class Cipher(Enum):
    """A cipher with its key length."""

    DES3_CBC = "3des"
    AES128_CBC = "aes128"
    AES192_CBC = "aes192"
    AES256_CBC = "aes256"
    AES128_GCM8 = "aes128gcm8"
    AES192_GCM8 = "aes192gcm8"
    AES256_GCM8 = "aes256gcm8"
    AES128_GCM12 = "aes128gcm12"
    AES192_GCM12 = "aes192gcm12"
    AES256_GCM12 = "aes256gcm12"
    AES128_GCM16 = "aes128gcm16"
    AES192_GCM16 = "aes192gcm16"
    AES256_GCM16 = "aes256gcm16"

    @property
    def info(self) -> CipherInfo:
        return _CIPHERS[self]


_CIPHERS = {
    Cipher.DES3_CBC: CipherInfo(key=24, iv=8, block=8),
    Cipher.AES128_CBC: CipherInfo(key=16, iv=16, block=16),
    Cipher.AES192_CBC: CipherInfo(key=24, iv=16, block=16),
    Cipher.AES256_CBC: CipherInfo(key=32, iv=16, block=16),
} | {
    cipher: CipherInfo(key=key, iv=8, block=4, salt=4, tag=tag)
    for key, bits in ((16, 128), (24, 192), (32, 256))
    for tag in (8, 12, 16)
    for cipher in (Cipher(f"aes{bits}gcm{tag}"),)
}


class Integrity(Enum):
    """ESP integrity: (HMAC hash, key octets, ICV octets)."""

    HMAC_MD5_96 = (Hash.MD5, 16, 12)
    HMAC_SHA1_96 = (Hash.SHA1, 20, 12)
    HMAC_SHA2_256_128 = (Hash.SHA2_256, 32, 16)
    HMAC_SHA2_384_192 = (Hash.SHA2_384, 48, 24)
    HMAC_SHA2_512_256 = (Hash.SHA2_512, 64, 32)

    @property
    def hash(self) -> Hash:
        return self.value[0]

    @property
    def key(self) -> int:
        return self.value[1]

    @property
    def icv(self) -> int:
        return self.value[2]


@dataclass(frozen=True, slots=True)
class EspSuite:
    """What one IPsec SA runs: an AEAD alone, or a CBC cipher with an integrity."""

    cipher: Cipher
    integrity: Integrity | None

    def __post_init__(self) -> None:
        if bool(self.cipher.info.tag) == (self.integrity is not None):
            raise ValueError("AEAD goes without an integrity, CBC with one")

    @property
    def keymat_octets(self) -> int:
        """KEYMAT of one direction: cipher key, then salt (AEAD) or integrity key."""
        info = self.cipher.info
        return info.key + info.salt + (self.integrity.key if self.integrity else 0)

    def __str__(self) -> str:
        if self.integrity is None:
            return self.cipher.value
        return f"{self.cipher.value}-{self.integrity.hash.value}"
