from __future__ import annotations

from ferrule.ppp.budget import Budget


def test_a_burst_then_a_rate() -> None:
    budget = Budget(burst=3, per_second=0.5)
    assert [budget.spend(10.0) for _ in range(5)] == [True, True, True, False, False]
    assert [budget.spend(11.0), budget.spend(12.0), budget.spend(12.0)] == [False, True, False]


def test_a_clock_that_steps_back_gives_nothing() -> None:
    budget = Budget(burst=1, per_second=1)
    assert budget.spend(100.0)
    assert not budget.spend(50.0)
    assert budget.spend(51.5)
