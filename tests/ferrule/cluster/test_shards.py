"""Shard bits in cookies and SPIs: written, read back, and not to be guessed."""

from __future__ import annotations

import random

import pytest

from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Spi
from ferrule.core.secret import Secret

KEY = Secret(b"k" * 32)


def names(shards: tuple[int, ...] = (), seed: int = 1, key: Secret = KEY) -> ShardNames:
    return ShardNames(key, shards, random.Random(seed).randbytes)


@pytest.mark.parametrize("shard", [0, 7, 500, 1023])
def test_a_name_is_of_the_shard_that_was_asked_for(shard: int) -> None:
    own = names((3,))  # what is ours does not matter here
    reader = names(seed=2)  # any member with the key reads any name
    cookies = [own.cookie(shard) for _ in range(300)]
    spis = [own.spi(shard, ()) for _ in range(300)]
    assert {reader.shard_of_cookie(cookie) for cookie in cookies} == {shard}
    assert {reader.shard_of_spi(spi) for spi in spis} == {shard}
    assert len(set(cookies)) == 300
    assert len(set(spis)) > 290
    assert all(len(cookie) == 8 for cookie in cookies)
    assert all(256 <= spi < 1 << 32 for spi in spis)


def test_every_shard_of_ours_is_drawn_and_no_other() -> None:
    own = names((3, 99, 512))
    assert {own.draw_shard() for _ in range(100)} == {3, 99, 512}


def test_shards_come_and_go() -> None:
    own = names((3, 99))
    own.shards = (4,)
    assert own.shards == (4,)
    assert {own.draw_shard() for _ in range(10)} == {4}
    own.shards = ()
    with pytest.raises(IndexError):
        own.draw_shard()


def test_a_taken_spi_is_not_drawn_again() -> None:
    first = names().spi(5, ())
    second = names().spi(5, {first})
    assert first != second


def test_reserved_spis_are_not_drawn() -> None:
    label_zero = next(s for s in range(SHARDS) if names().spi(s, ()) < 1 << 22)
    draws = iter([bytes(4), b"\x00\x00\x00\xff", b"\x00\x00\x12\x34"])
    own = ShardNames(KEY, (), lambda _: next(draws))
    assert own.spi(label_zero, ()) == Spi(0x1234)


def test_the_labels_depend_on_the_key() -> None:
    def labels(key: Secret) -> list[int]:
        one = names(key=key)
        return [one.spi(shard, ()) >> 22 for shard in range(64)]

    assert labels(KEY) == labels(KEY)
    assert labels(KEY) != labels(Secret(b"other"))
    assert labels(KEY) != list(range(64))
