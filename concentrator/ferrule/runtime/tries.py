"""Passwords that were tried at one member count at all: the lock-out is the gateway's.

Each member has the whole table and tells the others of each try; nobody asks before he judges. A
word that gets lost is a try that counts once less, and a member that has just started has heard of
none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ferrule.accounts.admission import Accounts
from ferrule.cluster.messages import Try, build_try, parse_try
from ferrule.cluster.ring import RingKind
from ferrule.core.reasons import Reason
from ferrule.gateway import effects as g
from ferrule.runtime.cluster import Cluster
from ferrule.runtime.relay import Relay

_WRONG: Final = frozenset({Reason.WRONG_PASSWORD, Reason.UNKNOWN_USER})


class Tries:
    """`accounts` are those of now: a reload may replace them. `clock` is the gateway's."""

    def __init__(
        self,
        cluster: Cluster,
        relay: Relay,
        accounts: Callable[[], Accounts],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._relay = relay
        self._accounts = accounts
        self._clock = clock

    def tell(self, tried: g.AuthTried) -> None:
        """All others, of a password that was tested."""
        if tried.reason is not None and tried.reason not in _WRONG:
            return
        source = tried.path.peer.host
        body = build_try(Try(tried.reason is None, source, tried.username))
        for member in self._cluster.peers:
            self._relay.ring.send(RingKind.TRY, body, member)

    def hear(self, body: bytes) -> None:
        """Raises ProtocolError."""
        tried = parse_try(body)
        self._accounts().note_try(
            tried.username, tried.source, right=tried.right, now=self._clock()
        )
