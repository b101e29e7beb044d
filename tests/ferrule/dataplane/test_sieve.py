"""The sieve of first messages: calm lets all through, a flood only those who come back."""

from __future__ import annotations

import tracemalloc

from ferrule.dataplane.sieve import BITS, GENERATION_SECONDS, Sieve


def flood(sieve: Sieve, start: float, seconds: float, rate: int) -> int:
    """How many of `rate` fresh senders a second pass."""
    count = int(seconds * rate)
    return sum(
        sieve.passes(("forger", start, number), start + number / rate) for number in range(count)
    )


def test_calm_lets_everybody_through() -> None:
    sieve = Sieve(calm_rate=100, now=0.0)
    assert all(sieve.passes(number, number / 50) for number in range(500))
    assert not sieve.flooded


def test_flood_passes_the_calm_rate_once_and_then_next_to_none() -> None:
    sieve = Sieve(calm_rate=100, now=0.0)
    passed = flood(sieve, 0.0, 3.0, 20_000)
    assert sieve.flooded
    assert 100 <= passed < 100 + 0.01 * 60_000


def test_an_honest_peer_passes_when_it_repeats_itself() -> None:
    sieve = Sieve(calm_rate=100, now=0.0)
    flood(sieve, 0.0, 2.0, 20_000)
    assert not sieve.passes("honest", 2.0)
    flood(sieve, 2.0, 4.0, 20_000)
    assert sieve.passes("honest", 6.0)


def test_what_was_seen_is_forgotten_after_two_generations() -> None:
    sieve = Sieve(calm_rate=10, now=0.0)
    flood(sieve, 0.0, 1.5, 100)
    assert not sieve.passes("honest", 1.5)
    later = 1.5 + 2 * GENERATION_SECONDS
    flood(sieve, later - 1.0, 1.0, 100)
    flood(sieve, later, 1.0, 100)
    assert not sieve.passes("honest", later + 1.0)


def test_calm_returns_after_the_flood() -> None:
    sieve = Sieve(calm_rate=100, now=0.0)
    flood(sieve, 0.0, 2.0, 1_000)
    assert sieve.flooded
    assert not sieve.passes("at once", 2.1)
    assert sieve.passes("somebody", 4.2)
    assert not sieve.flooded


def test_filters_are_there_only_for_a_flood() -> None:
    """Each plane has sieves, and a load generator has a thousand planes."""
    sieve = Sieve(calm_rate=100, now=0.0)
    tracemalloc.start()
    for number in range(50):
        sieve.passes(number, 0.5)
    assert tracemalloc.get_traced_memory()[1] < 10_000
    flood(sieve, 1.0, 30.0, 500)
    assert BITS >> 3 < tracemalloc.get_traced_memory()[0] < 2.1 * (BITS >> 3)
    sieve.passes("somebody", 31.0 + 2 * GENERATION_SECONDS)
    assert tracemalloc.get_traced_memory()[0] < 10_000
    tracemalloc.stop()
