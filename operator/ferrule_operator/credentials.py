"""Keys and passwords: taken from Secrets, made where there are none, replaced with an overlap.

Everything here works on Secrets' data; what is made is made of `entropy`. No value ever goes into
a message: findings say which Secret and which key.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ferrule.accounts.verifiers import build_verifier, parse_verifier
from ferrule.runtime.config_values import SECRET_MAX
from ferrule_operator.bundles import Stored
from ferrule_operator.names import ROTATE_ANNOTATION, ROTATED_ANNOTATION
from ferrule_operator.objects import Object, annotation, data_of

Entropy: TypeAlias = Callable[[int], bytes]

PSK_OCTETS: Final = 24  # 192 bits
PASSWORD_CHARACTERS: Final = 20
# Typed on telephones: no l, I, 1, O, 0; 5.8 bits a character.
_ALPHABET: Final = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Unusable(Exception):
    """A Secret, or a key of it, can't be used. `missing`: it is not there."""

    def __init__(self, message: str, *, missing: bool) -> None:
        super().__init__(message)
        self.missing: Final = missing


def text_at(secret: Object | None, name: str, key: str) -> str:
    """The text at a Secret's key, without one newline at its end. Raises Unusable."""
    if secret is None:
        raise Unusable(f"Secret {name} is not there", missing=True)
    octets = data_of(secret).get(key)
    if octets is None:
        raise Unusable(f"Secret {name} has no key {key}", missing=True)
    try:
        text = octets.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Unusable(f"Secret {name}: {key} is not UTF-8 text", missing=False) from None
    if not text:
        raise Unusable(f"Secret {name}: {key} is empty", missing=False)
    if len(text.encode()) > SECRET_MAX:
        raise Unusable(f"Secret {name}: {key} is longer than {SECRET_MAX} octets", missing=False)
    return text


def make_psk(entropy: Entropy) -> str:
    """32 characters that every client takes."""
    return base64.urlsafe_b64encode(entropy(PSK_OCTETS)).decode().rstrip("=")


def make_password(entropy: Entropy) -> str:
    """Twenty characters that can be read aloud: 116 bits."""
    characters: list[str] = []
    while len(characters) < PASSWORD_CHARACTERS:
        # 57 characters: of an octet's 256 values the last 28 would favour some of them.
        characters += [_ALPHABET[o % 57] for o in entropy(PASSWORD_CHARACTERS) if o < 228]
    return "".join(characters[:PASSWORD_CHARACTERS])


def wants_rotation(
    resource: Mapping[str, Any], secret: Object, wish: str = ROTATE_ANNOTATION
) -> bool:
    """Does the resource's annotation `wish` ask for another value than this Secret was made for?"""
    return annotation(resource, wish) != annotation(secret, ROTATED_ANNOTATION)


@dataclass(slots=True)
class Overlap:
    """What is accepted beside the present value, and until when (Unix seconds)."""

    value: str = field(default="", repr=False)
    until: float = 0.0


def overlap_of_text(
    now: float, present: str, before: str, kept: Overlap, seconds: float
) -> Overlap:
    """`before` is what pods accept now, `kept` what they accept beside it."""
    if before and before != present:
        return Overlap(before, now + seconds) if seconds > 0 else Overlap()
    return kept if kept.value and kept.until > now and kept.value != present else Overlap()


def overlap_of_verifier(now: float, present: str, stored: Stored | None, seconds: float) -> Overlap:
    """The same of a user's verifiers, where two texts may stand for one password."""
    if stored is None:
        return Overlap()
    if stored.verifier != present and not same_password(stored.verifier, present):
        return Overlap(stored.verifier, now + seconds) if seconds > 0 else Overlap()
    if stored.previous and stored.previous_until > now:
        return Overlap(stored.previous, stored.previous_until)
    return Overlap()


def same_password(one: str, other: str) -> bool:
    try:
        return parse_verifier(one).shares_password(parse_verifier(other))
    except ValueError:
        return False


def verifier_of(password: str, methods: tuple[str, ...]) -> str:
    """The stored form that all the methods of `ppp.auth` work with.

    Clear text only where CHAP-MD5 needs it, else the NT hash. Never scrypt: the password itself
    lies in a Secret beside, and whoever reads the one can read the other.
    """
    form = "plain" if "chap" in methods else "nt"
    return build_verifier(password, (form,), _no_entropy)


def _no_entropy(count: int) -> bytes:
    raise AssertionError(f"these forms have no salt of {count} octets")
