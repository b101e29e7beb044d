from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.crypto.md4 import md4

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc1320.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["md4"], ids=lambda v: v["text"][:8] or "empty")
def test_rfc1320(vector: dict[str, str]) -> None:
    assert md4(vector["text"].encode()).hex() == vector["digest"]


@pytest.mark.parametrize("octets", [54, 55, 56, 57, 63, 64, 65, 119, 120])
def test_padding_around_a_block(octets: int) -> None:
    digests = {md4(bytes(octets + more)) for more in range(3)}
    assert len(digests) == 3
    assert all(len(digest) == 16 for digest in digests)
