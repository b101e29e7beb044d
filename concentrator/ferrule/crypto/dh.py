"""Diffie-Hellman in the groups of IKE: MODP (RFC 2409 6, RFC 3526), ECP (RFC 5903), curve25519.

Values are as IKE carries them: MODP numbers padded to the group's length, ECP as x | y, and the
shared ECP secret is x alone (RFC 5903 7 and 9). Private values come from the library's generator,
short exponents of twice the group's strength for MODP. A peer's value that is out of range, not
on the curve or of small order is refused. MODP 1024 is no group of OpenSSL, which would examine
it anew for each peer value in 31 ms: plain `pow` serves there.

The library warns that it will drop MODP some day; `pow` would then serve for all (4 ms, not 0.4,
for MODP 2048). The warning is for developers and is silenced where it arises.
"""

from __future__ import annotations

from typing import Final, Protocol
from warnings import catch_warnings

from cryptography.hazmat.primitives.asymmetric import dh, ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Group


def _pi(bits: int) -> int:
    """floor(pi * 2**bits), by Machin's formula with 64 guard bits."""
    one = 1 << (bits + 64)

    def arctan(inverse: int) -> int:
        term = total = one // inverse
        divisor, sign = 3, -1
        while term:
            term //= inverse * inverse
            total += sign * (term // divisor)
            divisor, sign = divisor + 2, -sign
        return total

    return (4 * (4 * arctan(5) - arctan(239))) >> 64


def _prime(bits: int, offset: int) -> int:
    """RFC 3526: 2^n - 2^(n-64) - 1 + 2^64 * ([2^(n-130) pi] + offset)."""
    prime: int = 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (_pi(bits - 130) + offset)
    return prime


GENERATOR: Final = 2
PRIMES: Final = {
    Group.MODP1024: _prime(1024, 129093),
    Group.MODP1536: _prime(1536, 741804),
    Group.MODP2048: _prime(2048, 124476),
    Group.MODP3072: _prime(3072, 1690314),
    Group.MODP4096: _prime(4096, 240904),
}
_CURVES: Final[dict[Group, ec.EllipticCurve]] = {
    Group.ECP256: ec.SECP256R1(),
    Group.ECP384: ec.SECP384R1(),
    Group.ECP521: ec.SECP521R1(),
}
with catch_warnings(action="ignore", category=CryptographyDeprecationWarning):
    _PARAMETERS: Final[dict[Group, dh.DHParameters]] = {
        group: dh.DHParameterNumbers(prime, GENERATOR).parameters()
        for group, prime in PRIMES.items()
        if group is not Group.MODP1024
    }
_ECDH: Final = ec.ECDH()

PUBLIC_OCTETS: Final = (
    {group: prime.bit_length() // 8 for group, prime in PRIMES.items()}
    | {group: 2 * ((curve.key_size + 7) // 8) for group, curve in _CURVES.items()}
    | {Group.CURVE25519: 32}
)


class DhKey(Protocol):
    """One side's ephemeral key. `public` goes into the KE payload."""

    @property
    def public(self) -> bytes: ...

    def shared(self, peer_public: bytes) -> bytes:
        """g^xy as RFC 2409 5 uses it. Raises Malformed(BAD_KEY_EXCHANGE)."""


def _refuse(detail: str) -> Malformed:
    return Malformed(Reason.BAD_KEY_EXCHANGE, detail)


def _check_length(group: Group, peer_public: bytes) -> None:
    if len(peer_public) != PUBLIC_OCTETS[group]:
        raise _refuse(f"{len(peer_public)} octets for {group.name}")


def _peer_number(group: Group, peer_public: bytes) -> int:
    """The peer's MODP value y with 1 < y < p - 1: the others give g^xy away."""
    _check_length(group, peer_public)
    value = int.from_bytes(peer_public, "big")
    if not 1 < value < PRIMES[group] - 1:
        raise _refuse(f"value out of range for {group.name}")
    return value


class _PlainModpKey:
    """MODP by `pow`, for a group that OpenSSL does not know by name."""

    __slots__ = ("_group", "_private", "public")

    def __init__(self, group: Group, private: int) -> None:
        self._group = group
        self._private = private
        prime = PRIMES[group]
        self.public = pow(GENERATOR, private, prime).to_bytes(PUBLIC_OCTETS[group], "big")

    def shared(self, peer_public: bytes) -> bytes:
        value = _peer_number(self._group, peer_public)
        secret = pow(value, self._private, PRIMES[self._group])
        return secret.to_bytes(PUBLIC_OCTETS[self._group], "big")


class _ModpKey:
    __slots__ = ("_group", "_key", "public")

    def __init__(self, group: Group, key: dh.DHPrivateKey) -> None:
        self._group = group
        self._key = key
        public = key.public_key().public_numbers().y
        self.public = public.to_bytes(PUBLIC_OCTETS[group], "big")

    def shared(self, peer_public: bytes) -> bytes:
        numbers = _PARAMETERS[self._group].parameter_numbers()
        value = _peer_number(self._group, peer_public)
        try:
            with catch_warnings(action="ignore", category=CryptographyDeprecationWarning):
                peer_key = dh.DHPublicNumbers(value, numbers).public_key()
            secret = self._key.exchange(peer_key)
        except ValueError as error:
            raise _refuse(f"value refused for {self._group.name}") from error
        return secret.rjust(PUBLIC_OCTETS[self._group], b"\0")


class _EcpKey:
    __slots__ = ("_group", "_key", "public")

    def __init__(self, group: Group, key: ec.EllipticCurvePrivateKey) -> None:
        self._group = group
        self._key = key
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = point[1:]

    def shared(self, peer_public: bytes) -> bytes:
        _check_length(self._group, peer_public)
        curve = _CURVES[self._group]
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + peer_public)
            return self._key.exchange(_ECDH, point)
        except ValueError as error:
            raise _refuse(f"point not on {self._group.name}") from error


class _Curve25519Key:
    __slots__ = ("_key", "public")

    def __init__(self, key: X25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def shared(self, peer_public: bytes) -> bytes:
        _check_length(Group.CURVE25519, peer_public)
        try:
            # RFC 7748 6.1: the library refuses the all-zero result of a point of small order.
            return self._key.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError as error:
            raise _refuse("point of small order on CURVE25519") from error


def generate(group: Group) -> DhKey:
    """A fresh ephemeral key of `group`."""
    if group is Group.CURVE25519:
        return _Curve25519Key(X25519PrivateKey.generate())
    if group in _CURVES:
        return _EcpKey(group, ec.generate_private_key(_CURVES[group]))
    if group in _PARAMETERS:
        return _ModpKey(group, _PARAMETERS[group].generate_private_key())
    # 256 random bits from the library's generator: more than twice the strength of 1024 bits.
    return _PlainModpKey(group, int.from_bytes(AESGCM.generate_key(256), "big"))


def load(group: Group, private: Secret) -> DhKey:
    """The key with a known private value (big-endian; little-endian for curve25519): vectors."""
    octets = private.reveal()
    if group is Group.CURVE25519:
        return _Curve25519Key(X25519PrivateKey.from_private_bytes(octets))
    value = int.from_bytes(octets, "big")
    if group in _CURVES:
        return _EcpKey(group, ec.derive_private_key(value, _CURVES[group]))
    return _PlainModpKey(group, value)
