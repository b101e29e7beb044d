"""What pods say of themselves, on the concentrator's remote port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

OLD_SECONDS: Final = 60.0  # behind the newest: the pod could not be asked when the others were


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
    store_up: bool | None = None  # None: it has said nothing of a shared store
    store_problem: str = ""
    members: tuple[str, ...] = ()  # as it sees them
    pool_used: int | None = None  # by its own sessions; None: it has not said
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
        pool_used=_whole(answer["pool_used"]) if "pool_used" in answer else None,
        users={name: int(value) for name, value in _numbers(answer.get("users"))},
        connected=dict(_numbers(answer.get("connected"))),
        weak_sas={name: int(value) for name, value in _numbers(answer.get("weak_sas"))},
        **_store(answer.get("store")),
        members=tuple(
            sorted(name for name in _list(answer.get("members")) if isinstance(name, str))
        ),
        problem=_text(answer.get("problem")),
    )


def _store(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("type") != "Valkey":
        return {}
    up = value.get("up")
    return {
        "store_up": up if isinstance(up, bool) else None,
        "store_problem": _text(value.get("why")),
    }


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


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


def newest(reports: Mapping[str, Report]) -> dict[str, Report]:
    """Without what pods said that have not answered since."""
    latest = max((report.at for report in reports.values()), default=0.0)
    return {name: report for name, report in reports.items() if report.at > latest - OLD_SECONDS}


def pool_free(reports: Sequence[Report]) -> int:
    """Addresses that nobody has. Each pod counts its own sessions' as used, and no others."""
    used = [report.pool_used for report in reports if report.pool_used is not None]
    if not reports or len(used) < len(reports):
        return min((report.pool_free for report in reports), default=0)
    size = max(report.pool_free + (report.pool_used or 0) for report in reports)
    return max(0, size - sum(used))
