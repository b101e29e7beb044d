"""Encrypted messages: RFC 2408 3.1 (flag E), RFC 2409 5.5, 5.7 and appendix B (IVs, padding).

Phase 1 chains its IV from message 5 on; each later exchange starts from hash(last block | M-ID).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import CbcCipher
from ferrule.crypto.compare import equal
from ferrule.crypto.suites import Cipher
from ferrule.ike.header import HEADER_OCTETS, build_message
from ferrule.ike.iana import ExchangeType, Flag, PayloadType
from ferrule.ike.isakmp_sa import IsakmpSa
from ferrule.ike.keys import hash_1, phase2_iv
from ferrule.ike.payloads import (
    GENERIC_OCTETS,
    Contents,
    HashPayload,
    Payload,
    build_payloads,
    parse_payloads,
)

# QUIRK(racoon): pads by a random number of blocks, so padding is not checked; the hashes are.
PADDING_MAX: Final = 255
_GENERIC: Final = struct.Struct("!BBH")


def decrypt(cipher: Cipher, key: Secret, iv: bytes, message: bytes) -> tuple[bytes, bytes]:
    """Plaintext of the body, and its last ciphertext block. Raises Malformed."""
    body = message[HEADER_OCTETS:]
    block = cipher.info.block
    if not body or len(body) % block:
        raise Malformed(Reason.IKE_MALFORMED, f"{len(body)} octets are no whole blocks")
    return CbcCipher(cipher, key.reveal()).decrypt(iv, body), body[-block:]


def parse_decrypted(first: int, plaintext: bytes) -> Contents:
    """Raises Malformed."""
    return parse_payloads(first, plaintext, padding_max=PADDING_MAX)


def exchange_iv(sa: IsakmpSa, message_id: int) -> bytes:
    """The first IV of an exchange after phase 1."""
    return phase2_iv(sa.hash, sa.iv, message_id, sa.cipher.info.block)


def encrypt_message(
    sa: IsakmpSa,
    exchange: ExchangeType,
    message_id: int,
    first: int,
    body: bytes,
    iv: bytes,
) -> tuple[bytes, bytes]:
    """The message, and its last ciphertext block: the next IV."""
    if sa.cipher_key is None:
        raise ValueError("the ISAKMP SA has no keys yet")
    block = sa.cipher.info.block
    padded = body + bytes(-len(body) % block)
    sealed = CbcCipher(sa.cipher, sa.cipher_key.reveal()).encrypt(iv, padded)
    message = build_message(
        sa.icookie, sa.rcookie, first, exchange, Flag.ENCRYPTION, message_id, sealed
    )
    return message, sealed[-block:]


def hashed_body(payloads: Iterable[Payload], authenticate: Callable[[bytes], bytes]) -> bytes:
    """HASH, and the payloads that it covers with their generic headers."""
    first, rest = build_payloads(payloads)
    value = authenticate(rest)
    return _GENERIC.pack(first, 0, GENERIC_OCTETS + len(value)) + value + rest


def check_hash(
    contents: Contents, plaintext: bytes, authenticate: Callable[[bytes], bytes]
) -> None:
    """The HASH payload must come first and cover the rest (RFC 2409 5.5).

    Raises Malformed(PAYLOAD_NOT_ALLOWED) without one, Malformed(BAD_HASH) with a wrong one.
    """
    first = contents.payloads[0] if contents.payloads else None
    if not isinstance(first, HashPayload):
        raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, "HASH does not come first")
    if not equal(first.data, authenticate(plaintext[contents.first_end : contents.end])):
        raise Malformed(Reason.BAD_HASH, "")


def informational(sa: IsakmpSa, message_id: int, payloads: Iterable[Payload]) -> bytes:
    """RFC 2409 5.7: an authenticated informational message under an ISAKMP SA that is up."""
    if sa.keys is None:
        raise ValueError("the ISAKMP SA has no keys yet")
    skeyid_a = sa.keys.skeyid_a
    body = hashed_body(payloads, lambda rest: hash_1(sa.hash, skeyid_a, message_id, rest))
    iv = exchange_iv(sa, message_id)
    return encrypt_message(sa, ExchangeType.INFORMATIONAL, message_id, PayloadType.HASH, body, iv)[
        0
    ]
