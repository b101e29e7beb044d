"""Timers as data, against a plain model."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.deadlines import Deadline, DeadlineQueue, Deadlines


def test_the_earliest_comes_first_and_once() -> None:
    timers = Deadlines()
    assert timers.next is None
    timers.set("b", 2.0)
    timers.set("a", 1.0)
    timers.set("c", 3.0)
    timers.set("c", 0.5)
    assert timers.next == Deadline(0.5, "c")
    assert timers.pop_expired(1.0) == ["c", "a"]
    assert timers.pop_expired(1.0) == []
    timers.clear("b")
    timers.clear("never set")
    assert timers.next is None


KEYS = st.integers(0, 7)
TIMES = st.none() | st.integers(0, 40).map(float)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(KEYS, TIMES, st.booleans()), max_size=300))
def test_the_queue_behaves_like_a_dictionary(steps: list[tuple[int, float | None, bool]]) -> None:
    queue: DeadlineQueue[int] = DeadlineQueue()
    model: dict[int, float] = {}
    now = 0.0
    for key, at, pop in steps:
        queue.set(key, at)
        model.pop(key, None)
        if at is not None:
            model[key] = at
        assert queue.next == min(model.values(), default=None)
        assert len(queue) == len(model)
        if pop:
            now += 1.0
            due = queue.pop_expired(now)
            assert sorted(due) == sorted(k for k, t in model.items() if t <= now)
            assert [model[k] for k in due] == sorted(model[k] for k in due)
            for k in due:
                del model[k]


def test_moving_one_deadline_for_ever_does_not_grow() -> None:
    queue: DeadlineQueue[str] = DeadlineQueue()
    for step in range(10_000):
        queue.set("one", float(step))
    assert len(queue._heap) < 100
