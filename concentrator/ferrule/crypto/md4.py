"""MD4 (RFC 1320), for the NT password hash of MS-CHAP and nothing else.

Carried here because OpenSSL 3 keeps MD4 in its legacy provider. MD4 is broken as a hash; the NT
hash is equivalent to the password in any case, so nothing more is lost by it.
"""

from __future__ import annotations

import struct
from typing import Final

_MASK: Final = 0xFFFFFFFF
_INITIAL: Final = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)

# RFC 1320 3.4: (word of the block, rotation) of each of the 16 steps of the three rounds.
_ROUND1: Final = tuple(zip(range(16), (3, 7, 11, 19) * 4, strict=True))
_ROUND2: Final = tuple(
    zip((0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13) * 4, strict=True)
)
_ROUND3: Final = tuple(
    zip((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15) * 4, strict=True)
)


def md4(data: bytes) -> bytes:
    """The 16-octet digest of `data`."""
    padding = (
        b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data) & (2**64 - 1))
    )
    state = _INITIAL
    for block in struct.iter_unpack("<16I", data + padding):
        state = _compress(state, block)
    return struct.pack("<4I", *state)


def _compress(state: tuple[int, int, int, int], x: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = state
    for k, s in _ROUND1:
        t = (a + (d ^ (b & (c ^ d))) + x[k]) & _MASK
        a, d, c, b = d, c, b, (t << s | t >> (32 - s)) & _MASK
    for k, s in _ROUND2:
        t = (a + ((b & c) | (d & (b | c))) + x[k] + 0x5A827999) & _MASK
        a, d, c, b = d, c, b, (t << s | t >> (32 - s)) & _MASK
    for k, s in _ROUND3:
        t = (a + (b ^ c ^ d) + x[k] + 0x6ED9EBA1) & _MASK
        a, d, c, b = d, c, b, (t << s | t >> (32 - s)) & _MASK
    return (
        (state[0] + a) & _MASK,
        (state[1] + b) & _MASK,
        (state[2] + c) & _MASK,
        (state[3] + d) & _MASK,
    )
