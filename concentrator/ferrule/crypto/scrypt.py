"""scrypt (RFC 7914), the verifier of passwords that need not answer a challenge."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

DERIVED_OCTETS: Final = 32


def derive(
    password: bytes, salt: bytes, n: int, r: int, p: int, octets: int = DERIVED_OCTETS
) -> bytes:
    """`octets` octets out of `password`; takes about 128 * n * r octets of memory.

    Slow by design: call it off the thread that serves packets. Raises ValueError for an `n` that
    is not a power of two above 1, and for `r` or `p` below 1.
    """
    return Scrypt(salt=salt, length=octets, n=n, r=r, p=p).derive(password)
