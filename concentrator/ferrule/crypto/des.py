"""Single DES of one block, for the challenge response of MS-CHAP (RFC 2433 A.7, RFC 2759 8.6).

`cryptography` has no single DES: triple DES with the same key three times is the same function.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes


def expand_key(key: bytes) -> bytes:
    """Spread 56 key bits over 8 octets, 7 bits each, with odd parity (RFC 2759 9.3)."""
    bits = int.from_bytes(key, "big")
    expanded = bytearray()
    for shift in range(49, -1, -7):
        seven = bits >> shift & 0x7F
        expanded.append(seven << 1 | (seven.bit_count() + 1) & 1)
    return bytes(expanded)


def des_encrypt_block(key: bytes, block: bytes) -> bytes:
    """Encrypt `block` (8 octets) under `key`: 8 octets, or 7, which are expanded.

    Raises ValueError for other lengths.
    """
    if len(key) == 7:
        key = expand_key(key)
    if len(key) != 8 or len(block) != 8:
        raise ValueError("DES takes a key of 7 or 8 octets and a block of 8")
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()
