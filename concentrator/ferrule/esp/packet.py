"""One ESP packet, sealed or opened (RFC 4303): AES-CBC and 3DES-CBC with an HMAC, AES-GCM.

Keys are set up once an SA; a packet costs two calls into OpenSSL. The tag is verified before
anything is decrypted. Transport mode without extended sequence numbers; what the payload is, the
caller knows. Sealing is a function of key, SPI, sequence number and payload alone, so that every
data plane gives the same octets.
"""

from __future__ import annotations

import struct
from typing import Final

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Spi
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import CbcCipher, GcmCipher
from ferrule.crypto.compare import equal
from ferrule.crypto.hashes import HmacKey, hmac
from ferrule.crypto.suites import EspSuite, Integrity
from ferrule.esp.overhead import icv_octets
from ferrule.esp.window import ReplayWindow

LAST_SEQUENCE: Final = 0xFFFFFFFF
UDP: Final = 17
SHORT_TAG_OCTETS: Final = 12  # draft-ietf-ipsec-ciph-sha-256-00: SHA2-256 cut to 96 bits

_HEADER = struct.Struct(">II")
_PADDING = bytes(range(1, 256))  # RFC 4303 2.4: 1, 2, 3, ...
_NONCE_LABEL = b"ferrule ESP IV"


def _trailers(block: int, next_header: int) -> tuple[bytes, ...]:
    """The trailer for a payload of n octets stands at n modulo `block`."""
    counts = [(-residue - 2) % block for residue in range(block)]
    return tuple(_PADDING[:count] + bytes((count, next_header)) for count in counts)


def has_short_tags(suite: EspSuite) -> bool:
    """True if some peers cut this suite's tags to 96 bits."""
    return suite.integrity is Integrity.HMAC_SHA2_256_128


def _split(suite: EspSuite, key: Secret) -> tuple[bytes, bytes]:
    """KEYMAT of one direction: cipher key, then integrity key (or salt). RFC 2409 5.5."""
    keymat = key.reveal()
    if len(keymat) != suite.keymat_octets:
        raise ValueError(f"{suite} wants {suite.keymat_octets} octets of KEYMAT")
    cut = suite.cipher.info.key
    return keymat[:cut], keymat[cut:]


class _CbcSealer:
    """The IV is E(salt xor sequence number) under the SA's own key.

    SP 800-38A appendix C allows to encrypt a nonce that never repeats; that makes the IV
    unpredictable, as RFC 3602 3 asks, without an octet of randomness a packet. The salt is
    secret, so nobody can aim a plaintext block at the input that makes a later IV.
    """

    __slots__ = ("_block", "_cipher", "_last", "_mac", "_salt", "_trailers", "icv")

    def __init__(self, suite: EspSuite, key: Secret, next_header: int) -> None:
        cipher_key, mac_key = _split(suite, key)
        if suite.integrity is None:
            raise ValueError("CBC wants an integrity algorithm")
        self._cipher = CbcCipher(suite.cipher, cipher_key)
        self._mac = HmacKey(suite.integrity.hash, mac_key)
        self._block = suite.cipher.info.block
        self._salt = int.from_bytes(
            hmac(suite.integrity.hash, mac_key, _NONCE_LABEL)[: self._block], "big"
        )
        self._trailers = _trailers(self._block, next_header)
        self._last = 0  # the last cipher block, which the running context chains from
        self.icv = suite.integrity.icv

    def seal(self, header: bytes, sequence: int, payload: bytes) -> bytes:
        block = self._block
        seed = (self._salt ^ sequence ^ self._last).to_bytes(block, "big")
        sealed = self._cipher.encrypt_seeded(seed, payload + self._trailers[len(payload) % block])
        self._last = int.from_bytes(sealed[-block:], "big")
        packet = header + sealed
        return packet + self._mac.tag(packet)[: self.icv]


