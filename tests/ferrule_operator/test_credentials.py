"""What is made, what is accepted beside it, and how long."""

from __future__ import annotations

import itertools
import os
import re

import pytest

from ferrule.accounts.verifiers import parse_verifier
from ferrule_operator.bundles import Stored
from ferrule_operator.credentials import (
    Overlap,
    Unusable,
    make_password,
    make_psk,
    overlap_of_text,
    overlap_of_verifier,
    text_at,
    verifier_of,
    wants_rotation,
)
from support.operator import annotated, secret, user

NOW = 1000.0


def test_what_is_made_is_random_and_can_be_typed() -> None:
    for make, pattern in (
        (make_psk, r"[-_A-Za-z0-9]{32}"),
        (make_password, r"[a-km-zA-HJ-NP-Z2-9]{20}"),
    ):
        made = {make(os.urandom) for _ in range(50)}
        assert len(made) == 50
        assert all(re.fullmatch(pattern, text) for text in made)


def test_octets_that_would_favour_a_character_are_not_used() -> None:
    octets = itertools.cycle((255, 228, 227, 0))
    made = make_password(lambda count: bytes(next(octets) for _ in range(count)))
    assert set(made) == {"9", "a"}


@pytest.mark.parametrize(
    ("before", "kept", "expected"),
    [
        ("", Overlap(), Overlap()),
        ("new", Overlap(), Overlap()),
        ("old", Overlap(), Overlap("old", NOW + 60)),
        ("old", Overlap("older", NOW + 9), Overlap("old", NOW + 60)),
        ("new", Overlap("old", NOW + 9), Overlap("old", NOW + 9)),
        ("new", Overlap("old", NOW - 1), Overlap()),
        ("new", Overlap("new", NOW + 9), Overlap()),
    ],
)
def test_overlap_of_a_text(before: str, kept: Overlap, expected: Overlap) -> None:
    assert overlap_of_text(NOW, "new", before, kept, 60) == expected
    if expected.value == before and before:
        assert overlap_of_text(NOW, "new", before, kept, 0) == Overlap()


def test_overlap_of_a_verifier() -> None:
    one, two = verifier_of("one", ("mschapv2",)), verifier_of("two", ("mschapv2",))
    plain = verifier_of("one", ("chap",))
    assert overlap_of_verifier(NOW, two, None, 60) == Overlap()
    assert overlap_of_verifier(NOW, two, Stored(one), 60) == Overlap(one, NOW + 60)
    assert overlap_of_verifier(NOW, two, Stored(one), 0) == Overlap()
    assert overlap_of_verifier(NOW, plain, Stored(one), 60) == Overlap()
    kept = Stored(two, one, NOW + 5)
    assert overlap_of_verifier(NOW, two, kept, 60) == Overlap(one, NOW + 5)
    assert overlap_of_verifier(NOW + 6, two, kept, 60) == Overlap()
    assert overlap_of_verifier(NOW, two, Stored("no verifier"), 60).value == "no verifier"


def test_stored_forms() -> None:
    assert verifier_of("pass", ("mschapv2", "pap")).startswith("nt:")
    assert verifier_of("pass", ("pap",)).startswith("nt:")
    assert verifier_of("pass;word", ("pap", "chap")) == "plain:pass;word"
    for methods in (("mschapv2",), ("chap",)):
        parse_verifier(verifier_of("ünï;plain:x", methods))


def test_a_rotation_is_wanted_when_the_annotations_differ() -> None:
    alice, made = user("alice"), secret("vpnuser-alice", {})
    assert not wants_rotation(alice, made)
    asked = annotated(alice, rotate="1")
    assert wants_rotation(asked, made)
    assert not wants_rotation(asked, annotated(made, **{"rotated-for": "1"}))


def test_no_message_holds_what_the_secret_holds() -> None:
    for texts in ({"k": "hunter2" * 1000}, {"other": "hunter2"}):
        with pytest.raises(Unusable) as caught:
            text_at(secret("s", texts), "s", "k")
        assert "hunter2" not in str(caught.value)
