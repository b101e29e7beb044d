"""Stored forms of a password, and the check of a proof against them.

A verifier is text such as `scrypt:32768:8:1:SALT:HASH;nt:HASH` or `plain:TEXT`: one or more forms
joined by ";". MS-CHAP (RFC 2433, RFC 2759) needs the NT hash or clear text, CHAP-MD5 (RFC 1994)
clear text, PAP (RFC 1334) works with any form. The NT hash is as good as the password: whoever
reads it can log in with MS-CHAP. Argon2 and crypt(3) forms are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from ferrule.core.credentials import (
    Accepted,
    ChapProof,
    Denied,
    MsChapV1Proof,
    MsChapV2Proof,
    PapProof,
    Proof,
    Verdict,
)
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.chap import verify_chap_md5
from ferrule.crypto.compare import equal
from ferrule.crypto.hashes import digest
from ferrule.crypto.mschap import (
    NT_HASH_OCTETS,
    nt_password_hash,
    verify_mschapv1,
    verify_mschapv2,
)
from ferrule.crypto.scrypt import DERIVED_OCTETS, derive
from ferrule.crypto.suites import Hash

SCRYPT_N: Final = 1 << 15  # 32 MiB and some 60 ms for each check
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
SALT_OCTETS: Final = 16
DIGEST_OCTETS: Final = 16
SCRYPT_MEMORY_MAX: Final = 256 << 20  # octets; a verifier must not be a way to stop the gateway
SCRYPT_WORK_MAX: Final = 1 << 23  # n * r * p
FORMS: Final = "plain:TEXT, nt:HASH or scrypt:N:R:P:SALT:HASH"


@dataclass(slots=True, eq=False)
class ScryptForm:
    """RFC 7914: parameters, salt, and what the password derives to."""

    n: int
    r: int
    p: int
    salt: bytes
    derived: Secret

    def holds(self, password: bytes) -> bool:
        """Is this the password? Takes tens of milliseconds."""
        derived = derive(password, self.salt, self.n, self.r, self.p, len(self.derived))
        return equal(derived, self.derived.reveal())

    def same(self, other: ScryptForm) -> bool:
        return (self.n, self.r, self.p, self.salt) == (
            other.n,
            other.r,
            other.p,
            other.salt,
        ) and equal(self.derived.reveal(), other.derived.reveal())


@dataclass(slots=True, eq=False)
class Verifier:
    """The forms in which one password is stored; `nt_hash` is always there next to `clear`."""

    clear: Secret | None = None
    nt_hash: Secret | None = None
    scrypt: ScryptForm | None = None

    @classmethod
    def of_password(cls, password: str) -> Verifier:
        """Of a password in clear text: good for every method."""
        return cls(Secret(password.encode()), Secret(nt_password_hash(password)))

    def shares_password(self, other: Verifier) -> bool:
        """Is a form that both have the same? No common form counts as another password: to find
        out would take one slow derivation for each user at each reload."""
        if self.nt_hash is not None and other.nt_hash is not None:
            return equal(self.nt_hash.reveal(), other.nt_hash.reveal())
        if self.scrypt is not None and other.scrypt is not None:
            return self.scrypt.same(other.scrypt)
        return False

    def digests(self) -> tuple[bytes, ...]:
        """By which another process knows the password of a session that it takes over: one of
        each form that is compared above. As secret as the forms themselves."""
        digests = []
        if self.nt_hash is not None:
            digests.append(digest(Hash.SHA2_256, b"nt\0" + self.nt_hash.reveal()))
        if self.scrypt is not None:
            form = self.scrypt
            head = f"scrypt\0{form.n}:{form.r}:{form.p}:".encode()
            digests.append(digest(Hash.SHA2_256, head + form.salt + form.derived.reveal()))
        return tuple(one[:DIGEST_OCTETS] for one in digests)


def parse_verifier(text: str) -> Verifier:
    """Read what `ferrule hash-password` prints. Raises ValueError, without secrets in its text.

    `plain:` takes the rest of the text, semicolons included, so it stands last.
    """
    verifier = Verifier()
    rest = text.lstrip()
    while rest:
        if rest.startswith("plain:"):
            form, rest = rest, ""
        else:
            form, _, rest = rest.partition(";")
            form, rest = form.strip(), rest.lstrip()
        kind, _, body = form.partition(":")
        if kind == "plain" and body:
            given, verifier.nt_hash = verifier.nt_hash, Secret(nt_password_hash(body))
            verifier.clear = Secret(body.encode())
            if given is not None and not equal(given.reveal(), verifier.nt_hash.reveal()):
                raise ValueError("an NT hash and a clear text that are not of the same password")
        elif kind == "nt" and verifier.nt_hash is None:
            verifier.nt_hash = Secret(_hex(body, NT_HASH_OCTETS, "an NT hash"))
        elif kind == "scrypt" and verifier.scrypt is None:
            verifier.scrypt = _parse_scrypt(body)
        else:
            raise ValueError(f"not a verifier, or a form that stands twice; write {FORMS}")
    if verifier.nt_hash is None and verifier.scrypt is None:
        raise ValueError(f"an empty verifier; write {FORMS}")
    return verifier


def build_verifier(password: str, forms: tuple[str, ...], entropy: Callable[[int], bytes]) -> str:
    """The text of a verifier with these forms ("nt", "scrypt", "plain"), joined by ";".

    Takes tens of milliseconds for "scrypt". Raises ValueError for an unknown or missing form.
    """
    pieces = []
    for form in sorted(set(forms), key=("scrypt", "nt", "plain").index):
        if form == "nt":
            pieces.append(f"nt:{nt_password_hash(password).hex()}")
        elif form == "scrypt":
            salt = entropy(SALT_OCTETS)
            derived = derive(password.encode(), salt, SCRYPT_N, SCRYPT_R, SCRYPT_P)
            pieces.append(f"scrypt:{SCRYPT_N}:{SCRYPT_R}:{SCRYPT_P}:{salt.hex()}:{derived.hex()}")
        else:
            pieces.append(f"plain:{password}")
    if not pieces:
        raise ValueError("no form")
    return ";".join(pieces)


def verify(proof: Proof, verifier: Verifier) -> Verdict:
    """Does the proof hold? Denied says WRONG_PASSWORD or METHOD_NEEDS_OTHER_VERIFIER.

    `Accepted.username` is the proof's; the caller puts the account's in its place.
    """
    match proof:
        case PapProof():
            return _verify_pap(proof, verifier)
        case ChapProof():
            if verifier.clear is None:
                return Denied(Reason.METHOD_NEEDS_OTHER_VERIFIER)
            return _verdict(
                proof.username,
                verify_chap_md5(
                    proof.identifier, verifier.clear.reveal(), proof.challenge, proof.response
                ),
            )
        case MsChapV1Proof():
            if verifier.nt_hash is None:
                return Denied(Reason.METHOD_NEEDS_OTHER_VERIFIER)
            return _verdict(
                proof.username,
                verify_mschapv1(verifier.nt_hash.reveal(), proof.challenge, proof.nt_response),
            )
        case MsChapV2Proof():
            if verifier.nt_hash is None:
                return Denied(Reason.METHOD_NEEDS_OTHER_VERIFIER)
            response = verify_mschapv2(
                verifier.nt_hash.reveal(),
                proof.username,
                proof.authenticator_challenge,
                proof.peer_challenge,
                proof.nt_response,
            )
            if response is None:
                return Denied(Reason.WRONG_PASSWORD)
            return Accepted(proof.username, response)
        case _:
            assert_never(proof)


def is_slow(proof: Proof, verifier: Verifier) -> bool:
    """Does `verify` run scrypt for this, so that it belongs into a thread of its own?"""
    return isinstance(proof, PapProof) and verifier.nt_hash is None


def dummy_like(verifier: Verifier) -> Verifier:
    """A verifier of the same shape that no proof satisfies but by a 128-bit accident: what an
    unknown user is checked against, so that the answer takes as long."""
    dummy = Verifier()
    if verifier.clear is not None:
        dummy.clear = Secret(bytes(NT_HASH_OCTETS))
    if verifier.nt_hash is not None:
        dummy.nt_hash = Secret(bytes(NT_HASH_OCTETS))
    if (form := verifier.scrypt) is not None:
        dummy.scrypt = ScryptForm(form.n, form.r, form.p, form.salt, Secret(bytes(DERIVED_OCTETS)))
    return dummy


def _verify_pap(proof: PapProof, verifier: Verifier) -> Verdict:
    password = proof.password.reveal()
    if verifier.clear is not None:
        return _verdict(proof.username, equal(verifier.clear.reveal(), password))
    if verifier.nt_hash is not None:
        try:
            text = password.decode()
        except UnicodeDecodeError:
            text = password.decode("latin-1")
        return _verdict(proof.username, equal(verifier.nt_hash.reveal(), nt_password_hash(text)))
    if verifier.scrypt is not None:
        return _verdict(proof.username, verifier.scrypt.holds(password))
    return Denied(Reason.METHOD_NEEDS_OTHER_VERIFIER)


def _verdict(username: str, holds: bool) -> Verdict:
    return Accepted(username) if holds else Denied(Reason.WRONG_PASSWORD)


def _parse_scrypt(body: str) -> ScryptForm:
    fields = body.split(":")
    if len(fields) != 5 or not all(field.isascii() and field.isdecimal() for field in fields[:3]):
        raise ValueError("not scrypt:N:R:P:SALT:HASH with numbers N, R, P and hexadecimal digits")
    if any(len(field) > 10 for field in fields[:3]):
        raise ValueError("scrypt parameters that are too large")
    n, r, p = (int(field) for field in fields[:3])
    if n < 2 or n & (n - 1) or r < 1 or p < 1:
        raise ValueError("scrypt parameters: N is a power of two above 1, R and P are at least 1")
    if 128 * n * r > SCRYPT_MEMORY_MAX or n * r * p > SCRYPT_WORK_MAX:
        raise ValueError(
            f"scrypt parameters that take more than {SCRYPT_MEMORY_MAX >> 20} MiB or some seconds"
        )
    salt = _hex(fields[3], None, "a salt")
    derived = _hex(fields[4], DERIVED_OCTETS, "an scrypt hash")
    return ScryptForm(n, r, p, salt, Secret(derived))


def _hex(text: str, octets: int | None, what: str) -> bytes:
    try:
        value = bytes.fromhex(text) if text.isascii() and " " not in text else b""
    except ValueError:
        value = b""
    if not value or (octets is not None and len(value) != octets):
        size = f"{2 * octets} " if octets is not None else ""
        raise ValueError(f"not {what} of {size}hexadecimal digits")
    return value
