"""Hiding of AVP values (RFC 2661 4.3): a chain of MD5 over the tunnel secret.

The hidden form holds the value's length (2 octets), the value and padding. This is obfuscation by
today's measure; inside ESP nothing depends on it.
"""

from __future__ import annotations

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.hashes import digest
from ferrule.crypto.suites import Hash

_BLOCK = 16  # octets of MD5


def hide(avp_type: int, value: bytes, secret: Secret, random_vector: bytes) -> bytes:
    """The hidden form of `value`, padded to whole blocks so that its length does not show."""
    clear = len(value).to_bytes(2, "big") + value
    clear += bytes(-len(clear) % _BLOCK)
    hidden = bytearray()
    mask = digest(Hash.MD5, avp_type.to_bytes(2, "big") + secret.reveal() + random_vector)
    for at in range(0, len(clear), _BLOCK):
        block = _xor(clear[at : at + _BLOCK], mask)
        hidden += block
        mask = digest(Hash.MD5, secret.reveal() + block)
    return bytes(hidden)


def unhide(avp_type: int, hidden: bytes, secret: Secret, random_vector: bytes) -> bytes:
    """The value in its hidden form. Raises `Malformed` L2TP_HIDDEN_AVP when the length in it
    lies, which is all that shows when the secrets of both sides differ."""
    clear = bytearray()
    mask = digest(Hash.MD5, avp_type.to_bytes(2, "big") + secret.reveal() + random_vector)
    for at in range(0, len(hidden), _BLOCK):
        block = hidden[at : at + _BLOCK]
        clear += _xor(block, mask)
        mask = digest(Hash.MD5, secret.reveal() + block)
    octets = int.from_bytes(clear[:2], "big")
    if len(clear) < 2 or 2 + octets > len(clear):
        raise Malformed(
            Reason.L2TP_HIDDEN_AVP, f"hidden AVP {avp_type}: the tunnel secrets differ, or it lies"
        )
    return bytes(clear[2 : 2 + octets])


def _xor(block: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(block, mask, strict=False))
