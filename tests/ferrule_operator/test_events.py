"""Events as the API server gets them."""

from __future__ import annotations

import kubernetes_validate
import pytest

from ferrule_operator.events import MESSAGE_MAX, Note, event
from ferrule_operator.reasons import EventReason
from support.operator import gateway


@pytest.mark.parametrize("reason", EventReason)
def test_events_are_valid(reason: EventReason) -> None:
    about = gateway()
    made = event(Note(about, reason, "x" * 5000), "2026-11-24T00:00:00Z", "operator-0")
    kubernetes_validate.validate(made, "1.37", strict=True)
    assert len(made["message"]) == MESSAGE_MAX
    assert made["involvedObject"]["uid"] == about["metadata"]["uid"]
    assert made["type"] in ("Normal", "Warning")


def test_the_same_news_has_the_same_key() -> None:
    about = gateway()
    one, two = (Note(about, EventReason.SCALED, "1 to 2 pods") for _ in range(2))
    assert one.key == two.key
    assert one.key != Note(about, EventReason.SCALED, "2 to 1 pods").key
