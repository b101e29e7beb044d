"""The closed lists are closed, and are explained."""

from __future__ import annotations

import re

from ferrule_operator.events import WARNINGS
from ferrule_operator.reasons import (
    EVENTS,
    GATEWAY_CONDITIONS,
    REASONS,
    USER_CONDITIONS,
    EventReason,
    GatewayCondition,
    Reason,
    UserCondition,
)


def test_everything_is_explained() -> None:
    for words, texts in (
        (GatewayCondition, GATEWAY_CONDITIONS),
        (UserCondition, USER_CONDITIONS),
        (Reason, REASONS),
        (EventReason, EVENTS),
    ):
        assert set(texts) == set(words)
        for word, text in texts.items():
            assert re.fullmatch(r"[A-Z][A-Za-z]+", word.value)
            assert text.endswith(".") or "?" in text


def test_warnings_are_events() -> None:
    assert set(EventReason) >= WARNINGS
