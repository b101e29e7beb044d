from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ferrule.crypto.scrypt import DERIVED_OCTETS, derive

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc7914.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["scrypt"], ids=lambda v: v["password"] or "empty")
def test_rfc7914(vector: dict[str, Any]) -> None:
    arguments = (vector["password"].encode(), vector["salt"].encode())
    costs = (vector["n"], vector["r"], vector["p"])
    assert derive(*arguments, *costs, octets=64).hex() == vector["derived"]


def test_the_usual_length() -> None:
    assert len(derive(b"password", b"salt", 16, 1, 1)) == DERIVED_OCTETS


@pytest.mark.parametrize("costs", [(15, 1, 1), (16, 0, 1), (16, 1, 0), (1, 1, 1)])
def test_impossible_costs(costs: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        derive(b"password", b"salt", *costs)
