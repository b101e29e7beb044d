"""The canonical lines: all about a session in one line, at its start, its end, or its failure.

They are plain fields for the log; the reason brings its stage, its summary and its remedy along,
so that nobody has to look them up. Texts of the peer come as they are: `logs` makes them harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ferrule.core.reasons import Reason, info

Line: TypeAlias = dict[str, object]


@dataclass(slots=True)
class SessionRecord:
    """What is known of a session, or of a set-up that did not become one. "" is unknown.

    `stages` maps a stage's name to the seconds it took; octets and packets are inner IP, up is
    from the client."""

    peer: str
    identity: str = ""
    username: str = ""
    address: str = ""
    auth_method: str = ""
    phase1_suite: str = ""
    phase2_suite: str = ""
    client_name: str = ""
    session: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    octets_up: int = 0
    octets_down: int = 0
    packets_up: int = 0
    packets_down: int = 0


def session_up(record: SessionRecord) -> Line:
    """For the log line "session up"."""
    return _known(record) | _stages(record)


def session_ended(record: SessionRecord, reason: Reason, detail: str = "") -> Line:
    """For the log line "session ended": everything, traffic included."""
    return (
        _known(record)
        | {
            "seconds": round(record.seconds, 1),
            "octets_up": record.octets_up,
            "octets_down": record.octets_down,
            "packets_up": record.packets_up,
            "packets_down": record.packets_down,
        }
        | _why(reason, detail)
        | _stages(record)
    )


def setup_failed(record: SessionRecord, reason: Reason, detail: str = "") -> Line:
    """For the log line "set-up failed": who, at which stage, why, and what to do about it."""
    row = info(reason)
    shows = {"client_shows": row.shows} if row.shows else {}
    return {"stage": row.stage.value} | _known(record) | _why(reason, detail) | shows


def _known(record: SessionRecord) -> Line:
    fields: Line = {
        "user": record.username,
        "address": record.address,
        "peer": record.peer,
        "identity": record.identity,
        "client": record.client_name,
        "auth": record.auth_method,
        "phase1": record.phase1_suite,
        "phase2": record.phase2_suite,
        "session": record.session,
    }
    return {name: value for name, value in fields.items() if value}


def _why(reason: Reason, detail: str) -> Line:
    row = info(reason)
    line: Line = {"reason": reason.value, "summary": row.summary}
    if detail:
        line["detail"] = detail
    if row.remedy:
        line["remedy"] = row.remedy
    return line


def _stages(record: SessionRecord) -> Line:
    return {f"{stage}_seconds": round(seconds, 3) for stage, seconds in record.stages.items()}
