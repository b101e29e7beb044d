"""CBC and GCM: vectors, chaining contexts, and refusals."""

import json
from itertools import product
from pathlib import Path

import pytest

from ferrule.crypto.ciphers import CbcCipher, GcmCipher
from ferrule.crypto.suites import Cipher

RFC3602 = json.loads((Path(__file__).parents[2] / "vectors/rfc3602.json").read_text())
CBC = [cipher for cipher in Cipher if not cipher.info.tag]
GCM = [cipher for cipher in Cipher if cipher.info.tag]


def _key(cipher: Cipher) -> bytes:
    return bytes(range(1, cipher.info.key + 1))


@pytest.mark.parametrize("case", RFC3602["cbc"], ids=lambda case: case["name"])
def test_rfc_3602(case: dict[str, str]) -> None:
    key, iv, plaintext, ciphertext = (
        bytes.fromhex(case[name]) for name in ("key", "iv", "plaintext", "ciphertext")
    )
    cipher = CbcCipher(Cipher.AES128_CBC, key)
    for _ in range(3):  # a context that chains must give the same again
        assert cipher.encrypt(iv, plaintext) == ciphertext
        assert cipher.decrypt(iv, ciphertext) == plaintext


@pytest.mark.parametrize("cipher", CBC)
def test_cbc_seeded(cipher: Cipher) -> None:
    """IV and ciphertext fit together, and the IV is not the seed."""
    block = cipher.info.block
    one, other = (CbcCipher(cipher, _key(cipher)) for _ in range(2))
    ivs = set()
    for length in range(0, 6 * block, block):
        plaintext = bytes(range(length))
        sealed = one.encrypt_seeded(bytes(block), plaintext)
        iv, ciphertext = sealed[:block], sealed[block:]
        ivs.add(iv)
        assert other.decrypt(iv, ciphertext) == plaintext
        assert other.encrypt(iv, plaintext) == ciphertext
    assert len(ivs) == 6
    assert bytes(block) not in ivs


@pytest.mark.parametrize("cipher", CBC)
def test_cbc_wants_whole_blocks(cipher: Cipher) -> None:
    block = cipher.info.block
    cbc = CbcCipher(cipher, _key(cipher))
    iv, plaintext = bytes(block), bytes(2 * block)
    ciphertext = cbc.encrypt(iv, plaintext)
    for call, bad in product((cbc.encrypt, cbc.decrypt, cbc.encrypt_seeded), (1, block - 1)):
        with pytest.raises(ValueError, match="whole blocks"):
            call(iv, plaintext[:bad])
        with pytest.raises(ValueError, match="whole blocks"):
            call(iv[:bad], plaintext)
    assert cbc.decrypt(iv, ciphertext) == plaintext


def test_gcm_test_case_4() -> None:
    """McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, test case 4."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    sealed = GcmCipher(Cipher.AES128_GCM16, key).seal(nonce, plaintext, associated)
    assert sealed.hex() == (
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95ae7121a47"
    )


@pytest.mark.parametrize("cipher", GCM)
def test_gcm(cipher: Cipher) -> None:
    gcm = GcmCipher(cipher, _key(cipher))
    nonce, plaintext, associated = bytes(12), b"payload", b"header"
    sealed = gcm.seal(nonce, plaintext, associated)
    assert len(sealed) == len(plaintext) + cipher.info.tag
    assert gcm.open(nonce, sealed, associated) == plaintext
    for index in range(len(sealed)):
        broken = bytearray(sealed)
        broken[index] ^= 1
        assert gcm.open(nonce, bytes(broken), associated) is None
    assert gcm.open(nonce, sealed, b"Header") is None
    assert gcm.open(bytes(11) + b"\1", sealed, associated) is None
    for length in range(cipher.info.tag + 1):
        assert gcm.open(nonce, sealed[:length], associated) is None


def test_truncated_tags_are_the_head_of_the_long_one() -> None:
    key = _key(Cipher.AES128_GCM16)
    sealed = [
        GcmCipher(cipher, key).seal(bytes(12), b"payload", b"")
        for cipher in (Cipher.AES128_GCM16, Cipher.AES128_GCM12, Cipher.AES128_GCM8)
    ]
    assert [len(s) - 7 for s in sealed] == [16, 12, 8]
    assert sealed[0].startswith(sealed[1])
    assert sealed[1].startswith(sealed[2])


@pytest.mark.parametrize("cipher", Cipher)
def test_wrong_key_length_or_mode(cipher: Cipher) -> None:
    right, wrong = (GcmCipher, CbcCipher) if cipher.info.tag else (CbcCipher, GcmCipher)
    with pytest.raises(ValueError, match="wants a key"):
        right(cipher, _key(cipher)[:-1])
    with pytest.raises(ValueError, match="is not"):
        wrong(cipher, _key(cipher))
