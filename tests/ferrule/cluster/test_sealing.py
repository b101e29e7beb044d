"""Sealed blobs open for whom, what and when they were sealed, and tell nothing to others."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.cluster.sealing import (
    OVERHEAD_OCTETS,
    BlobKind,
    Context,
    Sealer,
    SealFault,
    pseudonym,
)
from ferrule.core.secret import Secret

KEY, NEW = Secret(b"k" * 32), Secret(b"n" * 32)
CONTEXT = Context("1/2/3", BlobKind.CHECKPOINT, 7)


def sealer(*keys: Secret, gateway: str = "home") -> Sealer:
    return Sealer(gateway, keys or (KEY,), random.Random(4).randbytes)


@given(st.binary(max_size=300))
def test_what_is_sealed_opens(plaintext: bytes) -> None:
    one = sealer()
    blob = one.seal(plaintext, CONTEXT)
    assert len(blob) == len(plaintext) + OVERHEAD_OCTETS
    assert one.open(blob, CONTEXT) == plaintext
    if len(plaintext) > 4:
        assert plaintext not in blob


@pytest.mark.parametrize(
    "context",
    [
        replace(CONTEXT, session="1/2/4"),
        replace(CONTEXT, kind=BlobKind.SNAPSHOT),
        replace(CONTEXT, epoch=8),
    ],
)
def test_a_blob_in_anothers_place_does_not_open(context: Context) -> None:
    assert sealer().open(sealer().seal(b"state", CONTEXT), context) is SealFault.BROKEN


def test_a_blob_of_another_gateway_does_not_open() -> None:
    blob = sealer(gateway="away").seal(b"state", CONTEXT)
    assert sealer().open(blob, CONTEXT) is SealFault.BROKEN


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 500), st.integers(1, 255))
def test_a_changed_blob_does_not_open(at: int, change: int) -> None:
    blob = bytearray(sealer().seal(b"state of a session", CONTEXT))
    blob[at % len(blob)] ^= change
    assert isinstance(sealer().open(bytes(blob), CONTEXT), SealFault)


@given(st.binary(max_size=80))
def test_noise_does_not_open(noise: bytes) -> None:
    assert isinstance(sealer().open(noise, CONTEXT), SealFault)


def test_rotation_in_three_steps() -> None:
    old, both, new = sealer(KEY), sealer(NEW, KEY), sealer(NEW)
    blob = old.seal(b"state", CONTEXT)
    assert both.open(blob, CONTEXT) == b"state"
    assert not both.is_current(blob)
    fresh = both.seal(b"state", CONTEXT)
    assert both.is_current(fresh)
    assert new.open(fresh, CONTEXT) == b"state"
    assert new.open(blob, CONTEXT) is SealFault.KEY


def test_no_two_blobs_share_a_nonce() -> None:
    one = sealer()
    assert len({one.seal(b"same", CONTEXT) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "keys", [[], [KEY, KEY], [KEY, NEW, Secret(b"x" * 32)], [Secret(b"short")]]
)
def test_keys_that_are_none(keys: list[Secret]) -> None:
    with pytest.raises(ValueError, match="key"):
        Sealer("home", keys, random.Random(4).randbytes)
    one = sealer(KEY)
    with pytest.raises(ValueError, match="key"):
        one.replace(keys)
    assert sealer(KEY).open(one.seal(b"state", CONTEXT), CONTEXT) == b"state"


def test_keys_are_replaced() -> None:
    one = sealer(KEY)
    blob = one.seal(b"state", CONTEXT)
    one.replace([NEW, KEY])
    assert one.open(blob, CONTEXT) == b"state"
    assert sealer(NEW).open(one.seal(b"state", CONTEXT), CONTEXT) == b"state"
    one.replace([NEW])
    assert one.open(blob, CONTEXT) is SealFault.KEY


def test_pseudonyms_tell_names_apart_and_nothing_else() -> None:
    assert pseudonym(KEY, "user", "ada") == pseudonym(KEY, "user", "ada")
    others = {
        pseudonym(KEY, "user", "ada"), pseudonym(KEY, "user", "bob"),
        pseudonym(KEY, "device", "ada"), pseudonym(NEW, "user", "ada"),
    }  # fmt: skip
    assert len(others) == 4
    assert all("ada" not in name and len(name) == 32 for name in others)
