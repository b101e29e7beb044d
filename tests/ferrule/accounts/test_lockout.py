from __future__ import annotations

import pytest

from ferrule.accounts.lockout import (
    FORGET_SECONDS,
    FREE_FAILURES,
    LONGEST_DELAY_SECONDS,
    Lockout,
    delay_seconds,
)

HOME, CAFE = "192.0.2.1", "198.51.100.7"


def fail(lockout: Lockout, times: int, now: float = 0.0, source: str = HOME) -> None:
    for _ in range(times):
        lockout.charge("alice", source, now)


@pytest.mark.parametrize(
    ("failures", "delay"),
    [(0, 0), (4, 0), (5, 2), (6, 4), (7, 8), (11, 128), (12, 256), (13, 300), (10**6, 300)],
)
def test_the_delay_doubles_up_to_its_end(failures: int, delay: float) -> None:
    assert delay_seconds(failures) == delay


def test_free_tries_then_a_delay_that_ends() -> None:
    lockout = Lockout()
    fail(lockout, FREE_FAILURES - 1)
    assert lockout.seconds_left("alice", HOME, 0.0) == 0
    fail(lockout, 1)
    assert lockout.seconds_left("alice", HOME, 0.5) == 1.5
    assert lockout.seconds_left("alice", HOME, 2.0) == 0
    fail(lockout, 1, now=2.0)
    assert lockout.seconds_left("alice", HOME, 2.0) == 4


def test_only_the_pair_waits() -> None:
    lockout = Lockout()
    fail(lockout, 20)
    assert lockout.seconds_left("alice", HOME, 1.0) == LONGEST_DELAY_SECONDS - 1
    assert lockout.seconds_left("alice", CAFE, 1.0) == 0
    assert lockout.seconds_left("bob", HOME, 1.0) == 0


def test_a_success_clears() -> None:
    lockout = Lockout()
    fail(lockout, 6)
    lockout.clear("alice", HOME)
    assert lockout.seconds_left("alice", HOME, 0.0) == 0
    assert len(lockout) == 0


def test_failures_are_forgotten_after_an_hour_of_peace() -> None:
    lockout = Lockout()
    fail(lockout, 12)
    fail(lockout, 1, now=FORGET_SECONDS)
    assert lockout.seconds_left("alice", HOME, FORGET_SECONDS) == 0


def test_a_refund_takes_one_try_back() -> None:
    lockout = Lockout()
    fail(lockout, FREE_FAILURES)
    lockout.refund("alice", HOME)
    assert lockout.seconds_left("alice", HOME, 0.0) == 0
    fail(lockout, 1)
    assert lockout.seconds_left("alice", HOME, 0.0) == 2
    lockout.refund("bob", HOME)
    for _ in range(FREE_FAILURES):
        lockout.refund("alice", HOME)
    assert len(lockout) == 0


def test_many_names_push_out_no_pair_that_waits_and_memory_is_bounded() -> None:
    lockout = Lockout(pairs_max=100)
    fail(lockout, 10)
    for i in range(1000):
        lockout.charge(f"made-up-{i}", HOME, 1.0)
    assert lockout.seconds_left("alice", HOME, 1.0) > 0
    assert len(lockout) <= 200
    for i in range(200):
        for _ in range(FREE_FAILURES):
            lockout.charge(f"tried-{i}", HOME, 2.0)
    assert len(lockout) <= 200
