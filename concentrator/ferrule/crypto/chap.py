"""The response of CHAP with MD5 (RFC 1994 4.1)."""

from __future__ import annotations

import hashlib

from ferrule.crypto.compare import equal


def chap_md5(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """MD5 over the identifier (one octet), the secret and the challenge; 16 octets."""
    return hashlib.md5(bytes((identifier,)) + secret + challenge).digest()


def verify_chap_md5(identifier: int, secret: bytes, challenge: bytes, response: bytes) -> bool:
    """Is `response` the answer to `challenge` of one who knows `secret`? Constant time."""
    return equal(chap_md5(identifier, secret, challenge), response)
