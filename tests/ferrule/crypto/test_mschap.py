from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.crypto import mschap
from ferrule.crypto.md4 import md4

DIRECTORY = Path(__file__).parents[2] / "vectors"
V2 = json.loads((DIRECTORY / "rfc2759.json").read_text())["mschapv2"]
V1 = json.loads((DIRECTORY / "rfc2433.json").read_text())["mschapv1"]
NT_HASH = bytes.fromhex(V2["nt_hash"])
OURS = bytes.fromhex(V2["authenticator_challenge"])
THEIRS = bytes.fromhex(V2["peer_challenge"])
RESPONSE = bytes.fromhex(V2["nt_response"])


def test_rfc2759_step_by_step() -> None:
    assert mschap.nt_password_hash(V2["password"]) == NT_HASH
    assert md4(NT_HASH).hex() == V2["nt_hash_hash"]
    assert mschap.challenge_hash(THEIRS, OURS, V2["username"]).hex() == V2["challenge"]
    assert mschap.mschapv2_response(NT_HASH, V2["username"], OURS, THEIRS) == RESPONSE
    proof = mschap.mschapv2_authenticator_response(NT_HASH, V2["username"], OURS, THEIRS, RESPONSE)
    assert proof == V2["authenticator_response"]


def test_rfc2433() -> None:
    nt_hash, challenge = bytes.fromhex(V1["nt_hash"]), bytes.fromhex(V1["challenge"])
    assert mschap.nt_password_hash(V1["password"]) == nt_hash
    response = mschap.mschapv1_response(nt_hash, challenge)
    assert response.hex() == V1["nt_response"]
    assert mschap.verify_mschapv1(nt_hash, challenge, response)
    assert not mschap.verify_mschapv1(nt_hash, challenge, bytes(24))
    assert not mschap.verify_mschapv1(nt_hash, challenge, b"")
    assert not mschap.verify_mschapv1(nt_hash, challenge + b"\x00", response)


@pytest.mark.parametrize("username", ["User", "DOMAIN\\User", "a\\b\\User"])
def test_a_domain_is_not_hashed(username: str) -> None:
    proof = mschap.verify_mschapv2(NT_HASH, username, OURS, THEIRS, RESPONSE)
    assert proof == V2["authenticator_response"]
    assert mschap.mschapv2_response(NT_HASH, username, OURS, THEIRS) == RESPONSE


@pytest.mark.parametrize(
    ("username", "ours", "theirs", "response"),
    [
        ("user", OURS, THEIRS, RESPONSE),
        ("User", THEIRS, OURS, RESPONSE),
        ("User", OURS, THEIRS, RESPONSE[:-1]),
        ("User", OURS, THEIRS, bytes([RESPONSE[0] ^ 1]) + RESPONSE[1:]),
        ("User", OURS, THEIRS, b""),
    ],
    ids=["another case", "challenges swapped", "cut", "a bit", "empty"],
)
def test_what_does_not_hold(username: str, ours: bytes, theirs: bytes, response: bytes) -> None:
    assert mschap.verify_mschapv2(NT_HASH, username, ours, theirs, response) is None


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_beyond_ascii_holds_in_both_encodings(encoding: str) -> None:
    challenge = mschap.challenge_hash(THEIRS, OURS, "Jürgen".encode(encoding))
    response = mschap.challenge_response(challenge, NT_HASH)
    assert mschap.verify_mschapv2(NT_HASH, "Jürgen", OURS, THEIRS, response) is not None


def test_a_password_beyond_the_basic_plane() -> None:
    hashes = {mschap.nt_password_hash(text) for text in ("пароль", "🔑", "\ud83d", "")}
    assert len(hashes) == 4
