"""Conditions: set one, keep the time of its last change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

Status = Literal["True", "False", "Unknown"]
MESSAGE_MAX: Final = 1024  # characters; the API server takes 32768, people don't


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so now. `reason` is one word; the time is added by `merged`."""

    type: str
    status: Status
    reason: str
    message: str = ""

    @property
    def holds(self) -> bool:
        return self.status == "True"


def yes(kind: str, reason: str, message: str = "") -> Finding:
    return Finding(kind, "True", reason, message)


def no(kind: str, reason: str, message: str = "") -> Finding:
    return Finding(kind, "False", reason, message)


def unknown(kind: str, reason: str, message: str = "") -> Finding:
    return Finding(kind, "Unknown", reason, message)


def merged(
    before: Iterable[Mapping[str, Any]],
    findings: Iterable[Finding],
    generation: int,
    now: float,
) -> list[dict[str, Any]]:
    """The list for the status. The time of a condition changes only with its status."""
    times = {
        (condition.get("type"), condition.get("status")): condition.get("lastTransitionTime")
        for condition in before
    }
    return [
        {
            "type": finding.type,
            "status": finding.status,
            "observedGeneration": generation,
            "lastTransitionTime": times.get((finding.type, finding.status)) or time_text(now),
            "reason": finding.reason,
            "message": finding.message[:MESSAGE_MAX],
        }
        for finding in findings
    ]


def time_text(now: float) -> str:
    """RFC 3339, whole seconds, as metav1.Time has it."""
    return datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_value(text: str) -> float:
    """Unix seconds; 0 for what is no time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
