"""Symmetric ciphers with the key set up once: CBC (RFC 2451, RFC 3602) and GCM (RFC 4106).

Callers pad: CBC takes whole blocks. A GCM nonce is salt | IV, 12 octets; who builds it must never
repeat it under one key. CBC objects keep one OpenSSL context a direction and let it chain from
message to message, which makes a packet three times cheaper than a new context does: what
precedes a message in the chain is its IV, so feeding the IV first gives the RFC's octets.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM

from ferrule.crypto.suites import Cipher

GCM_NONCE_OCTETS = 12


def _check_key(cipher: Cipher, key: bytes, *, aead: bool) -> None:
    if bool(cipher.info.tag) != aead:
        raise ValueError(f"{cipher.value} is not {'an AEAD' if aead else 'a CBC cipher'}")
    if len(key) != cipher.info.key:
        raise ValueError(f"{cipher.value} wants a key of {cipher.info.key} octets")


class CbcCipher:
    """AES-CBC or 3DES-CBC under one key. Raises ValueError for octets that are no whole blocks."""

    __slots__ = ("_algorithm", "_decryptor", "_encryptor", "block")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        _check_key(cipher, key, aead=False)
        self._algorithm = TripleDES(key) if cipher is Cipher.DES3_CBC else AES(key)
        self.block = cipher.info.block
        self._encryptor: CipherContext | None = None
        self._decryptor: CipherContext | None = None

    def _check(self, first: bytes, data: bytes) -> None:
        # A partial block would stay in the context and shift all later messages.
        if len(first) != self.block or len(data) % self.block:
            raise ValueError(f"CBC wants whole blocks of {self.block} octets")

    def encrypt(self, iv: bytes, plaintext: bytes) -> bytes:
        """The ciphertext under an IV that the caller dictates (IKE's chained IVs, vectors)."""
        self._check(iv, plaintext)
        return _Cipher(self._algorithm, CBC(iv)).encryptor().update(plaintext)

    def encrypt_seeded(self, seed: bytes, plaintext: bytes) -> bytes:
        """IV | ciphertext, where the IV is made of `seed`, one block of fresh random octets.

        The seed goes through the cipher (SP 800-38A appendix C, first method), so the IV is as
        unpredictable as RFC 3602 3 wants it even to who knows how seeds come about.
        """
        self._check(seed, plaintext)
        if self._encryptor is None:
            self._encryptor = _Cipher(self._algorithm, CBC(bytes(self.block))).encryptor()
        return self._encryptor.update(seed + plaintext)

    def decrypt(self, iv: bytes, ciphertext: bytes) -> bytes:
        """The plaintext, padding included."""
        self._check(iv, ciphertext)
        if self._decryptor is None:
            self._decryptor = _Cipher(self._algorithm, CBC(bytes(self.block))).decryptor()
        return self._decryptor.update(iv + ciphertext)[self.block :]


class GcmCipher:
    """AES-GCM under one key (without the salt) with the cipher's tag length: 8, 12 or 16."""

    __slots__ = ("_aead", "_algorithm", "tag")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        _check_key(cipher, key, aead=True)
        self._aead = AESGCM(key)
        self._algorithm = AES(key)
        self.tag = cipher.info.tag

    def seal(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        """Ciphertext | tag."""
        sealed = self._aead.encrypt(nonce, plaintext, associated)
        return sealed if self.tag == 16 else sealed[: self.tag - 16]

    def open(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
        """The plaintext of ciphertext | tag, or None if the tag is wrong or missing."""
        if len(sealed) < self.tag:
            return None
        try:
            if self.tag == 16:
                return self._aead.decrypt(nonce, sealed, associated)
            mode = GCM(nonce, sealed[-self.tag :], min_tag_length=self.tag)
            context = _Cipher(self._algorithm, mode).decryptor()
            context.authenticate_additional_data(associated)
            return context.update(sealed[: -self.tag]) + context.finalize()
        except InvalidTag:
            return None
