"""Hidden AVPs against another implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.hidden import hide, unhide

_FILE = Path(__file__).parents[2] / "vectors" / "l2tp_hidden_avps.json"
VECTORS = json.loads(_FILE.read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS)
def test_vectors(vector: dict[str, Any]) -> None:
    value, hidden = bytes.fromhex(vector["value"]), bytes.fromhex(vector["hidden"])
    secret = Secret(bytes.fromhex(vector["secret"]))
    random_vector = bytes.fromhex(vector["random_vector"])
    assert unhide(vector["type"], hidden, secret, random_vector) == value
    # Padding is free (theirs is random, ours is not), what comes before it is not.
    ours = hide(vector["type"], value, secret, random_vector)
    assert ours[: 2 + len(value)] == hidden[: 2 + len(value)]
    assert len(ours) % 16 == 0
    assert unhide(vector["type"], ours, secret, random_vector) == value


def test_unpadded_hidden_forms_are_read() -> None:
    secret, random_vector = Secret(b"s"), b"rv"
    for octets in (0, 1, 13, 14, 15, 30, 31):
        value = bytes(range(octets))
        exact = hide(7, value, secret, random_vector)[: 2 + octets]
        assert unhide(7, exact, secret, random_vector) == value


@pytest.mark.parametrize("declared", [15, 16, 0xFFFF])
def test_a_length_that_lies(declared: int) -> None:
    # A hidden form of 16 octets whose length says that there are more than 14.
    secret, random_vector = Secret(b"s3cr3t"), b"0123456789abcdef"
    honest = hide(7, bytes(14), secret, random_vector)
    mask = honest[0] ^ (14 >> 8), honest[1] ^ (14 & 0xFF)
    lying = bytes((mask[0] ^ declared >> 8, mask[1] ^ declared & 0xFF)) + honest[2:]
    with pytest.raises(Malformed) as refused:
        unhide(7, lying, secret, random_vector)
    assert refused.value.reason is Reason.L2TP_HIDDEN_AVP


@pytest.mark.parametrize("hidden", [b"", b"\x00"])
def test_too_short_for_a_length(hidden: bytes) -> None:
    with pytest.raises(Malformed):
        unhide(7, hidden, Secret(b"s"), b"rv")