class _GcmSealer:
    """The IV is the sequence number, 64 bits: unique under the key (RFC 4106 3.1)."""

    __slots__ = ("_cipher", "_salt", "_trailers", "icv")

    def __init__(self, suite: EspSuite, key: Secret, next_header: int) -> None:
        cipher_key, self._salt = _split(suite, key)
        self._cipher = GcmCipher(suite.cipher, cipher_key)
        self._trailers = _trailers(suite.cipher.info.block, next_header)
        self.icv = suite.cipher.info.tag

    def seal(self, header: bytes, sequence: int, payload: bytes) -> bytes:
        iv = sequence.to_bytes(8, "big")
        plaintext = payload + self._trailers[len(payload) % 4]
        return header + iv + self._cipher.seal(self._salt + iv, plaintext, header)


class EspSealer:
    """The outbound side of a pair of IPsec SAs. `sequence` is the next number to use,
    `last_sequence` the last that may be."""

    __slots__ = ("_seal", "_sealer", "last_sequence", "sequence", "spi", "suite")

    def __init__(
        self,
        suite: EspSuite,
        key: Secret,
        spi: Spi,
        *,
        first_sequence: int = 1,
        last_sequence: int = LAST_SEQUENCE,
        next_header: int = UDP,
    ) -> None:
        """Raises ValueError if `key` is not `suite.keymat_octets` long."""
        self.suite = suite
        self.spi = spi
        self.sequence = first_sequence
        self.last_sequence = min(last_sequence, LAST_SEQUENCE)
        self._sealer: _CbcSealer | _GcmSealer
        if suite.integrity is None:
            self._sealer = _GcmSealer(suite, key, next_header)
        else:
            self._sealer = _CbcSealer(suite, key, next_header)
        self._seal = self._sealer.seal

    @property
    def icv(self) -> int:
        """Octets of the tag."""
        return self._sealer.icv

    def cut_tags(self, *, short: bool) -> None:
        """QUIRK(android): SHA2-256 tags of 96 bits, or whole ones; else nothing happens."""
        if has_short_tags(self.suite):
            self._sealer.icv = SHORT_TAG_OCTETS if short else icv_octets(self.suite)

    def reserve(self, last_sequence: int) -> bool:
        """Numbers up to `last_sequence` may be used. False: they might be already."""
        last_sequence = min(last_sequence, LAST_SEQUENCE)
        if last_sequence <= self.last_sequence:
            return False
        self.last_sequence = last_sequence
        return True

    def seal(self, payload: bytes) -> bytes:
        """The ESP packet, from the SPI to the tag.

        A sequence number never comes twice under one key (RFC 4303 3.3.3). Raises ProtocolError:
        SEQUENCE_EXHAUSTED behind number 2^32 - 1, SEQUENCE_UNRESERVED behind `last_sequence`.
        """
        sequence = self.sequence
        if sequence > self.last_sequence:
            exhausted = sequence > LAST_SEQUENCE
            raise ProtocolError(
                Reason.SEQUENCE_EXHAUSTED if exhausted else Reason.SEQUENCE_UNRESERVED
            )
        self.sequence = sequence + 1
        return self._seal(_HEADER.pack(self.spi, sequence), sequence, payload)


class _CbcOpener:
    """Verifies, then decrypts.

    QUIRK(android): where SHA2-256 tags may be short, a packet's length tells which it has, since
    all but the tag is 8 octets and whole blocks. A good whole tag settles it for the SA. A good
    short one does not: anybody on the way can make one by cutting a whole one.
    """

    __slots__ = ("_block", "_cipher", "_full", "_mac", "settled", "short_tags")

    def __init__(self, suite: EspSuite, key: Secret) -> None:
        cipher_key, mac_key = _split(suite, key)
        if suite.integrity is None:
            raise ValueError("CBC wants an integrity algorithm")
        self._cipher = CbcCipher(suite.cipher, cipher_key)
        self._mac = HmacKey(suite.integrity.hash, mac_key)
        self._block = suite.cipher.info.block
        self._full = suite.integrity.icv
        self.settled = not has_short_tags(suite)
        self.short_tags = False

    def open(self, packet: bytes) -> bytes:
        """Payload with trailer. Raises ProtocolError: ESP_MALFORMED, ESP_TAG."""
        block, icv = self._block, self._full
        if not self.settled and (len(packet) - 8 - SHORT_TAG_OCTETS) % block == 0:
            icv = SHORT_TAG_OCTETS
        ciphertext = len(packet) - 8 - block - icv
        if ciphertext < block or ciphertext % block:
            raise ProtocolError(Reason.ESP_MALFORMED)
        authentic = packet[:-icv]
        if not equal(self._mac.tag(authentic)[:icv], packet[-icv:]):
            raise ProtocolError(Reason.ESP_TAG)
        if not self.settled:
            self.short_tags = icv != self._full
            self.settled = not self.short_tags
        return self._cipher.decrypt(authentic[8 : 8 + block], authentic[8 + block :])


