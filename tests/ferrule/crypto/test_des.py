from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferrule.crypto.des import des_encrypt_block, expand_key

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc2759.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["des_keys"], ids=lambda v: v["raw"])
def test_key_expansion_of_rfc2759(vector: dict[str, str]) -> None:
    raw, expanded = bytes.fromhex(vector["raw"]), bytes.fromhex(vector["expanded"])
    assert expand_key(raw) == expanded
    block = b"\x01\x23\x45\x67\x89\xab\xcd\xef"
    assert des_encrypt_block(raw, block) == des_encrypt_block(expanded, block)


def test_every_octet_of_an_expanded_key_has_odd_parity() -> None:
    for raw in (bytes(7), b"\xff" * 7, bytes(range(7))):
        assert all(octet.bit_count() % 2 == 1 for octet in expand_key(raw))


def test_the_text_book_block() -> None:
    """The worked example of the DES literature (J. O. Grabbe, "The DES Algorithm Illustrated")."""
    key, block = bytes.fromhex("133457799bbcdff1"), bytes.fromhex("0123456789abcdef")
    assert des_encrypt_block(key, block).hex() == "85e813540f0ab405"


@pytest.mark.parametrize(("key", "block"), [(6, 8), (9, 8), (7, 7), (8, 16)])
def test_other_lengths_are_refused(key: int, block: int) -> None:
    with pytest.raises(ValueError, match="DES takes"):
        des_encrypt_block(bytes(key), bytes(block))
