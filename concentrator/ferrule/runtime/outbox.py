"""Messages that wait until what caused them is written down: output commit.

A client's peer must not learn of a state that nobody would have after our death. So its control
messages wait for the check-point, in order, for a moment at most. Promises (sequence numbers that
the check-point reserves) wait for as long as it takes. Plain data, in the time of whoever calls.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from ferrule.core.ids import ClientId

HOLD_SECONDS: Final = 0.25

M = TypeVar("M")  # a message
P = TypeVar("P")  # a promise


@dataclass(slots=True)
class _Held(Generic[M, P]):
    """`covered` by the check-point that is under way; `later` came after it was made. `since` is
    when the oldest message came."""

    since: float
    covered: list[M] = field(default_factory=list)
    later: list[M] = field(default_factory=list)
    covered_promises: list[P] = field(default_factory=list)
    later_promises: list[P] = field(default_factory=list)

    @property
    def messages(self) -> bool:
        return bool(self.covered or self.later)


class Outbox(Generic[M, P]):
    """By client. Empty almost always."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: OrderedDict[ClientId, _Held[M, P]] = OrderedDict()

    def __contains__(self, client: ClientId) -> bool:
        """Messages of the client wait."""
        held = self._held.get(client)
        return held is not None and held.messages

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, client: ClientId, message: M, now: float) -> None:
        held = self._held.setdefault(client, _Held(now))
        if not held.messages:
            held.since = now
        held.later.append(message)

    def promise(self, client: ClientId, promise: P, now: float) -> None:
        self._held.setdefault(client, _Held(now)).later_promises.append(promise)

    def cover(self, client: ClientId) -> None:
        """A check-point is made now: what is held may be done when that is written."""
        held = self._held.get(client)
        if held is not None:
            held.covered += held.later
            held.covered_promises += held.later_promises
            held.later, held.later_promises = [], []

    def written(self, client: ClientId, now: float) -> tuple[list[M], list[P]]:
        """That check-point is written: what may go out, and which promises hold."""
        held = self._held.get(client)
        if held is None:
            return [], []
        messages, held.covered, held.since = held.covered, [], now
        promises, held.covered_promises = held.covered_promises, []
        self._tidy(client, held)
        return messages, promises

    def release(self, client: ClientId) -> list[M]:
        """The client's messages don't wait any longer."""
        held = self._held.get(client)
        if held is None:
            return []
        messages, held.covered, held.later = held.covered + held.later, [], []
        self._tidy(client, held)
        return messages

    def promises(self, client: ClientId) -> list[P]:
        """Take them all."""
        held = self._held.get(client)
        if held is None:
            return []
        promises = held.covered_promises + held.later_promises
        held.covered_promises, held.later_promises = [], []
        self._tidy(client, held)
        return promises

    def drop(self, client: ClientId) -> None:
        """The client is another's, or gone."""
        self._held.pop(client, None)

    def overdue(self, now: float) -> list[M]:
        """What has waited long enough."""
        late = [
            who
            for who, held in self._held.items()
            if held.messages and held.since + HOLD_SECONDS <= now
        ]
        return [message for who in late for message in self.release(who)]

    def everything(self) -> list[M]:
        return [message for who in list(self._held) for message in self.release(who)]

    @property
    def deadline(self) -> float | None:
        """When `overdue` has something."""
        times = (held.since for held in self._held.values() if held.messages)
        since = min(times, default=None)
        return since + HOLD_SECONDS if since is not None else None

    def _tidy(self, client: ClientId, held: _Held[M, P]) -> None:
        if not held.messages and not held.covered_promises and not held.later_promises:
            del self._held[client]
