"""Shard bits in cookies and SPIs: written, read back, and not to be guessed."""

from __future__ import annotations

import random

import pytest

from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Spi
from ferrule.core.secret import Secret

KEY = Secret(b"k" * 32)


def names(shards: tuple[int, ...], seed: int = 1, key: Secret = KEY) -> ShardNames:
    return ShardNames(key, shards, random.Random(seed).randbytes)


@pytest.mark.parametrize("shards", [(0,), (1023,), (7, 500, 501), tuple(range(SHARDS))])
def test_every_name_is_of_one_of_our_shards(shards: tuple[int, ...]) -> None:
    own = names(shards)
    reader = names((0,), seed=2)  # any member with the key reads any name
    cookies = [own.cookie() for _ in range(300)]
    spis = [own.spi(()) for _ in range(300)]
    assert {reader.shard_of_cookie(cookie) for cookie in cookies} <= set(shards)
    assert {reader.shard_of_spi(spi) for spi in spis} <= set(shards)
    assert len(set(cookies)) == 300
    assert all(len(cookie) == 8 for cookie in cookies)
    assert all(256 <= spi < 1 << 32 for spi in spis)


def test_all_shards_are_drawn() -> None:
    own = names((3, 99, 512))
    assert {own.shard_of_spi(own.spi(())) for _ in range(100)} == {3, 99, 512}


def test_a_taken_spi_is_not_drawn_again() -> None:
    first = names((5,)).spi(())
    second = names((5,)).spi({first})
    assert first != second


def test_reserved_spis_are_not_drawn() -> None:
    label_zero = next(s for s in range(SHARDS) if names((s,)).spi(()) < 1 << 22)
    draws = iter([bytes(5), bytes(4) + b"\xff", b"\x00\x00\x00\x12\x34"])
    own = ShardNames(KEY, (label_zero,), lambda _: next(draws))
    assert own.spi(()) == Spi(0x1234)


def test_the_labels_depend_on_the_key() -> None:
    def labels(key: Secret) -> list[int]:
        return [names((shard,), key=key).spi(()) >> 22 for shard in range(64)]

    assert labels(KEY) == labels(KEY)
    assert labels(KEY) != labels(Secret(b"other"))
    assert labels(KEY) != list(range(64))
