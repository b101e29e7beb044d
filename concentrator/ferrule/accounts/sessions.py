"""How many sessions: of each user, and of the gateway.

A user who comes back after a crash meets his own stale session. He is never turned away for it:
`replace-oldest` ends the oldest one, `reject-new` ends the one from the same device (same source
address and same IKE identity) and refuses others. What several members share is in the store,
which decides in the same way (`store.leases`); then this is what of it is here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ferrule.accounts.users import OnLimit, User
from ferrule.core.credentials import Denied
from ferrule.core.reasons import Reason

SessionKey: TypeAlias = Hashable
SESSIONS_PER_USER: Final = 4
SESSIONS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """`sessions_per_user` holds for users without a `max_sessions` of their own. 0: no limit."""

    sessions_per_user: int = SESSIONS_PER_USER
    sessions_max: int = SESSIONS_MAX


@dataclass(slots=True)
class Admitted:
    """The session may start. End those in `replaced` first, with REPLACED_SESSION; they count no
    more, and their addresses are free."""

    replaced: tuple[SessionKey, ...] = ()


Admission: TypeAlias = Admitted | Denied


@dataclass(slots=True)
class _Session:
    username: str
    source: str
    identity: str
    since: float


class Sessions:
    """Who is on. Keys are the caller's."""

    __slots__ = ("_by_key", "_by_user")

    def __init__(self) -> None:
        self._by_key: dict[SessionKey, _Session] = {}
        self._by_user: dict[str, dict[SessionKey, None]] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(self._by_key)

    def username(self, key: SessionKey) -> str | None:
        session = self._by_key.get(key)
        return session.username if session is not None else None

    def of_user(self, username: str) -> tuple[SessionKey, ...]:
        """Oldest first."""
        return tuple(self._by_user.get(username, ()))

    def admit(
        self,
        key: SessionKey,
        user: User,
        source: str,
        now: float,
        limits: Limits,
        identity: str = "",
    ) -> Admission:
        """May `key` start? Asking again for a key that is on changes nothing.

        The reasons are TOO_MANY_SESSIONS and SESSIONS_LIMIT.
        """
        if self.username(key) == user.username:
            return Admitted()
        self.release(key)
        mine = self._by_user.get(user.username, {})
        limit = limit_of(user, limits)
        surplus = len(mine) + 1 - limit if limit else 0
        replaced: tuple[SessionKey, ...] = ()
        if surplus > 0:
            if user.on_limit is OnLimit.REPLACE_OLDEST:
                replaced = tuple(mine)[:surplus]
            else:
                replaced = tuple(k for k in mine if self._is_of(k, source, identity))[:surplus]
                if len(replaced) < surplus:
                    return Denied(Reason.TOO_MANY_SESSIONS)
        if limits.sessions_max and len(self._by_key) + 1 - len(replaced) > limits.sessions_max:
            return Denied(Reason.SESSIONS_LIMIT)
        for stale in replaced:
            self.release(stale)
        self._by_key[key] = _Session(user.username, source, identity, now)
        self._by_user.setdefault(user.username, {})[key] = None
        return Admitted(replaced)

    def adopt(
        self, key: SessionKey, username: str, source: str, identity: str, since: float
    ) -> None:
        """Somebody else let it in. It counts, whatever the limits are."""
        self.release(key)
        self._by_key[key] = _Session(username, source, identity, since)
        mine = [*self._by_user.get(username, ()), key]
        mine.sort(key=lambda one: self._by_key[one].since)
        self._by_user[username] = dict.fromkeys(mine)

    def release(self, key: SessionKey) -> None:
        """The session is over; nothing happens if it was not on."""
        session = self._by_key.pop(key, None)
        if session is None:
            return
        mine = self._by_user[session.username]
        del mine[key]
        if not mine:
            del self._by_user[session.username]

    def _is_of(self, key: SessionKey, source: str, identity: str) -> bool:
        return self.device(key) == (source, identity)

    def device(self, key: SessionKey) -> tuple[str, str]:
        """Source address and IKE identity of a session that is on."""
        session = self._by_key[key]
        return session.source, session.identity


def limit_of(user: User, limits: Limits) -> int:
    """0: no limit. A static address can be held once, so its user can be on once."""
    if user.static_ip is not None:
        return 1
    return limits.sessions_per_user if user.max_sessions is None else user.max_sessions
