"""Sizes of algorithms, against the RFCs that set them."""

from __future__ import annotations

import pytest

from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity

# RFC 2451 2.2, RFC 3602 2, RFC 4106 8.1: key, IV, block or border, salt, tag.
CIPHERS = {
    Cipher.DES3_CBC: (24, 8, 8, 0, 0),
    Cipher.AES128_CBC: (16, 16, 16, 0, 0),
    Cipher.AES192_CBC: (24, 16, 16, 0, 0),
    Cipher.AES256_CBC: (32, 16, 16, 0, 0),
    Cipher.AES128_GCM8: (16, 8, 4, 4, 8),
    Cipher.AES192_GCM8: (24, 8, 4, 4, 8),
    Cipher.AES256_GCM8: (32, 8, 4, 4, 8),
    Cipher.AES128_GCM12: (16, 8, 4, 4, 12),
    Cipher.AES192_GCM12: (24, 8, 4, 4, 12),
    Cipher.AES256_GCM12: (32, 8, 4, 4, 12),
    Cipher.AES128_GCM16: (16, 8, 4, 4, 16),
    Cipher.AES192_GCM16: (24, 8, 4, 4, 16),
    Cipher.AES256_GCM16: (32, 8, 4, 4, 16),
}
# RFC 2403 2, RFC 2404 3, RFC 4868 2.6: hash, key, ICV.
INTEGRITIES = {
    Integrity.HMAC_MD5_96: (Hash.MD5, 16, 12),
    Integrity.HMAC_SHA1_96: (Hash.SHA1, 20, 12),
    Integrity.HMAC_SHA2_256_128: (Hash.SHA2_256, 32, 16),
    Integrity.HMAC_SHA2_384_192: (Hash.SHA2_384, 48, 24),
    Integrity.HMAC_SHA2_512_256: (Hash.SHA2_512, 64, 32),
}


def test_the_tables_here_are_complete() -> None:
    assert set(CIPHERS) == set(Cipher)
    assert set(INTEGRITIES) == set(Integrity)


@pytest.mark.parametrize("cipher", Cipher)
def test_ciphers(cipher: Cipher) -> None:
    info = cipher.info
    assert (info.key, info.iv, info.block, info.salt, info.tag) == CIPHERS[cipher]


@pytest.mark.parametrize("integrity", Integrity)
def test_integrities(integrity: Integrity) -> None:
    assert (integrity.hash, integrity.key, integrity.icv) == INTEGRITIES[integrity]


def test_group_numbers_are_ianas() -> None:
    numbers = {group.name: group.value for group in Group}
    assert numbers == {
        "MODP1024": 2,
        "MODP1536": 5,
        "MODP2048": 14,
        "MODP3072": 15,
        "MODP4096": 16,
        "ECP256": 19,
        "ECP384": 20,
        "ECP521": 21,
        "CURVE25519": 31,
    }


@pytest.mark.parametrize(
    ("suite", "octets", "text"),
    [
        (EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96), 36, "aes128-sha1"),
        (EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_256_128), 64, "aes256-sha256"),
        (EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA1_96), 44, "3des-sha1"),
        (EspSuite(Cipher.AES128_GCM16, None), 20, "aes128gcm16"),
        (EspSuite(Cipher.AES256_GCM8, None), 36, "aes256gcm8"),
    ],
    ids=str,
)
def test_keymat_and_name(suite: EspSuite, octets: int, text: str) -> None:
    assert suite.keymat_octets == octets
    assert str(suite) == text


def test_an_aead_goes_alone_and_cbc_does_not() -> None:
    with pytest.raises(ValueError, match="AEAD goes without an integrity"):
        EspSuite(Cipher.AES128_GCM16, Integrity.HMAC_SHA1_96)
    with pytest.raises(ValueError, match="CBC with one"):
        EspSuite(Cipher.AES128_CBC, None)
