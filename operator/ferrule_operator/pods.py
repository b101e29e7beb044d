"""What a pod's own status says: whether it serves, and why it does not. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ferrule_operator.names import INIT_CONTAINER
from ferrule_operator.objects import Object, deleting, name_of
from ferrule_operator.reasons import Reason

_WORD: Final = re.compile(r"^(?:.*\n)?([A-Z][A-Za-z]{2,60}): (.+)", re.DOTALL)
# The kubelet tells these while all is well.
_HARMLESS: Final = frozenset({"PodInitializing", "ContainerCreating"})


def is_ready(pod: Object) -> bool:
    """Serves clients."""
    return not deleting(pod) and _condition(pod, "Ready").get("status") == "True"


def address_of(pod: Object) -> str:
    """Its address, when its main container runs; "" otherwise."""
    status = pod.get("status") or {}
    running = any(
        "running" in (c.get("state") or {}) for c in status.get("containerStatuses") or ()
    )
    return str(status.get("podIP") or "") if running and not deleting(pod) else ""


def host_of(pod: Object) -> str:
    """The address of its node."""
    return str((pod.get("status") or {}).get("hostIP") or "")


def trouble(pods: Iterable[Object]) -> tuple[str, str] | None:
    """Reason and message of the first pod that can't start, init steps first."""
    found = [said for pod in pods if not deleting(pod) and (said := _trouble(pod)) is not None]
    found.sort(key=lambda row: row[0] == Reason.POD_CANNOT_START)
    return found[0] if found else None


def _trouble(pod: Object) -> tuple[str, str] | None:
    status = pod.get("status") or {}
    name = name_of(pod)
    for container in status.get("initContainerStatuses") or ():
        if (message := _failure(container)) is not None:
            match = _WORD.match(message)
            if container.get("name") == INIT_CONTAINER and match is not None:
                return match[1], f"{name}: {match[2].strip()}"
            return Reason.INIT_FAILED, f"{name}: {message}"
    for container in (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ):
        waiting = (container.get("state") or {}).get("waiting") or {}
        failure = _failure(container)
        if waiting.get("reason") in _HARMLESS and failure is None:
            continue
        if waiting or failure is not None:
            words = (str(waiting.get("reason", "")), str(waiting.get("message", "")), failure or "")
            text = ": ".join(word for word in words if word)
            return Reason.POD_CANNOT_START, f"{name}: {text}"
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Reason.POD_CANNOT_START, f"{name}: {scheduled.get('message', 'not scheduled')}"
    return None


def _failure(container: Mapping[str, Any]) -> str | None:
    """What a container that ended badly, now or before its last restart, left as a message.
    One that runs now has overcome it."""
    state = container.get("state") or {}
    if "running" in state or container.get("ready"):
        return None
    for ended in (
        state.get("terminated"),
        (container.get("lastState") or {}).get("terminated") if "waiting" in state else None,
    ):
        if ended and ended.get("exitCode", 0) != 0:
            message = str(ended.get("message", "")).strip()
            return message or f"ended with {ended.get('exitCode')} ({ended.get('reason', '')})"
    return None


def _condition(pod: Object, kind: str) -> Mapping[str, Any]:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})
