"""Events: noted by the planner, posted once, never with a secret in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ferrule_operator.names import MANAGER
from ferrule_operator.objects import Object, name_of, namespace_of, uid_of, version_of
from ferrule_operator.reasons import EventReason

WARNINGS: Final = frozenset(
    {
        EventReason.CONFIG_INVALID,
        EventReason.CREDENTIALS_MISSING,
        EventReason.USER_REJECTED,
        EventReason.UNAVAILABLE,
        EventReason.STORE_UNREACHABLE,
        EventReason.DRIFT_REPAIRED,
        EventReason.NAME_TAKEN,
        EventReason.REFUSED,
        EventReason.DRAIN_GIVEN_UP,
    }
)
MESSAGE_MAX: Final = 1000  # characters; the API server takes 1024


@dataclass(slots=True)
class Note:
    """Something that a person who looks at `about` should know."""

    about: Object
    reason: EventReason
    message: str

    @property
    def kind(self) -> Literal["Normal", "Warning"]:
        return "Warning" if self.reason in WARNINGS else "Normal"

    @property
    def key(self) -> tuple[str, str, str]:
        """The same news has the same key."""
        return uid_of(self.about), self.reason.value, self.message


def event(note: Note, when: str, identity: str) -> Object:
    """The object to create."""
    about = note.about
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "generateName": f"{name_of(about)[:200]}.",
            "namespace": namespace_of(about),
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": namespace_of(about),
            "name": name_of(about),
            "uid": uid_of(about),
            "resourceVersion": version_of(about),
        },
        "type": note.kind,
        "reason": note.reason.value,
        "message": note.message[:MESSAGE_MAX],
        "source": {"component": MANAGER},
        "reportingComponent": f"ferrule.dev/{MANAGER}",
        "reportingInstance": identity[:128],
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
