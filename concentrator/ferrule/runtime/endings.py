"""Sessions that must end, on whichever member they are: kicked by an operator, or displaced.

Everybody is asked, for a session may just be moving; each says how many it has ended. What gets
lost on the way is found out when leases are renewed, or by whoever asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from ferrule.cluster.members import MemberName
from ferrule.cluster.messages import (
    Ending,
    EndSessions,
    build_end_sessions,
    build_sessions_ended,
    parse_end_sessions,
    parse_sessions_ended,
)
from ferrule.cluster.ring import RingKind
from ferrule.core.reasons import Reason
from ferrule.runtime.cluster import Cluster
from ferrule.runtime.relay import Relay

ANSWER_SECONDS: Final = 1.0


class Endings:
    """`end_here` ends sessions of ours, and says how many."""

    def __init__(
        self, cluster: Cluster, relay: Relay, end_here: Callable[[EndSessions], int]
    ) -> None:
        self._cluster = cluster
        self._relay = relay
        self._end_here = end_here
        self._last_ask = 0
        self._waiting: dict[int, tuple[set[MemberName], int, asyncio.Event]] = {}

    def tell(self, owner: str, session: str, reason: Reason) -> None:
        """The member `owner` shall end that session; "": whoever has it."""
        to = (MemberName(owner),) if owner else self._cluster.peers
        self._say(EndSessions(0, Ending.SESSION, session, reason), to)

    async def ask(self, what: Ending, name: str, reason: Reason) -> int:
        """How many sessions the others have ended."""
        peers = self._cluster.peers
        if not peers:
            return 0
        self._last_ask = self._last_ask % 0xFFFF_FFFF + 1
        ask, done = self._last_ask, asyncio.Event()
        self._waiting[ask] = (set(peers), 0, done)
        self._say(EndSessions(ask, what, name, reason), peers)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await done.wait()
        except TimeoutError:
            pass  # who does not answer is not there
        return self._waiting.pop(ask)[1]

    def on_end_sessions(self, sender: MemberName, body: bytes) -> None:
        """Raises ProtocolError, as the next one does."""
        wish = parse_end_sessions(body)
        count = self._end_here(wish)
        if wish.ask:
            answer = build_sessions_ended(wish.ask, count)
            self._relay.ring.send(RingKind.SESSIONS_ENDED, answer, sender)

    def on_sessions_ended(self, sender: MemberName, body: bytes) -> None:
        ask, count = parse_sessions_ended(body)
        waiting = self._waiting.get(ask)
        if waiting is None or sender not in waiting[0]:
            return
        left, total, done = waiting
        left.discard(sender)
        self._waiting[ask] = (left, total + count, done)
        if not left:
            done.set()

    def _say(self, wish: EndSessions, to: Iterable[MemberName]) -> None:
        body = build_end_sessions(wish)
        for member in to:
            self._relay.ring.send(RingKind.END_SESSION, body, member)
