"""The book of leases: limits and addresses in one step. What Valkey's scripts do, in Python.

Addresses are chosen as `accounts.pools` does: by the client's wish, by what the user had last, else
one that was never used, else the one released longest ago. A lease that is not renewed expires,
but not when nobody could renew it: after a pause in which nothing was asked (the store was stopped,
or its clock jumped) everybody gets time to come back first, and an owner that is known to live and
not heard keeps what it has. What is over does not come back: a renewal may arrive late, and who
was replaced may not have heard it; until then nobody but the same user gets his address. Times are
Unix milliseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Final

from ferrule.accounts.users import OnLimit
from ferrule.core.reasons import Reason
from ferrule.store.interface import (
    LEASE_SECONDS,
    OVER_SECONDS,
    Admission,
    Granted,
    Lease,
    LeaseRequest,
    Refused,
    Renewal,
    Replaced,
)
from ferrule.store.snapshot import LeaseImage

LEASE_MS: Final = int(LEASE_SECONDS * 1000)
GAP_MS: Final = LEASE_MS // 2  # without a question: leases could not be renewed
_NOBODY: Final[Mapping[str, int]] = MappingProxyType({})
OVER_MS: Final = int(OVER_SECONDS * 1000)
REAPED_MAX: Final = 100  # at once


class LeaseBook:
    """The leases of one gateway."""

    def __init__(self) -> None:
        self.leases: dict[str, Lease] = {}
        self._holders: dict[int, str] = {}
        self._users: dict[str, list[str]] = {}  # oldest first
        self._expiry: OrderedDict[str, int] = OrderedDict()  # soonest first
        self._released: OrderedDict[int, None] = OrderedDict()  # longest ago first
        self._cursors: dict[tuple[int, int], int] = {}
        self._over: OrderedDict[str, int] = OrderedDict()  # soonest forgotten first
        self._leaving: dict[str, tuple[Lease, int]] = {}  # had to make room, and is not over yet
        self._last_address: dict[str, int] = {}
        self._last_user: dict[int, str] = {}
        self._asked_ms: int | None = None
        self._quiet_until_ms = 0

    def admit(
        self, request: LeaseRequest, now_ms: int, said_all_ms: Mapping[str, int] = _NOBODY
    ) -> Admission:
        """`said_all_ms`: of each owner that lives, when it had last renewed all that it has."""
        self._reap(now_ms, said_all_ms)
        held = self.leases.get(request.session)
        if (
            held is not None
            and held.user == request.user
            and request.static in (None, held.address)
        ):
            self._extend(held.session, now_ms)
            return Granted(held.address)
        self._remove(request.session)
        replaced = self._make_room(request)
        if isinstance(replaced, Reason):
            return Refused(replaced)
        self._leaving.pop(request.session, None)
        awaited = self._awaited(request.user, now_ms, said_all_ms)
        address = self._choose(request, replaced, awaited)
        if isinstance(address, Reason):
            return Refused(address)
        out = tuple(Replaced(stale, self.leases[stale].owner) for stale in replaced)
        for stale in replaced:
            self._replace(stale, now_ms)
        self._over.pop(request.session, None)
        self._take(_lease(request, address), now_ms)
        return Granted(IPv4Address(address), out)

    def renew(self, leases: Sequence[Lease], now_ms: int) -> Renewal:
        self._note_time(now_ms)
        lost: list[str] = []
        displaced: list[Replaced] = []
        for lease in leases:
            if lease.session in self._over:
                lost.append(lease.session)
                continue
            other = self._holders.get(int(lease.address))
            if other is not None and other != lease.session:
                holder = self.leases[other]
                if (holder.since_ms, other) < (lease.since_ms, lease.session):
                    lost.append(lease.session)
                    self._remove(lease.session)
                    continue
                displaced.append(Replaced(other, holder.owner))
                self._replace(other, now_ms)
            known = self.leases.get(lease.session)
            if known is not None and (known.address, known.user) == (lease.address, lease.user):
                self.leases[lease.session] = replace(known, owner=lease.owner)
                self._extend(lease.session, now_ms)
                continue
            self._remove(lease.session)
            self._take(lease, now_ms)
        return Renewal(tuple(lost), tuple(displaced))

    def release(self, session: str, now_ms: int) -> None:
        self._note_time(now_ms)
        self._end(session, now_ms)
        self._leaving.pop(session, None)

    def dump(self) -> LeaseImage:
        """What a file keeps."""
        return LeaseImage(
            tuple(self.leases.values()), tuple(self._released), dict(self._last_address)
        )

    def load(self, image: LeaseImage, now_ms: int) -> None:
        """Into an empty book. All leases have LEASE_SECONDS from now."""
        for lease in image.leases:
            self._take(lease, now_ms)
        self._released = OrderedDict.fromkeys(image.released)
        for user, address in image.last_address.items():
            self._last_address[user], self._last_user[address] = address, user

    # --- limits -----------------------------------------------------------------------------

    def _make_room(self, request: LeaseRequest) -> tuple[str, ...] | Reason:
        """The sessions that have to end for this one."""
        mine = self._users.get(request.user, [])
        surplus = len(mine) + 1 - request.limit if request.limit else 0
        replaced: tuple[str, ...] = ()
        if surplus > 0:
            may_go = [
                session
                for session in mine
                if request.on_limit is OnLimit.REPLACE_OLDEST
                or self.leases[session].device == request.device
            ]
            replaced = tuple(may_go[:surplus])
            if len(replaced) < surplus:
                return Reason.TOO_MANY_SESSIONS
        total = len(self.leases) + 1 - len(replaced)
        if request.sessions_max and total > request.sessions_max:
            return Reason.SESSIONS_LIMIT
        return replaced

    # --- addresses --------------------------------------------------------------------------

    def _awaited(self, user: str, now_ms: int, said_all_ms: Mapping[str, int]) -> set[int]:
        """Addresses of sessions of other users that may not have heard yet that they are over."""
        self._leaving = {
            session: (lease, until)
            for session, (lease, until) in self._leaving.items()
            if until > now_ms or _may_hold(lease.owner, until, said_all_ms)
        }
        return {int(lease.address) for lease, _ in self._leaving.values() if lease.user != user}

    def _choose(
        self, request: LeaseRequest, replaced: Sequence[str], awaited: set[int]
    ) -> int | Reason:
        freed = [int(self.leases[session].address) for session in replaced]
        if request.static is not None:
            address = int(request.static)
            if (address in self._holders and address not in freed) or address in awaited:
                return Reason.STATIC_ADDRESS_TAKEN
            return address
        ranges = [(int(first), int(last)) for first, last in request.ranges]
        wishes = (int(request.requested or 0), self._last_address.get(request.user, 0))
        for wish in wishes:
            free = (wish not in self._holders or wish in freed) and wish not in awaited
            awaited_by = self._last_user.get(wish, request.user)  # who will ask for it again
            if free and awaited_by == request.user and _within(wish, ranges):
                return wish
        address = self._never_used(ranges) or self._longest_released(ranges, awaited)
        address = address or next((a for a in freed if _within(a, ranges)), 0)
        return address or Reason.POOL_EXHAUSTED

    def _never_used(self, ranges: Iterable[tuple[int, int]]) -> int:
        for first, last in ranges:
            cursor = self._cursors.get((first, last), first)
            while cursor <= last and (cursor in self._holders or cursor in self._released):
                cursor += 1
            self._cursors[first, last] = cursor
            if cursor <= last:
                return cursor
        return 0

    def _longest_released(self, ranges: Sequence[tuple[int, int]], awaited: set[int]) -> int:
        return next((a for a in self._released if a not in awaited and _within(a, ranges)), 0)

    # --- the book ---------------------------------------------------------------------------

    def _take(self, lease: Lease, now_ms: int) -> None:
        address = int(lease.address)
        self.leases[lease.session] = lease
        self._holders[address] = lease.session
        self._extend(lease.session, now_ms)
        self._released.pop(address, None)
        mine = [*self._users.get(lease.user, ()), lease.session]
        mine.sort(key=lambda session: (self.leases[session].since_ms, session))
        self._users[lease.user] = mine
        former = self._last_user.get(address)
        if former is not None and self._last_address.get(former) == address:
            del self._last_address[former]
        before = self._last_address.get(lease.user)
        if before is not None and before != address:
            self._last_user.pop(before, None)
        self._last_address[lease.user] = address
        self._last_user[address] = lease.user

    def _replace(self, session: str, now_ms: int) -> None:
        """It makes room, and is going to be told so."""
        self._leaving[session] = (self.leases[session], now_ms + LEASE_MS)
        self._end(session, now_ms)

    def _end(self, session: str, now_ms: int) -> None:
        """Whoever renews it from now on is told so."""
        self._remove(session)
        self._over[session] = now_ms + OVER_MS
        self._over.move_to_end(session)

    def _remove(self, session: str) -> None:
        lease = self.leases.pop(session, None)
        if lease is None:
            return
        del self._expiry[session]
        del self._holders[int(lease.address)]
        self._released[int(lease.address)] = None
        self._users[lease.user].remove(session)
        if not self._users[lease.user]:
            del self._users[lease.user]

    # --- time -------------------------------------------------------------------------------

    def _note_time(self, now_ms: int) -> None:
        if self._asked_ms is not None and now_ms - self._asked_ms > GAP_MS:
            self._quiet_until_ms = now_ms + LEASE_MS
        self._asked_ms = now_ms
        while self._over and next(iter(self._over.values())) <= now_ms:
            self._over.popitem(last=False)

    def _reap(self, now_ms: int, said_all_ms: Mapping[str, int]) -> None:
        self._note_time(now_ms)
        if now_ms < self._quiet_until_ms:
            return
        for _ in range(REAPED_MAX):
            session = next(iter(self._expiry), None)
            if session is None or self._expiry[session] > now_ms:
                break
            if _may_hold(self.leases[session].owner, self._expiry[session], said_all_ms):
                self._extend(session, now_ms)
            else:
                self._remove(session)

    def _extend(self, session: str, now_ms: int) -> None:
        self._expiry[session] = now_ms + LEASE_MS
        self._expiry.move_to_end(session)


def _may_hold(owner: str, until_ms: int, said_all_ms: Mapping[str, int]) -> bool:
    """Does the owner of what was renewed LEASE_MS before live, and has had no chance to say that it
    does not hold it any more? A round of renewals takes a while: one just after does not count."""
    said = said_all_ms.get(owner)
    return said is not None and said < until_ms - LEASE_MS + GAP_MS


def _within(address: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= address <= last for first, last in ranges)


def _lease(request: LeaseRequest, address: int) -> Lease:
    return Lease(
        request.session,
        request.user,
        request.device,
        request.since_ms,
        request.owner,
        IPv4Address(address),
    )
