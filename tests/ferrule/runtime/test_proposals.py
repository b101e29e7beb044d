from __future__ import annotations

import pytest

from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.runtime.proposals import (
    DEFAULT_PHASE1,
    DEFAULT_PHASE2,
    WEAK_PHASE1,
    WEAK_PHASE2,
    Phase1Suite,
    parse_phase1,
    parse_phase2,
    phase1_suites,
    phase2_suites,
    weak_phase1,
    weak_phase2,
)


@pytest.mark.parametrize(
    ("text", "suites"),
    [
        ("aes256-sha256-modp2048", ["aes256-sha256-modp2048"]),
        ("MODP2048-SHA1-3DES", ["3des-sha1-modp2048"]),
        ("aes256-sha2_256-x25519", ["aes256-sha256-curve25519"]),
        (
            "aes256-aes128-sha1-ecp256-ecp384",
            [
                "aes256-sha1-ecp256",
                "aes256-sha1-ecp384",
                "aes128-sha1-ecp256",
                "aes128-sha1-ecp384",
            ],
        ),
        ("aes128-md5-sha1-modp1024", ["aes128-md5-modp1024", "aes128-sha1-modp1024"]),
    ],
)
def test_phase1(text: str, suites: list[str]) -> None:
    assert [str(suite) for suite in parse_phase1(text)] == suites


@pytest.mark.parametrize(
    ("text", "suites"),
    [
        ("aes256-sha256", [EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA2_256_128)]),
        ("aes128gcm16", [EspSuite(Cipher.AES128_GCM16, None)]),
        ("aes128gcm", [EspSuite(Cipher.AES128_GCM16, None)]),
        (
            "3des-aes192-md5-sha512",
            [
                EspSuite(Cipher.DES3_CBC, Integrity.HMAC_MD5_96),
                EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA2_512_256),
                EspSuite(Cipher.AES192_CBC, Integrity.HMAC_MD5_96),
                EspSuite(Cipher.AES192_CBC, Integrity.HMAC_SHA2_512_256),
            ],
        ),
    ],
)
def test_phase2(text: str, suites: list[EspSuite]) -> None:
    assert list(parse_phase2(text)) == suites


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' in '' is not known in phase 1"),
        ("aes257-sha1-modp2048", "did you mean aes256"),
        ("blowfish-sha1-modp2048", "the words are 3des, aes128"),
        ("aes256-modp2048", "has no hash; add one of md5, sha1, sha256"),
        ("sha1-modp2048", "has no cipher; add one of 3des, aes128"),
        ("aes256-sha1", "has no group; add one of modp1024"),
        ("aes256-sha1-sha-modp2048", "has sha1 twice"),
        ("aes256gcm16-sha1-modp2048", "phase 1 of IKEv1 cannot use aes256gcm16"),
        ("aes256--sha1", "'' in"),
    ],
)
def test_phase1_refusals(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="'") as refusal:
        parse_phase1(text)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("aes256", "has no hash; add one of"),
        ("sha256", "has no cipher"),
        ("aes256gcm16-sha256", "GCM goes without a hash; leave sha256 out"),
        ("aes256gcm16-aes256-sha256", "lines of their own"),
        ("aes256-sha256-modp2048", "has no group; leave modp2048 out"),
        ("aes256-sha257", "did you mean sha256"),
    ],
)
def test_phase2_refusals(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="'") as refusal:
        parse_phase2(text)
    assert says in str(refusal.value)


def test_the_first_mention_counts() -> None:
    lines = ["aes128-sha1-modp2048", "aes256-aes128-sha1-modp2048"]
    assert phase1_suites(lines) == (
        Phase1Suite(Cipher.AES128_CBC, Hash.SHA1, Group.MODP2048),
        Phase1Suite(Cipher.AES256_CBC, Hash.SHA1, Group.MODP2048),
    )
    assert len(phase2_suites(["aes128-sha1", "aes128-sha1-md5"])) == 2


def test_weak_words() -> None:
    assert [w.word for w in weak_phase1("aes128-md5-sha1-modp1024-modp2048")] == ["md5", "modp1024"]
    assert weak_phase1("3des-sha1-modp1536") == ()
    assert [w.word for w in weak_phase2("aes128-md5-sha1")] == ["md5"]
    assert weak_phase2("aes128gcm16") == ()


def test_the_defaults_are_strong_complete_and_end_with_sha384() -> None:
    suites = phase1_suites(DEFAULT_PHASE1)
    assert not any(weak_phase1(line) for line in DEFAULT_PHASE1)
    assert not any(weak_phase2(line) for line in DEFAULT_PHASE2)
    assert {suite.group for suite in suites} == set(Group) - {Group.MODP1024}
    assert {suite.hash for suite in suites} == set(Hash) - {Hash.MD5}
    first_384 = next(i for i, suite in enumerate(suites) if suite.hash is Hash.SHA2_384)
    assert all(suite.hash is Hash.SHA2_384 for suite in suites[first_384:])
    esp = phase2_suites(DEFAULT_PHASE2)
    with_384 = [suite for suite in esp if suite.integrity is Integrity.HMAC_SHA2_384_192]
    assert list(esp[-len(with_384) :]) == with_384


@pytest.mark.parametrize(
    ("client", "offers", "choice"),
    [
        (
            "windows",
            "aes256-sha1-ecp384 aes128-sha1-ecp256 aes256-sha1-modp2048 3des-sha1-modp2048",
            "aes256-sha1-ecp384",
        ),
        (
            "macos",
            "aes256-sha256-modp2048 aes256-sha1-modp2048 aes256-md5-modp2048",
            "aes256-sha256-modp2048",
        ),
        (
            "android 8, with the group allowed",
            "aes256-sha384-modp1024 aes256-sha256-modp1024",
            None,
        ),
        ("mikrotik", "aes128-sha1-modp1024 aes128-sha1-modp2048", "aes128-sha1-modp2048"),
    ],
)
def test_what_the_default_order_chooses(client: str, offers: str, choice: str) -> None:
    assert _choice(DEFAULT_PHASE1, offers) == choice


def test_android_8_needs_the_weak_group_and_then_does_not_get_its_broken_sha384() -> None:
    offers = "aes256-sha384-modp1024 aes256-sha256-modp1024"
    assert _choice(DEFAULT_PHASE1, offers) is None
    allowed = (*DEFAULT_PHASE1, *WEAK_PHASE1["modp1024"])
    assert _choice(allowed, offers) == "aes256-sha256-modp1024"


def _choice(lines: tuple[str, ...], offers: str) -> str | None:
    return next((str(s) for s in phase1_suites(lines) if str(s) in offers.split()), None)


def test_what_allow_weak_adds_is_weak() -> None:
    for word, lines in WEAK_PHASE1.items():
        assert all(word in {w.word for w in weak_phase1(line)} for line in lines)
    for word, lines in WEAK_PHASE2.items():
        assert all(word in {w.word for w in weak_phase2(line)} for line in lines)
