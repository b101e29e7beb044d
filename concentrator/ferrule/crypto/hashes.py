"""Hashes and HMAC (RFC 2104), from the standard library's OpenSSL.

HMAC is IKE's prf (RFC 2409 4: "prf ... the HMAC version of the negotiated hash") and ESP's
integrity. `HmacKey` keeps the key schedule for users that authenticate packet after packet.
MD4, which OpenSSL 3 hides, stands in `ferrule.crypto.md4`.
"""

from __future__ import annotations

import hashlib
import hmac as _hmac

from ferrule.crypto.suites import Hash

DIGEST_OCTETS = {
    Hash.MD5: 16,
    Hash.SHA1: 20,
    Hash.SHA2_256: 32,
    Hash.SHA2_384: 48,
    Hash.SHA2_512: 64,
}


def digest(algorithm: Hash, data: bytes) -> bytes:
    """The hash of `data`."""
    return hashlib.new(algorithm.value, data, usedforsecurity=False).digest()


def hmac(algorithm: Hash, key: bytes, data: bytes) -> bytes:
    """HMAC of `data` under `key`, untruncated."""
    return _hmac.digest(key, data, algorithm.value)


prf = hmac  # RFC 2409 4: prf(key, msg), where no other prf is negotiated


class HmacKey:
    """An HMAC key set up once. `icv_octets` truncates the tag (RFC 2404, RFC 4868)."""

    __slots__ = ("_icv_octets", "_keyed")

    def __init__(self, algorithm: Hash, key: bytes, icv_octets: int | None = None) -> None:
        self._keyed = _hmac.new(key, digestmod=algorithm.value)
        self._icv_octets = icv_octets

    def tag(self, data: bytes) -> bytes:
        """The (truncated) HMAC of `data`."""
        keyed = self._keyed.copy()
        keyed.update(data)
        return keyed.digest()[: self._icv_octets]
