"""The accounts of a gateway behind one face: judge, admit, lease, release, replace.

The order for a session is `prepare` -> `Check.run` (in a thread where `Check.slow`) ->
`conclude` -> `admit` -> `lease` -> `release`. Where members share a store, it decides in place of
`admit` and `lease`, by the `terms` from here, and `adopt` notes what it granted. Everything but
`Check.run` is quick and belongs to one thread. A peer learns that an account is disabled or
expired only after its password was right, and for an unknown name the same work is done as for a
known one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from ferrule.accounts.lockout import Lockout
from ferrule.accounts.policy import Access, Egress, resolve
from ferrule.accounts.pools import AddressRange, Pools, PoolSpec, PoolUse
from ferrule.accounts.sessions import Limits, SessionKey, Sessions, limit_of
from ferrule.accounts.users import USERNAME_MAX, Directory, OnLimit, User, judge
from ferrule.accounts.verifiers import Verifier, is_slow, verify
from ferrule.core.credentials import Accepted, Denied, Proof, Verdict
from ferrule.core.reasons import Reason

PROVED_MAX: Final = 1_000  # proofs not followed by an admission yet


@dataclass(slots=True, eq=False)
class Check:
    """One proof to be checked against what is stored, or against a dummy.

    `run` touches nothing but this object, so it may run in any thread, once; then give the check
    back to `Accounts.conclude`. `proved_with` is the verifier that the proof satisfied.
    """

    proof: Proof
    source: str
    wall_now: float
    account: str  # the name under which tries are counted
    known: bool
    verifiers: tuple[Verifier, ...]
    slow: bool
    proved_with: Verifier | None = None

    def run(self) -> Verdict:
        """Verify; tens of milliseconds where `slow`."""
        verdict: Verdict = Denied(Reason.METHOD_NEEDS_OTHER_VERIFIER)
        for verifier in self.verifiers:
            outcome = verify(self.proof, verifier)
            if isinstance(outcome, Accepted):
                self.proved_with = verifier
                return outcome
            if outcome.reason is not Reason.METHOD_NEEDS_OTHER_VERIFIER:
                verdict = outcome
        return verdict


@dataclass(slots=True)
class Ending:
    """A session that a reload ends, and why."""

    key: SessionKey
    reason: Reason


@dataclass(frozen=True, slots=True)
class Terms:
    """On which a user's sessions are let in: see `store.interface.LeaseRequest`. 0: no limit."""

    username: str
    limit: int
    on_limit: OnLimit
    sessions_max: int
    static_ip: IPv4Address | None
    ranges: tuple[AddressRange, ...]


@dataclass(slots=True)
class _Live:
    """What a session was admitted with."""

    username: str
    accepted: tuple[Verifier, ...]  # it stays as long as the user still has one of these


@dataclass(slots=True)
class Settings:
    """What comes from the configuration, whole."""

    users: tuple[User, ...]
    pools: tuple[PoolSpec, ...]
    limits: Limits = field(default_factory=Limits)
    egress: Egress = field(default_factory=Egress)


