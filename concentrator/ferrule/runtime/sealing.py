"""Messages between an operator and a concentrator, sealed with a key that both read from a Secret.

A message is JSON, sealed by AES-256-GCM under a random nonce. A reply is bound to the nonce of its
question. Nothing here touches the network: see `remote.py`, and the operator for the other end.
"""

from __future__ import annotations

import json
import os
from typing import Any, Final

from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import GCM_NONCE_OCTETS, GcmCipher
from ferrule.crypto.hashes import digest
from ferrule.crypto.suites import Cipher, Hash

QUESTION: Final = b"ferrule remote 1 question"
REPLY: Final = b"ferrule remote 1 reply"
KEY_OCTETS_MIN: Final = 16


class SealBroken(Exception):
    """Not a message that was sealed with this key, for this purpose."""


class Sealer:
    """One end of the conversation."""

    def __init__(self, key: Secret) -> None:
        """`key` is text of any form with at least 128 random bits."""
        self._cipher = GcmCipher(
            Cipher.AES256_GCM16, digest(Hash.SHA2_256, b"ferrule remote key\0" + key.reveal())
        )

    def seal(self, message: dict[str, Any], purpose: bytes) -> bytes:
        """Nonce | sealed JSON."""
        nonce = os.urandom(GCM_NONCE_OCTETS)
        return nonce + self._cipher.seal(nonce, json.dumps(message).encode(), purpose)

    def open(self, sealed: bytes, purpose: bytes) -> dict[str, Any]:
        """The message. Raises SealBroken."""
        nonce, rest = sealed[:GCM_NONCE_OCTETS], sealed[GCM_NONCE_OCTETS:]
        if len(nonce) < GCM_NONCE_OCTETS:
            raise SealBroken("too short")
        octets = self._cipher.open(nonce, rest, purpose)
        if octets is None:
            raise SealBroken("sealed with another key, or changed on the way")
        try:
            message = json.loads(octets)
        except ValueError:
            raise SealBroken("not JSON") from None
        if not isinstance(message, dict):
            raise SealBroken("not an object")
        return message


def reply_purpose(question: bytes) -> bytes:
    """What the reply to this sealed question is sealed for."""
    return REPLY + question[:GCM_NONCE_OCTETS]
