from __future__ import annotations

from ferrule.telemetry.budget import CAUSES_MAX, LineBudget


def test_a_burst_then_the_rate_and_a_count_of_what_was_left_out() -> None:
    budget = LineBudget(rate=2.0, burst=3.0)
    assert [budget.take("a", 0.0) for _ in range(5)] == [0, 0, 0, None, None]
    assert budget.take("b", 0.0) == 0
    assert budget.take("a", 0.4) is None
    assert budget.take("a", 0.5) == 3
    assert budget.take("a", 100.0) == 0
    assert [budget.take("a", 100.0) for _ in range(3)] == [0, 0, None]


def test_causes_are_bounded() -> None:
    budget = LineBudget()
    for cause in range(3 * CAUSES_MAX):
        assert budget.take(cause, 0.0) == 0
    assert len(budget._causes) <= CAUSES_MAX
