"""The accounts of a gateway behind one face: judge, admit, lease, release, replace.

The order for a session is `prepare` -> `Check.run` (in a thread where `Check.slow`) ->
`conclude` -> `admit` -> `lease` -> `release`. Everything but `Check.run` is quick and belongs to
one thread. A peer learns that an account is disabled or expired only after its password was
right, and for an unknown name the same work is done as for a known one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

from ferrule.accounts.lockout import Lockout
from ferrule.accounts.policy import Access, Egress, resolve
from ferrule.accounts.pools import Pools, PoolSpec, PoolUse
from ferrule.accounts.sessions import Limits, SessionKey, Sessions
from ferrule.accounts.users import USERNAME_MAX, Directory, User, judge
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
        user = None
        if len(proof.username) <= USERNAME_MAX:
            user = self._directory.lookup(proof.username)
        if user is not None:
            account, verifiers = user.username, user.verifiers
        else:
            account = proof.username.rpartition("\\")[2][:USERNAME_MAX]
            verifiers = self._directory.dummies(account)
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
            proved = self._proved.pop((user.username, source), None)
            accepted = (proved,) if proved is not None else user.verifiers
            self._live[key] = _Live(user.username, accepted)
        return decision.replaced

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
        endings = []
        for key, live in self._live.items():
            if (reason := self._stale_reason(live, wall_now)) is not None:
                endings.append(Ending(key, reason))
        return tuple(endings)

    def _stale_reason(self, live: _Live, wall_now: float) -> Reason | None:
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
