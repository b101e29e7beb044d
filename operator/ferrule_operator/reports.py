"""What pods say of themselves, on the concentrator's remote port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Report:
    """One pod's answer. `at` is Unix seconds; `connected` when each user came on last."""

    at: float
    version: str = ""
    ready: bool = False
    revisions: dict[str, int] = field(default_factory=dict)
    sessions: int = 0
    pool_free: int = 0
    users: dict[str, int] = field(default_factory=dict)
    connected: dict[str, float] = field(default_factory=dict)
    weak_sas: dict[str, int] = field(default_factory=dict)
    store: str = ""  # what is wrong with the store; "" for nothing, or none
    problem: str = ""  # what was wrong with the configuration handed in last


def parse_report(answer: Mapping[str, Any], at: float) -> Report:
    """Of the remote port's JSON. A field of another type counts as not said: versions differ."""
    return Report(
        at=at,
        version=_text(answer.get("version")),
        ready=answer.get("ready") is True,
        revisions={name: int(value) for name, value in _numbers(answer.get("revisions"))},
        sessions=_whole(answer.get("sessions")),
        pool_free=_whole(answer.get("pool_free")),
        users={name: int(value) for name, value in _numbers(answer.get("users"))},
        connected=dict(_numbers(answer.get("connected"))),
        weak_sas={name: int(value) for name, value in _numbers(answer.get("weak_sas"))},
        store=_text(answer.get("store")),
        problem=_text(answer.get("problem")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _numbers(value: object) -> Iterable[tuple[str, float]]:
    if not isinstance(value, dict):
        return
    for name, number in value.items():
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            yield str(name), number


def revisions_of(files: Mapping[str, str]) -> dict[str, int]:
    """The revisions of the files that a pod should run on."""
    return {
        name.removesuffix(".revision"): int(text)
        for name, text in files.items()
        if name.endswith(".revision")
    }


def is_current(report: Report, wanted: Mapping[str, int]) -> bool:
    """Does the pod run on these files, or newer ones?"""
    return all(report.revisions.get(name, -1) >= number for name, number in wanted.items())


def newest_connection(reports: Iterable[Report], username: str) -> float:
    """When the user came on last, in Unix seconds; 0 where no pod knows."""
    return max((report.connected.get(username, 0.0) for report in reports), default=0.0)
