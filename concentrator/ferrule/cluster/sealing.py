"""Blobs that leave the process are sealed: AES-256-GCM, bound to whose they are, what and when.

    version (1) | key id (4) | nonce (12) | ciphertext | tag (16)

Gateway, session, kind and epoch are authenticated and not stored: a blob that is put in another's
place, or carried over from another epoch, does not open. A store may still give back an older
blob of the same epoch; what must not repeat then is guarded by reservations, not by the seal.
Every session has a key of its own, derived from the gateway's: random nonces under one key would
be good for 2^32 blobs only, which a large gateway writes in three weeks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import GCM_NONCE_OCTETS, GcmCipher
from ferrule.crypto.hashes import hmac
from ferrule.crypto.suites import Cipher, Hash

VERSION: Final = 1
KEY_ID_OCTETS: Final = 4
KEY_OCTETS_MIN: Final = 32
KEYS_MAX: Final = 2
TAG_OCTETS: Final = 16
_HEAD_OCTETS: Final = 1 + KEY_ID_OCTETS + GCM_NONCE_OCTETS
OVERHEAD_OCTETS: Final = _HEAD_OCTETS + TAG_OCTETS


class BlobKind(StrEnum):
    """What is in a blob. Values are stable: they are part of what is authenticated."""

    CHECKPOINT = "checkpoint"
    DIRECTORY = "directory"
    SNAPSHOT = "snapshot"
    FORWARD = "forward"
    HAND_OVER = "hand-over"


class SealFault(Enum):
    """Why a blob does not open."""

    TOO_SHORT = "shorter than an empty blob is"
    VERSION = "of a version that this one does not read"
    KEY = "sealed with a key that is not (or no longer) ours"
    BROKEN = "changed, or sealed for another session, kind or epoch"


@dataclass(frozen=True, slots=True)
class Context:
    """What a blob is sealed for. `epoch` is that of the shard when it was written."""

    session: str
    kind: BlobKind
    epoch: int


class Sealer:
    """Seals and opens the blobs of one gateway.

    `keys` are one or two: the first seals, both open. To rotate, give every member the new key as
    the second one, then as the first, then drop the old one. Raises ValueError for no key, more
    than two, one twice, and for keys shorter than 32 octets.
    """

    __slots__ = ("_entropy", "_gateway", "_keys")

    def __init__(
        self, gateway: str, keys: Sequence[Secret], entropy: Callable[[int], bytes]
    ) -> None:
        self._gateway = gateway
        self._entropy = entropy
        self.replace(keys)

    def replace(self, keys: Sequence[Secret]) -> None:
        """Go on with these. Raises ValueError as at birth, and changes nothing then."""
        if not 1 <= len(keys) <= KEYS_MAX:
            raise ValueError(f"one key, or two while they are rotated, not {len(keys)}")
        if any(len(key) < KEY_OCTETS_MIN for key in keys):
            raise ValueError(f"a sealing key has at least {KEY_OCTETS_MIN} octets")
        named = {key_id(key): key for key in keys}
        if len(named) != len(keys):
            raise ValueError("the two keys are the same")
        self._keys = named

    def seal(self, plaintext: bytes, context: Context) -> bytes:
        """The blob; OVERHEAD_OCTETS longer than the plaintext."""
        identifier, key = next(iter(self._keys.items()))
        nonce = self._entropy(GCM_NONCE_OCTETS)
        head = bytes((VERSION,)) + identifier
        cipher = self._cipher(key, context)
        return head + nonce + cipher.seal(nonce, plaintext, self._associated(head, context))

    def open(self, blob: bytes, context: Context) -> bytes | SealFault:
        """The plaintext, or what is wrong."""
        if len(blob) < OVERHEAD_OCTETS:
            return SealFault.TOO_SHORT
        if blob[0] != VERSION:
            return SealFault.VERSION
        head, nonce = blob[: 1 + KEY_ID_OCTETS], blob[1 + KEY_ID_OCTETS : _HEAD_OCTETS]
        key = self._keys.get(head[1:])
        if key is None:
            return SealFault.KEY
        cipher = self._cipher(key, context)
        plaintext = cipher.open(nonce, blob[_HEAD_OCTETS:], self._associated(head, context))
        return SealFault.BROKEN if plaintext is None else plaintext

    def is_current(self, blob: bytes) -> bool:
        """Is it sealed with the first key? If not, seal it anew before the other one is dropped."""
        return blob[1 : 1 + KEY_ID_OCTETS] == next(iter(self._keys))

    def _cipher(self, key: Secret, context: Context) -> GcmCipher:
        derived = hmac(Hash.SHA2_256, key.reveal(), b"ferrule seal\0" + self._whose(context))
        return GcmCipher(Cipher.AES256_GCM16, derived)

    def _associated(self, head: bytes, context: Context) -> bytes:
        return head + context.epoch.to_bytes(8, "big") + self._whose(context)

    def _whose(self, context: Context) -> bytes:
        return _fields(self._gateway, context.session, context.kind.value)


def key_id(key: Secret) -> bytes:
    """4 octets by which a reader knows the key, and that say nothing about it."""
    return hmac(Hash.SHA2_256, key.reveal(), b"ferrule seal key id")[:KEY_ID_OCTETS]


def pseudonym(key: Secret, kind: str, name: str) -> str:
    """A name under which the store may count a user or a device without knowing it: 32 hexadecimal
    digits. `key` must outlive rotations, or users would count from zero."""
    tag = hmac(Hash.SHA2_256, key.reveal(), b"ferrule pseudonym\0" + _fields(kind, name))
    return tag[:16].hex()


def _fields(*texts: str) -> bytes:
    """Each behind its length, so that no two lists of texts look the same."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(field).to_bytes(4, "big") + field for field in encoded)
