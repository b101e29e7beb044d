"""Conditions, and the times in them."""

from __future__ import annotations

from ferrule_operator.conditions import (
    MESSAGE_MAX,
    merged,
    no,
    time_text,
    time_value,
    unknown,
    yes,
)


def test_the_time_is_that_of_the_last_change_of_the_status() -> None:
    first = merged([], [yes("Ready", "A", "x"), no("Draining", "B")], 1, 1000.5)
    assert first[0] == {
        "type": "Ready",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "1970-01-01T00:16:40Z",
        "reason": "A",
        "message": "x",
    }
    second = merged(first, [yes("Ready", "C", "y"), unknown("Draining", "B")], 2, 2000)
    assert second[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert (second[0]["reason"], second[0]["observedGeneration"]) == ("C", 2)
    assert second[1]["lastTransitionTime"] == "1970-01-01T00:33:20Z"
    assert [condition["status"] for condition in second] == ["True", "Unknown"]


def test_messages_have_an_end() -> None:
    (condition,) = merged([], [yes("Ready", "A", "x" * 5000)], 1, 0)
    assert len(condition["message"]) == MESSAGE_MAX


def test_times() -> None:
    assert time_value(time_text(1_790_000_000.9)) == 1_790_000_000
    assert time_value("soon") == 0.0