class Accounts:
    """Who may log in, how often, with which address, to reach what.

    Session keys are the caller's: hashable, and never used for two sessions. Raises ValueError
    for settings that contradict themselves (no pool, overlapping pools, a user twice).
    """

    __slots__ = ("_directory", "_live", "_proved", "_settings", "lockout", "pools", "sessions")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = Directory(settings.users)
        self._live: dict[SessionKey, _Live] = {}
        self._proved: OrderedDict[tuple[str, str], Verifier] = OrderedDict()  # (user, source)
        self.pools = Pools(settings.pools, _static_addresses(settings.users))
        self.sessions = Sessions()
        self.lockout = Lockout()

    @property
    def gateway_address(self) -> IPv4Address:
        """Ours: the local address of every PPP link and of the TUN device."""
        return self.pools.gateway_address

    @property
    def users(self) -> Directory:
        return self._directory

    # --- authentication ---------------------------------------------------------------------

    def prepare(self, proof: Proof, source: str, now: float, wall_now: float) -> Check | Denied:
        """The check to run, or LOCKED_OUT.

        `source` is the peer's host address as text, `wall_now` the time in Unix seconds. The try
        counts as failed until `conclude` says otherwise."""
        user, account = self._whose(proof.username)
        verifiers = user.verifiers if user is not None else self._directory.dummies(account)
        if self.lockout.seconds_left(account, source, now) > 0:
            return Denied(Reason.LOCKED_OUT)
        self.lockout.charge(account, source, now)
        slow = any(is_slow(proof, verifier) for verifier in verifiers)
        return Check(proof, source, wall_now, account, user is not None, verifiers, slow)

    def conclude(self, check: Check, outcome: Verdict, now: float) -> Verdict:
        """The verdict, `outcome` being what `check.run` returned.

        The account is looked up once more: it may have changed while the check ran."""
        if isinstance(outcome, Denied):
            if outcome.reason is Reason.METHOD_NEEDS_OTHER_VERIFIER:
                self.lockout.refund(check.account, check.source)
            return outcome if check.known else Denied(Reason.UNKNOWN_USER)
        user = self._directory.lookup(check.account) if check.known else None
        if user is None or check.proved_with is None:
            return Denied(Reason.UNKNOWN_USER)
        if not _any_shared((check.proved_with,), user.verifiers):
            return Denied(Reason.WRONG_PASSWORD)
        self.lockout.clear(check.account, check.source)
        if (reason := judge(user, check.wall_now)) is not None:
            return Denied(reason)
        self._proved[(user.username, check.source)] = check.proved_with
        if len(self._proved) > PROVED_MAX:
            self._proved.popitem(last=False)
        return Accepted(user.username, outcome.authenticator_response)

    def judge(self, proof: Proof, source: str, now: float, wall_now: float) -> Verdict:
        """`prepare`, run and `conclude` in one go, for callers that may wait for scrypt."""
        check = self.prepare(proof, source, now, wall_now)
        if isinstance(check, Denied):
            return check
        return self.conclude(check, check.run(), now)

    def note_try(self, username: str, source: str, *, right: bool, now: float) -> None:
        """A password was tried at another member, as the peer's `username`; it counts here too."""
        _, account = self._whose(username)
        if right:
            self.lockout.clear(account, source)
        else:
            self.lockout.charge(account, source, now)

    def _whose(self, username: str) -> tuple[User | None, str]:
        """The user, and the name under which tries are counted, which a made-up name has too."""
        user = self._directory.lookup(username) if len(username) <= USERNAME_MAX else None
        if user is not None:
            return user, user.username
        return None, username.rpartition("\\")[2][:USERNAME_MAX]

    def valid_until(self, username: str) -> float | None:
        """When the account expires, in Unix seconds; None for never, and for no such user."""
        user = self._directory.lookup(username)
        return user.valid_until if user is not None else None

    def policy(self, username: str) -> Access:
        """What the user's sessions may reach, and how fast."""
        return resolve(self._directory.lookup(username), self._settings.egress)

    # --- sessions and addresses -------------------------------------------------------------

    def admit(
        self, key: SessionKey, username: str, source: str, now: float, identity: str = ""
    ) -> tuple[SessionKey, ...] | Denied:
        """May the authenticated user start this session?

        `source` is that of `prepare`, `identity` the peer's IKE identity. Returns the sessions to
        end with REPLACED_SESSION: they count no more and their addresses are free at once, so
        that a static one can move. Denied: TOO_MANY_SESSIONS, SESSIONS_LIMIT."""
        user = self._directory.lookup(username)
        if user is None:
            return Denied(Reason.UNKNOWN_USER)
        decision = self.sessions.admit(
            key, user, source, now, self._settings.limits, identity=identity
        )
        if isinstance(decision, Denied):
            return decision
        for stale in decision.replaced:
            self.release(stale)
        if key not in self._live:
            self._live[key] = _Live(user.username, self._accepted(user, source))
        return decision.replaced

    def _accepted(self, user: User, source: str) -> tuple[Verifier, ...]:
        """What the user has just proved to know."""
        proved = self._proved.pop((user.username, source), None)
        return (proved,) if proved is not None else user.verifiers

    def lease(
        self, key: SessionKey, username: str, requested: IPv4Address, now: float
    ) -> IPv4Address | Reason:
        """The address of an admitted session; `requested` 0.0.0.0: anything.

        POOL_EXHAUSTED, STATIC_ADDRESS_TAKEN; USER_REMOVED for one that is not admitted, or whose
        user was removed since."""
        live = self._live.get(key)
        user = self._directory.lookup(username) if live is not None else None
        if live is None or user is None or user.username != live.username:
            return Reason.USER_REMOVED
        return self.pools.lease(key, user.username, requested, user.static_ip, now)

    def release(self, key: SessionKey) -> None:
        """The session is over, however far it came. May be called twice."""
        self._live.pop(key, None)
        self.sessions.release(key)
        self.pools.release(key)

    # --- where somebody else decides

    def terms(self, username: str) -> Terms | None:
        """None for a user that is gone."""
        user = self._directory.lookup(username)
        if user is None:
            return None
        limits = self._settings.limits
        return Terms(
            user.username,
            limit_of(user, limits),
            user.on_limit,
            limits.sessions_max,
            user.static_ip,
            self.pools.ranges,
        )

    def adopt(
        self,
        key: SessionKey,
        username: str,
        source: str,
        identity: str,
        address: IPv4Address,
        since: float = float("inf"),
        digests: Iterable[bytes] | None = None,
    ) -> None:
        """Note a session that was let in with this address: by the store just now, or on another
        member, as `since` (seconds of the caller's clock) and `digests` say, the latter being what
        `digests` said there. Whether it may go on says `stale`. May be called twice."""
        user = self._directory.lookup(username)
        live = self._live.get(key)
        if live is None or live.username != username:
            accepted: tuple[Verifier, ...] = ()
            if user is not None and digests is None:
                accepted = self._accepted(user, source)
            elif user is not None:
                known = frozenset(digests or ())
                accepted = tuple(v for v in user.verifiers if known & frozenset(v.digests()))
            self._live[key] = _Live(username, accepted)
        self.sessions.adopt(key, username, source, identity, since)
        self.pools.adopt(key, username, address, since)

    def digests(self, key: SessionKey) -> tuple[bytes, ...]:
        """By which another member knows what the session was let in with. Secret."""
        live = self._live.get(key)
        return tuple(d for v in live.accepted for d in v.digests()) if live is not None else ()

    def forget(self, key: SessionKey) -> None:
        """The session goes on, but not here. May be called twice."""
        self.release(key)

    def pool_use(self) -> tuple[PoolUse, ...]:
        return self.pools.use()

    # --- reload -----------------------------------------------------------------------------

    def replace(self, settings: Settings, wall_now: float) -> tuple[Ending, ...]:
        """Take new settings over; says which sessions must end. All others go on, with their
        addresses; their `access` may have changed. The caller ends and releases those named.

        Raises ValueError, and changes nothing, for settings that contradict themselves."""
        directory = Directory(settings.users)
        self.pools.replace(settings.pools, _static_addresses(settings.users))
        self._directory = directory
        self._settings = settings
        return self.stale(wall_now)

    def stale(self, wall_now: float) -> tuple[Ending, ...]:
        """Sessions whose user is gone, disabled, expired or has another password by now."""
        return tuple(
            Ending(key, reason)
            for key in self._live
            if (reason := self.stale_reason(key, wall_now)) is not None
        )

    def stale_reason(self, key: SessionKey, wall_now: float) -> Reason | None:
        """Why this session must end, if it must."""
        live = self._live.get(key)
        if live is None:
            return None
        user = self._directory.lookup(live.username)
        if user is None:
            return Reason.USER_REMOVED
        match judge(user, wall_now):
            case Reason.USER_DISABLED:
                return Reason.USER_REMOVED
            case Reason() as reason:
                return reason
            case None:
                pass
        if not _any_shared(live.accepted, user.verifiers):
            return Reason.CREDENTIALS_CHANGED
        return None


def _any_shared(left: Iterable[Verifier], right: tuple[Verifier, ...]) -> bool:
    return any(a is b or a.shares_password(b) for a in left for b in right)


def _static_addresses(users: Iterable[User]) -> tuple[IPv4Address, ...]:
    return tuple(user.static_ip for user in users if user.static_ip is not None)
