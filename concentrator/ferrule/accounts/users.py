"""Users as configured, and the directory that finds them.

Names are compared case-sensitively. A leading "DOMAIN\\" is ignored, as RFC 2759 4 does in its
hash; "user@realm" is a name like any other. Left out: realms, and anything asked of a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from ferrule.accounts.verifiers import Verifier, dummy_like
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret

USERNAME_MAX: Final = 255  # characters; PAP's Peer-ID has one octet of length (RFC 1334 2.2.1)


class OnLimit(StrEnum):
    """What happens to a session above the user's limit."""

    REPLACE_OLDEST = "replace-oldest"
    REJECT_NEW = "reject-new"


@dataclass(slots=True, eq=False)
class User:
    """An account.

    `previous` is the password before, accepted as well during a rotation. `valid_until` is wall
    time in Unix seconds. `max_sessions` None: the gateway's limit; 0: no limit. Empty
    `allowed_cidrs`: what the gateway allows. Rates in octets a second, 0 for no limit.
    """

    username: str
    verifier: Verifier
    previous: Verifier | None = None
    enabled: bool = True
    valid_until: float | None = None
    static_ip: IPv4Address | None = None
    max_sessions: int | None = None
    on_limit: OnLimit = OnLimit.REPLACE_OLDEST
    allowed_cidrs: tuple[IPv4Network, ...] = ()
    rate_up: int = 0
    rate_down: int = 0
    groups: tuple[str, ...] = ()

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """All that are accepted, the current one first."""
        return (self.verifier,) if self.previous is None else (self.verifier, self.previous)


def judge(user: User, wall_now: float) -> Reason | None:
    """Why the account may not log in at `wall_now` (Unix seconds), or None if it may."""
    if not user.enabled:
        return Reason.USER_DISABLED
    if user.valid_until is not None and wall_now >= user.valid_until:
        return Reason.USER_EXPIRED
    return None


class Directory:
    """The users of a gateway. Raises ValueError for two of one name."""

    __slots__ = ("_dummies", "_users")

    def __init__(self, users: Iterable[User] = ()) -> None:
        self._users: dict[str, User] = {}
        for user in users:
            if user.username in self._users:
                raise ValueError(f"two users are called {user.username!r}")
            self._users[user.username] = user
        self._dummies = _dummies(self._users.values())

    def __len__(self) -> int:
        return len(self._users)

    def __iter__(self) -> Iterator[User]:
        return iter(self._users.values())

    def lookup(self, name: str) -> User | None:
        """The user of this Name or Peer-ID field: as it stands, else without its "DOMAIN\\"."""
        user = self._users.get(name)
        if user is None and "\\" in name:
            user = self._users.get(name.rpartition("\\")[2])
        return user

    def dummies(self, name: str) -> tuple[Verifier, ...]:
        """What an unknown name is checked against: of the shape of one of the users, and of the
        same one each time, so that the time taken does not tell which names exist."""
        return self._dummies[hash(name) % len(self._dummies)]


def _dummies(users: Iterable[User]) -> tuple[tuple[Verifier, ...], ...]:
    """One for each shape, as often as it occurs, to within a hundredth."""
    shapes: dict[tuple[object, ...], tuple[int, User]] = {}
    for user in users:
        shape = tuple(
            (v.clear is None, v.nt_hash is None, v.scrypt and (v.scrypt.n, v.scrypt.r, v.scrypt.p))
            for v in user.verifiers
        )
        count, _ = shapes.get(shape, (0, user))
        shapes[shape] = (count + 1, user)
    total = sum(count for count, _ in shapes.values())
    dummies: list[tuple[Verifier, ...]] = []
    for count, user in shapes.values():
        row = tuple(dummy_like(verifier) for verifier in user.verifiers)
        dummies.extend([row] * max(1, round(100 * count / total)))
    return tuple(dummies) or ((Verifier(nt_hash=Secret(bytes(16))),),)
