"""The inside of the file: built, parsed, and never believed when it is something else."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.store.interface import Checkpoint, Claim, Lease
from ferrule.store.snapshot import UNREADABLE, Image, LeaseImage, build_image, parse_image
from support.store import epoch_of, records_of, who

A, B = who("a-0", 2**64 - 1), who("a-1")
IMAGE = Image(
    epoch_of(3, A, B),
    records_of(epoch_of(3, A, B), beat=9),
    frozenset({B}),
    {7: Claim(A, 3), 8: Claim(B, 2)},
    {7: {"s1": Checkpoint(3, bytes(range(256))), "ß": Checkpoint(2, b"")}},
    LeaseImage(
        (Lease("s1", "ada", "laptop", 1, "a-0", IPv4Address("10.20.0.2")),),
        (5, 3, 4),
        {"ada": 3, "bob": 4},
    ),
)
EMPTY = Image(None, {}, frozenset(), {}, {}, LeaseImage((), (), {}))


@pytest.mark.parametrize("image", [IMAGE, EMPTY], ids=["full", "empty"])
def test_what_was_built_is_parsed(image: Image) -> None:
    assert parse_image(build_image(image)) == image


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 2000), octet=st.integers(0, 255), keep=st.booleans())
def test_other_octets_are_refused_or_read(cut: int, octet: int, keep: bool) -> None:
    octets = build_image(IMAGE)
    cut %= len(octets)
    changed = octets[:cut] + bytes([octet]) + (octets[cut + 1 :] if keep else b"")
    with contextlib.suppress(*UNREADABLE):
        assert isinstance(parse_image(changed), Image)