class _GcmOpener:
    __slots__ = ("_cipher", "_salt", "settled", "short_tags")

    def __init__(self, suite: EspSuite, key: Secret) -> None:
        cipher_key, self._salt = _split(suite, key)
        self._cipher = GcmCipher(suite.cipher, cipher_key)
        self.settled = True
        self.short_tags = False

    def open(self, packet: bytes) -> bytes:
        # RFC 4106 3.2 and RFC 4303 2.4: ciphertext ends on a 4-octet border.
        ciphertext = len(packet) - 16 - self._cipher.tag
        if ciphertext < 4 or ciphertext % 4:
            raise ProtocolError(Reason.ESP_MALFORMED)
        plaintext = self._cipher.open(self._salt + packet[8:16], packet[16:], packet[:8])
        if plaintext is None:
            raise ProtocolError(Reason.ESP_TAG)
        return plaintext


class EspOpener:
    """The inbound side of a pair of IPsec SAs, with its replay window."""

    __slots__ = ("_least", "_open", "_opener", "spi", "suite", "window")

    def __init__(self, suite: EspSuite, key: Secret, spi: Spi, *, window_top: int = 0) -> None:
        """Raises ValueError if `key` is not `suite.keymat_octets` long."""
        self.suite = suite
        self.spi = spi
        self.window = ReplayWindow(window_top)
        self._opener: _CbcOpener | _GcmOpener
        if suite.integrity is None:
            self._opener = _GcmOpener(suite, key)
        else:
            self._opener = _CbcOpener(suite, key)
        self._open = self._opener.open
        info = suite.cipher.info
        self._least = 8 + info.iv + info.block + min(icv_octets(suite), SHORT_TAG_OCTETS)

    @property
    def settled(self) -> bool:
        """The length of the peer's tags is known and will not change."""
        return self._opener.settled

    @property
    def short_tags(self) -> bool:
        """The peer cut the last packet's SHA2-256 tag to 96 bits."""
        return self._opener.short_tags

    def open(self, packet: bytes, next_header: int = UDP) -> bytes:
        """The payload of `packet`, which begins with this SA's SPI.

        RFC 4303 3.4: replay check, tag, window, decryption, padding. Raises ProtocolError:
        ESP_MALFORMED, ESP_REPLAY, ESP_TAG, ESP_PADDING, ESP_INNER (another next header, or a
        dummy packet of RFC 4303 2.6). The window has moved only if the tag was good.
        """
        if len(packet) < self._least:
            raise ProtocolError(Reason.ESP_MALFORMED)
        sequence = int.from_bytes(packet[4:8], "big")
        window = self.window
        if not window.check(sequence):
            raise ProtocolError(Reason.ESP_REPLAY)
        plaintext = self._open(packet)
        window.update(sequence)
        count = plaintext[-2]
        end = len(plaintext) - 2 - count
        if end < 0 or plaintext[end:-2] != _PADDING[:count]:
            raise ProtocolError(Reason.ESP_PADDING)
        if plaintext[-1] != next_header:
            raise ProtocolError(Reason.ESP_INNER)
        return plaintext[:end]
