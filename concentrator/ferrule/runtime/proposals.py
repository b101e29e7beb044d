"""Proposals as people write them: "aes256-sha256-modp2048" (phase 1), "aes256-sha256" (phase 2).

Words stand in any order, and several of a kind stand for all combinations: "aes256-aes128-sha1-
ecp256" is two transforms, ciphers varying slowest and groups fastest. The list's order is the
order of preference (RFC 2409 lets the responder choose); what is in two lines counts in the first.
RFC 2409 appendix A, RFC 3602, RFC 4106, RFC 4868, RFC 3526, RFC 5903, RFC 8031 give the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final, NamedTuple, TypeVar

from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity

T = TypeVar("T")
Word = Cipher | Hash | Group


class Phase1Suite(NamedTuple):
    """One acceptable phase 1 transform with a pre-shared key."""

    cipher: Cipher
    hash: Hash
    group: Group

    def __str__(self) -> str:
        return f"{self.cipher.value}-{self.hash.value}-{self.group.name.lower()}"


class Weak(NamedTuple):
    """A word that `ipsec.allowWeak` must name, and why."""

    word: str
    why: str


HASH_WORDS: Final = {h.value: h for h in Hash}
GROUP_WORDS: Final = {g.name.lower(): g for g in Group}
PHASE1_CIPHER_WORDS: Final = {c.value: c for c in Cipher if not c.info.tag}
ESP_CIPHER_WORDS: Final = {c.value: c for c in Cipher}
# Spellings of other programs.
SYNONYMS: Final = {
    "sha2_256": "sha256",
    "sha2_384": "sha384",
    "sha2_512": "sha512",
    "sha": "sha1",
    "x25519": "curve25519",
    "aes": "aes128",
    "3des_cbc": "3des",
    "aes128gcm": "aes128gcm16",
    "aes192gcm": "aes192gcm16",
    "aes256gcm": "aes256gcm16",
}
WEAK_HASHES: Final = {Hash.MD5: Weak("md5", "collisions are cheap, and it is shunned as a MAC")}
WEAK_GROUPS: Final = {
    Group.MODP1024: Weak("modp1024", "a well-funded listener can break it (Logjam)")
}
INTEGRITY_OF: Final = {integrity.hash: integrity for integrity in Integrity}

# SHA2-384 ranks last: Android 8 to 11 proposes it first, in both phases, and then fails with it.
DEFAULT_PHASE1: Final = (
    "aes256-aes128-aes192-sha256-sha512-sha1"
    "-ecp256-curve25519-ecp384-modp2048-ecp521-modp3072-modp4096-modp1536",
    "3des-sha256-sha1-ecp256-modp2048-modp1536",
    "aes256-aes128-aes192-sha384"
    "-ecp384-ecp256-curve25519-modp2048-ecp521-modp3072-modp4096-modp1536",
)
DEFAULT_PHASE2: Final = (
    "aes256gcm16-aes128gcm16",
    "aes256-aes128-aes192-sha256-sha1-sha512",
    "aes256gcm12-aes128gcm12-aes256gcm8-aes128gcm8",
    "3des-sha256-sha1",
    "aes256-aes128-sha384",
)
# What allowWeak adds behind the defaults.
WEAK_PHASE1: Final = {
    "modp1024": ("aes256-aes128-3des-sha256-sha1-modp1024",),
    "md5": ("aes256-aes128-3des-md5-modp2048-modp1536",),
}
WEAK_PHASE2: Final = {"md5": ("aes256-aes128-3des-md5",)}


def parse_phase1(text: str) -> tuple[Phase1Suite, ...]:
    """The transforms of one line. Raises ValueError that lists the legal words."""
    words = _words(text, PHASE1_CIPHER_WORDS, "phase 1", (*HASH_WORDS, *GROUP_WORDS))
    ciphers = _of_kind(words, Cipher)
    hashes = _of_kind(words, Hash)
    groups = _of_kind(words, Group)
    for found, kind, legal in (
        (ciphers, "cipher", PHASE1_CIPHER_WORDS),
        (hashes, "hash", HASH_WORDS),
        (groups, "group", GROUP_WORDS),
    ):
        if not found:
            raise ValueError(f"'{text}' has no {kind}; add one of {', '.join(legal)}")
    return tuple(Phase1Suite(c, h, g) for c in ciphers for h in hashes for g in groups)


def parse_phase2(text: str) -> tuple[EspSuite, ...]:
    """The ESP suites of one line. Raises ValueError that lists the legal words."""
    words = _words(text, ESP_CIPHER_WORDS, "phase 2", tuple(HASH_WORDS))
    ciphers = _of_kind(words, Cipher)
    hashes = _of_kind(words, Hash)
    if not ciphers:
        raise ValueError(f"'{text}' has no cipher; add one of {', '.join(ESP_CIPHER_WORDS)}")
    aead = [c for c in ciphers if c.info.tag]
    if aead and len(aead) < len(ciphers):
        raise ValueError(f"'{text}' mixes GCM with other ciphers; write them on lines of their own")
    if aead and hashes:
        raise ValueError(f"'{text}': GCM goes without a hash; leave {hashes[0].value} out")
    if aead:
        return tuple(EspSuite(cipher, None) for cipher in aead)
    if not hashes:
        raise ValueError(f"'{text}' has no hash; add one of {', '.join(HASH_WORDS)}")
    return tuple(EspSuite(c, INTEGRITY_OF[h]) for c in ciphers for h in hashes)


def phase1_suites(lines: Iterable[str]) -> tuple[Phase1Suite, ...]:
    """All transforms of all lines, in order of preference, each once."""
    return _once(suite for line in lines for suite in parse_phase1(line))


def phase2_suites(lines: Iterable[str]) -> tuple[EspSuite, ...]:
    """All suites of all lines, in order of preference, each once."""
    return _once(suite for line in lines for suite in parse_phase2(line))


def weak_phase1(text: str) -> tuple[Weak, ...]:
    """The weak words of a line that parses."""
    return _once(
        weak
        for suite in parse_phase1(text)
        for weak in (WEAK_HASHES.get(suite.hash), WEAK_GROUPS.get(suite.group))
        if weak is not None
    )


def weak_phase2(text: str) -> tuple[Weak, ...]:
    """The weak words of a line that parses."""
    return _once(
        WEAK_HASHES[suite.integrity.hash]
        for suite in parse_phase2(text)
        if suite.integrity is not None and suite.integrity.hash in WEAK_HASHES
    )


def _words(
    text: str, ciphers: dict[str, Cipher], phase: str, others: Sequence[str]
) -> tuple[Word, ...]:
    known: dict[str, Word] = {**ciphers, **HASH_WORDS, **GROUP_WORDS}
    legal = (*ciphers, *others)
    found: list[Word] = []
    for raw in text.split("-"):
        word = raw.strip().lower()
        word = SYNONYMS.get(word, word)
        if word not in legal:
            raise ValueError(_unknown(text, raw, word, phase, legal))
        if known[word] in found:
            raise ValueError(f"'{text}' has {word} twice; leave one of them out")
        found.append(known[word])
    return tuple(found)


def _unknown(text: str, raw: str, word: str, phase: str, legal: Sequence[str]) -> str:
    if phase == "phase 2" and word in GROUP_WORDS:
        return f"'{text}': {phase} has no group; leave {raw} out: the client decides about PFS"
    if word in ESP_CIPHER_WORDS:
        return f"'{text}': {phase} of IKEv1 cannot use {raw}; write aes256, aes192 or aes128"
    close = get_close_matches(word, legal, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"'{raw}' in '{text}' is not known in {phase}; {hint}the words are {', '.join(legal)}"


def _of_kind(words: Iterable[Word], kind: type[T]) -> tuple[T, ...]:
    return tuple(word for word in words if isinstance(word, kind))


def _once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))
