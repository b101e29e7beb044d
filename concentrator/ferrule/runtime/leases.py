"""Places and addresses of a gateway with several members: asked of the store that they share.

An admission is one question, bounded in time; what the store granted is noted in the accounts, so
that reloads, policies and metrics go on as with one member. Every 30 s, and soon after anything
that may have changed who has what, all leases of this member are renewed; what the store says was
lost ends. Sessions that are over are released, for as long as it takes to be heard.

While the store is away a session is let in only where that can harm nobody: it has a lease, or it
takes place and address of a session of the same user that ends here for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from typing import Final, Protocol, TypeVar, assert_never

from ferrule.accounts.admission import Terms
from ferrule.cluster.members import Identity
from ferrule.core.ids import ClientId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.gateway import effects as g
from ferrule.gateway.admission import conclude, formers
from ferrule.gateway.call import Call
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey
from ferrule.runtime.lease_names import LeaseNames, Memory
from ferrule.store.interface import (
    Admission,
    Granted,
    LeaseRequest,
    Refused,
    Replaced,
    Store,
    StoreAway,
)

RENEW_SECONDS: Final = 30.0
SOON_SECONDS: Final = 1.0  # between two rounds of renewal, and until a failed one is repeated
ADMIT_SECONDS: Final = 2.5
PATIENCE_SECONDS: Final = 3.0  # for the others to say what they have; a client repeats itself then
ASK_AGAIN_SECONDS: Final = 0.1
ANSWER_SECONDS: Final = 5.0  # for anything else that is asked of the store
CLOSE_SECONDS: Final = 2.0
RENEWED_AT_ONCE: Final = 200
RELEASED_AT_ONCE: Final = 16
EVERYBODY: Final = ""
_TICK_SECONDS: Final = 0.001  # a timer may run a little early
_AGE_SECONDS: Final = 0.001  # by which an heir counts as older, so that the store takes its side

_T = TypeVar("_T")


class Command(Protocol):
    """`runtime.driver.Driver.command`."""

    def __call__(
        self,
        verb: Callable[[float], Iterable[g.GatewayEffect]],
        client: ClientId | None = None,
    ) -> None: ...


class EndElsewhere(Protocol):
    """Tell the member `owner`, or EVERYBODY else, that `session` must end. May get lost: its owner
    also hears it when he renews."""

    def __call__(self, owner: str, session: str, reason: Reason) -> None: ...


class Bugs(Protocol):
    def bug(self, where: str) -> None:
        """An exception is being handled: log it with its traceback."""


@dataclass(frozen=True, slots=True)
class _Asked:
    question: g.AskAdmission
    key: SessionKey
    call: Call
    name: str
    terms: Terms


@dataclass(frozen=True, slots=True)
class _Answer:
    """`ended` are sessions of ours that make room, `elsewhere` those of others. `heir_of`: the one
    whose lease is taken over, without the store. `unsure`: the store may hold a lease, whatever the
    outcome is."""

    outcome: IPv4Address | Reason
    ended: tuple[SessionKey, ...] = ()
    elsewhere: tuple[Replaced, ...] = ()
    heir_of: SessionKey | None = None
    unsure: bool = False


class StoreLeases:
    """Answers the gateway's questions of admission from `store`. Put it into `Driver.leases`, and
    let `run` run until `close`. `identity` is who we are now; it may change. Nothing is renewed
    while we may not serve: our sessions may be another member's by then.

    Call `adopted` after a client came from another member, `renew_soon` when the epoch changed, and
    `end` when another member says that a session must. Clients that moved away need no word.
    """

    def __init__(
        self,
        gateway: Gateway,
        store: Store,
        *,
        names_key: Secret,
        identity: Callable[[], Identity],
        command: Command,
        end_elsewhere: EndElsewhere,
        report: Bugs,
        loop: asyncio.AbstractEventLoop,
        may_serve: Callable[[], bool] = lambda: True,
    ) -> None:
        self.store_away = False  # as of the last question
        self._gateway = gateway
        self._store = store
        self._identity = identity
        self._command = command
        self._end_elsewhere = end_elsewhere
        self._report = report
        self._loop = loop
        self._may_serve = may_serve
        self._names = LeaseNames(gateway, names_key, identity)
        self._tasks: set[asyncio.Task[None]] = set()
        self._releases: dict[str, None] = {}  # to be told to the store, in order
        self._inherited: set[SessionKey] = set()  # not to be released: another has the lease
        self._heirs: dict[str, str] = {}  # who has it, as long as the store does not know
        self._unsure: set[str] = set()  # users of whom we don't know what the store holds
        self._over = Memory()  # sessions that ended here
        self._doomed = Memory()  # must end as soon as they are here
        self._order = asyncio.Lock()  # a renewal must not arrive behind the release
        self._wake = asyncio.Event()
        self._begun = self._said = 0  # rounds of renewal: the last begun, the last all through
        self._round_done = asyncio.Event()
        self._renew_at = 0.0
        self._renewed_at = -SOON_SECONDS

    # --- what the driver says

    def ask(self, question: g.AskAdmission, now: float) -> list[g.GatewayEffect]:
        key = SessionKey(question.client, question.tunnel, question.session)
        call = self._names.call(key)
        terms = self._gateway.site.accounts.terms(question.username)
        if call is None or terms is None:
            return conclude(self._gateway, question, Reason.UNKNOWN_USER, (), now)
        name = self._names.learn(self._gateway.clients[key.client], key)
        asked = _Asked(question, key, call, name, terms)
        left = formers(self._gateway.site.accounts, key, terms.username)
        if self.store_away and (answer := self._inherit(asked, left)) is not None:
            return self._conclude(asked, answer, now)
        effects: list[g.GatewayEffect] = []
        names = []
        for former in left:
            names.append(self._names.learn(self._gateway.clients[key.client], former))
            effects += self._gateway.close_session(former, Reason.REPLACED_SESSION, now)
        task = self._loop.create_task(self._admit(asked, names))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return effects

    def release(self, over: g.ReleaseLease) -> None:
        key = SessionKey(over.client, over.tunnel, over.session)
        self._gateway.site.accounts.release(key)
        name = self._names.forget(key)
        if name is None:
            return
        self._over.note(name, self._time())
        if key in self._inherited:
            self._inherited.discard(key)
        else:
            self._release_soon(name)  # once more behind the answer, if one is awaited

    # --- what the cluster says

    def adopted(self, client_id: ClientId) -> None:
        """A client with its sessions came from another member: they are ours from now on. Those
        end of which we have heard that they must, or whose user may not be on any more."""
        client, site, now = self._gateway.clients.get(client_id), self._gateway.site, self._time()
        if client is not None:
            for key, call in self._names.calls(client):
                if call.place is not None:
                    reason = self._doomed.pop(self._names.learn(client, key), now)
                    reason = reason or site.accounts.stale_reason(key, site.wall(now))
                    if reason is not None:
                        self._close(key, reason)
        self.renew_soon()

    def end(self, session: str, reason: Reason) -> bool:
        """Another member says that this session must end. False: it is not here; should it come
        within two minutes, it ends then."""
        key, now = self._find_heir(session), self._time()
        call = self._names.call(key) if key is not None else None
        if key is not None and call is not None and call.place is not None:
            self._close(key, reason)
            return True
        if self._over.holds(session, now):
            return True
        self._doomed.note(session, now, reason)
        return False

    def renew_soon(self) -> None:
        """Something may have changed who has what: the store was emptied, sessions moved."""
        self._renew_at = min(self._renew_at, self._renewed_at + SOON_SECONDS)
        self._wake.set()

    async def say(self, seconds: float) -> None:
        """Renew all leases now; return when the store has them, or after so long."""
        wanted = self._begun + 1
        self._renew_at = self._time()
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._said < wanted:
                    await self._round_done.wait()

    # --- life

    async def run(self) -> None:
        """Renew and release, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._flush()
                if self._time() >= self._renew_at:
                    await self._renew_all()
                wait = self._renew_at - self._time()
            except StoreAway:
                wait = SOON_SECONDS
                self._renew_at = min(self._renew_at, self._time() + SOON_SECONDS)
            except Exception:  # noqa: BLE001 - leases must go on being renewed
                self._report.bug("leases")
                wait = SOON_SECONDS
            try:
                async with asyncio.timeout(max(_TICK_SECONDS, wait)):
                    await self._wake.wait()
            except TimeoutError:
                continue
            if self.store_away:
                await asyncio.sleep(SOON_SECONDS)  # no need to ask more often

    async def close(self) -> None:
        """Tell the store what is over, as far as it answers in time. Does not raise."""
        for task in list(self._tasks):
            task.cancel()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._flush()
        except (StoreAway, TimeoutError):
            return  # leases that nobody renews expire
        except Exception:  # noqa: BLE001 - the process ends all the same
            self._report.bug("leases")

    # --- admission

    async def _admit(self, asked: _Asked, former: Sequence[str]) -> None:
        """`former`: sessions that ended for this one, and must not count any more."""
        try:
            answer = await self._decide(asked, former)
        except Exception:  # noqa: BLE001 - a bug costs one session
            self._report.bug("admission")
            answer = self._refuse_unsure(asked)
        self._command(lambda now: self._conclude(asked, answer, now), asked.key.client)

    async def _decide(self, asked: _Asked, former: Sequence[str]) -> _Answer:
        try:
            for name in former:
                await self._release_now(name)
            request = self._names.request(asked.question, asked.name, asked.terms)
            admission = await self._ask(request)
        except StoreAway:
            return self._keep(asked) or self._refuse_unsure(asked)
        match admission:
            case Granted(address, replaced):
                mine, others = self._part(replaced)
                return _Answer(address, mine, others)
            case Refused(Reason.STORE_AWAY):
                return self._inherit(asked, ()) or _Answer(Reason.STORE_AWAY)
            case Refused(reason):
                return _Answer(reason)
            case _:
                assert_never(admission)

    async def _ask(self, request: LeaseRequest) -> Admission:
        """The store waits until all have said what they have, and so does the client, a moment: a
        refusal would be shown to a person as a wrong password."""
        end = self._time() + PATIENCE_SECONDS
        while True:
            admission = await self._bounded(partial(self._store.admit, request), ADMIT_SECONDS)
            if admission != Refused(Reason.STORE_AWAY) or self._time() >= end:
                return admission
            self.renew_soon()
            await asyncio.sleep(ASK_AGAIN_SECONDS)

    def _keep(self, asked: _Asked) -> _Answer | None:
        """The session has a lease already, as it authenticates once more."""
        place = asked.call.place
        if place is None or asked.terms.static_ip not in (None, place.address):
            return None
        return _Answer(place.address)

    def _inherit(self, asked: _Asked, left: tuple[SessionKey, ...]) -> _Answer | None:
        """Without the store: let it have what another session had that ends for it, so that the
        number does not change: what the host `left`, or one that has to make room in any case. Not
        where the last answer about the user is missing: his leases may be others' by now."""
        if (answer := self._keep(asked)) is not None:
            return answer
        if asked.terms.username in self._unsure:
            return None
        ended = left or self._names.may_go(asked.question, asked.key, asked.terms)
        for former in ended:
            call = self._names.call(former)
            place = call.place if call is not None else None
            if place is not None and asked.terms.static_ip in (None, place.address):
                return _Answer(place.address, ended, heir_of=former)
        return None

    def _refuse_unsure(self, asked: _Asked) -> _Answer:
        self._unsure.add(asked.terms.username)
        return _Answer(Reason.STORE_AWAY, unsure=True)

    def _conclude(self, asked: _Asked, answer: _Answer, now: float) -> list[g.GatewayEffect]:
        """The answer is there: note it, tell the gateway, and end who had to make room."""
        accounts, question, key = self._gateway.site.accounts, asked.question, asked.key
        alive = self._names.call(key) is asked.call
        outcome, since, heir_of = answer.outcome, question.since, answer.heir_of
        ended = dict.fromkeys((*answer.ended, *self._overtaken(asked)))
        if alive and (reason := self._doomed.pop(asked.name, self._time())) is not None:
            outcome = reason
        elif heir_of is not None and not (alive and self._has_place(heir_of)):
            outcome, ended = Reason.STORE_AWAY, {}  # one of them ended while we thought about it
        for former in ended:
            accounts.release(former)  # its address is free at once
        if alive and isinstance(outcome, IPv4Address):
            since = self._age_of(heir_of) - _AGE_SECONDS if heir_of is not None else since
            accounts.adopt(
                key, question.username, question.source, question.identity, outcome, since
            )
            outcome = accounts.stale_reason(key, self._gateway.site.wall(now)) or outcome
        if not alive or isinstance(outcome, Reason):
            accounts.release(key)
            may_hold = isinstance(answer.outcome, IPv4Address) or answer.unsure
            # One that is not here, and not over, has moved: its lease is with it.
            if may_hold and (alive or self._over.holds(asked.name, self._time())):
                self._release_soon(asked.name)
        elif heir_of is not None:
            self._inherited.add(heir_of)
            if (former_name := self._names.name(heir_of)) is not None:
                self._heirs[former_name] = asked.name
        effects = conclude(self._gateway, question, outcome, ended, now)
        if since != question.since and asked.call.place is not None:
            asked.call.place = replace(asked.call.place, since=since)
            self.renew_soon()
        for replaced in answer.elsewhere:
            self._end_elsewhere(replaced.owner, replaced.session, Reason.REPLACED_SESSION)
        return effects

    def _has_place(self, key: SessionKey) -> bool:
        call = self._names.call(key)
        return call is not None and call.place is not None

    def _age_of(self, key: SessionKey) -> float:
        call = self._names.call(key)
        assert call is not None
        assert call.place is not None
        return call.place.since

    def _overtaken(self, asked: _Asked) -> list[SessionKey]:
        """Former sessions of the same host that were let in while we waited for the answer."""
        return [
            former
            for former in formers(self._gateway.site.accounts, asked.key, asked.terms.username)
            if (call := self._names.call(former)) is not None
            and call.place is not None
            and call.place.since <= asked.question.since
        ]

    def _part(
        self, replaced: Sequence[Replaced]
    ) -> tuple[tuple[SessionKey, ...], tuple[Replaced, ...]]:
        """Those that are here, and those that are elsewhere."""
        mine: list[SessionKey] = []
        others: list[Replaced] = []
        for one in replaced:
            key = self._find_heir(one.session)
            if key is not None:
                mine.append(key)
            elif not self._over.holds(one.session, self._time()):
                others.append(Replaced(one.session, self._whom(one.owner)))
        return tuple(mine), tuple(others)

    # --- renewal

    async def _renew_all(self) -> None:
        """Every lease of ours; then say that this was all."""
        self._begun += 1
        self._renewed_at = self._time()
        self._renew_at = self._renewed_at + RENEW_SECONDS
        unsure, heirs = set(self._unsure), set(self._heirs)
        await self._renew_inherited(heirs - set(self._heirs.values()))
        _, generation = await self._renew(())
        done: set[str] = set()
        while waiting := [k for k, name in self._names.placed().items() if name not in done]:
            for at in range(0, len(waiting), RENEWED_AT_ONCE):
                some = waiting[at : at + RENEWED_AT_ONCE]
                await self._flush()
                done |= (await self._renew(some))[0]
        self._said = self._begun
        through, self._round_done = self._round_done, asyncio.Event()
        through.set()
        restored = partial(self._store.restored, self._identity(), generation)
        if not await self._bounded(restored):
            self.renew_soon()  # it was emptied meanwhile, or others have yet to say theirs
        self._unsure -= unsure
        for name in heirs:
            del self._heirs[name]

    async def _renew_inherited(self, names: set[str]) -> None:
        """Was somebody whose lease we let another session have told to end meanwhile? Then that
        is for the heir. `names` are those that the store knows."""
        leases = []
        for name in names:
            key = self._find_heir(name)
            if key is not None and (lease := self._names.lease(key)) is not None:
                leases.append(replace(lease, session=name, since_ms=lease.since_ms + 1))
        if leases and self._may_serve():
            async with self._order:
                renewal = await self._bounded(partial(self._store.renew, leases))
            for session in renewal.lost:
                if (key := self._find_heir(session)) is not None:
                    self._close(key, Reason.REPLACED_SESSION)

    async def _renew(self, keys: Sequence[SessionKey]) -> tuple[set[str], str]:
        """The names of those that were there to be renewed, or that are over by now, and the
        generation of the store."""
        async with self._order:
            leases = [lease for key in keys if (lease := self._names.lease(key)) is not None]
            names = {lease.session for lease in leases}
            leases = [lease for lease in leases if lease.session not in self._releases]
            if not self._may_serve():
                raise StoreAway("we may not serve")
            renewal = await self._bounded(partial(self._store.renew, leases))
        for session in renewal.lost:
            self._end_wherever(session, self._names.owner)
        for displaced in renewal.displaced:
            self._end_wherever(displaced.session, displaced.owner)
        return names, renewal.generation

    def _end_wherever(self, session: str, owner: str) -> None:
        key = self._names.find(session)
        if key is not None:
            self._close(key, Reason.REPLACED_SESSION)
        elif not self._over.holds(session, self._time()):
            self._end_elsewhere(self._whom(owner), session, Reason.REPLACED_SESSION)

    def _find_heir(self, session: str) -> SessionKey | None:
        """The session that has what this one had last, as far as the store knows."""
        while (heir := self._heirs.get(session)) is not None:
            session = heir
        return self._names.find(session)

    def _whom(self, owner: str) -> str:
        """What should be ours and is not has just moved, or is about to: everybody is told."""
        return self._names.member(owner) or EVERYBODY

    def _close(self, key: SessionKey, reason: Reason) -> None:
        self._command(lambda now: self._gateway.close_session(key, reason, now), key.client)

    # --- release

    def _release_soon(self, name: str) -> None:
        self._releases[name] = None
        self._wake.set()

    async def _release_now(self, name: str) -> None:
        self._releases[name] = None
        async with self._order:
            await self._bounded(partial(self._store.release, name), ADMIT_SECONDS)
        self._releases.pop(name, None)

    async def _flush(self) -> None:
        """Tell the store of all that is over. What fails stays to be told."""
        while self._releases:
            some = list(self._releases)[:RELEASED_AT_ONCE]
            async with self._order:
                results = await asyncio.gather(
                    *(self._bounded(partial(self._store.release, name)) for name in some),
                    return_exceptions=True,
                )
            failures = [result for result in results if result is not None]
            for name, result in zip(some, results, strict=True):
                if result is None:
                    self._releases.pop(name, None)
            if failures:
                raise failures[0]

    # --- time

    async def _bounded(
        self, question: Callable[[], Awaitable[_T]], seconds: float = ANSWER_SECONDS
    ) -> _T:
        """Raises StoreAway, also when no answer comes in time."""
        try:
            async with asyncio.timeout(seconds):
                answer = await question()
        except TimeoutError:
            self.store_away = True
            raise StoreAway(f"no answer within {seconds:g} s") from None
        except StoreAway:
            self.store_away = True
            raise
        self.store_away = False
        return answer

    def _time(self) -> float:
        return self._loop.time()
