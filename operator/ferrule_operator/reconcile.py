"""Brings one gateway, with its users, into line: observe -> plan -> apply -> hand in -> status.

Every step may fail, and the process may die after any of them: the next turn begins from what
there is. Nothing is written that is so already.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

import structlog

from ferrule_operator.accounts import Memory, UserPlan
from ferrule_operator.api import Api, ApiError
from ferrule_operator.cache import Cache, Key
from ferrule_operator.concentrators import Concentrators
from ferrule_operator.conditions import time_text
from ferrule_operator.credentials import Entropy
from ferrule_operator.events import Note, event
from ferrule_operator.kinds import KINDS
from ferrule_operator.metrics import Metrics
from ferrule_operator.names import FINALIZER, config_secret
from ferrule_operator.objects import (
    Object,
    Ref,
    differences,
    metadata,
    name_of,
    ref_of,
    texts_of,
    uid_of,
    version_of,
)
from ferrule_operator.plan import Observed, Plan, plan_gateway
from ferrule_operator.rendering import REMOTE_KEY
from ferrule_operator.reports import Report
from ferrule_operator.settings import Settings
from ferrule_operator.status import (
    COUNTERS,
    USER_COUNTERS,
    Outcome,
    gateway_news,
    gateway_status,
    is_news,
    patch_of,
    user_news,
    user_status,
)

P = ParamSpec("P")
T = TypeVar("T")

WRITES_AT_ONCE: Final = 8
COUNTERS_SECONDS: Final = 15.0  # between two writes of a gateway's counters
USER_COUNTERS_SECONDS: Final = 60.0
EVENT_SECONDS: Final = 600.0  # the same event is not posted again before
EVENTS_AT_ONCE: Final = 50
FEW_USERS: Final = 300
UNREACHED_FIRST: Final = 1.0
UNREACHED_LAST: Final = 60.0
# Secrets before the pods that mount them, the account before the pods that run as it.
_ORDER: Final = (
    "Secret",
    "ServiceAccount",
    "Service",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "StatefulSet",
)


class Again(Exception):
    """What was planned does not fit what there is any more: plan anew, at once."""


@dataclass(slots=True)
class Turn:
    """How a turn ended. `wake_in`: seconds after which to look again; None: when told to."""

    wake_in: float | None = None


class Reconciler:
    """One for the process; `reconcile` runs for several keys at the same time, never for one."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        concentrators: Concentrators,
        settings: Settings,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.time,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._api = api
        self._cache = cache
        self._concentrators = concentrators
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy
        self._log = structlog.get_logger("ferrule_operator")
        self._memory: dict[Key, Memory] = {}
        self._pods: dict[Key, set[str]] = {}
        self._unreached: dict[Key, int] = {}
        self._known: dict[Ref, frozenset[str]] = {}
        self._counted: dict[str, float] = {}  # by uid: when counters were written last
        self._posted: dict[tuple[str, str, str], float] = {}
        self._changed: dict[Key, float] = {}  # since when pods may be behind
        self._writes: Counter[tuple[str, str]] = Counter()  # by namespace and gateway

    def changed(self, key: Key) -> None:
        """The operator has just learnt of a change."""
        self._changed.setdefault(key, self._clock())

    def writes(self, key: Key) -> int:
        """How many writes for the gateway went well so far."""
        return self._writes[key]

    async def reconcile(self, key: Key) -> Turn:
        """One turn. Raises ApiError where the API server does not play along, Again."""
        await self._look_up_secrets(key)
        observed = self._observe(key)
        if observed.gateway is None and not observed.users:
            self._forget(key)
            return Turn()
        now = self._clock()
        plan = await self._work_out(len(observed.users), self._plan, key, observed, now)
        if plan.finalizer and observed.gateway is not None:
            await self._add_finalizer(observed.gateway)
        outcome = await self._apply(key, plan)
        current = await self._hand_in(key, observed, plan, now)
        await self._post(plan.notes)
        await self._write_statuses(key, plan, outcome)
        if plan.finalizer is False and observed.gateway is not None:
            await self._remove_finalizer(key)
        return Turn(self._wake_in(key, plan, observed, current))

    # --- plan

    def _plan(self, key: Key, observed: Observed, now: float) -> Plan:
        memory = self._memory.setdefault(key, Memory())
        memory.forget(observed.users, observed.secrets.values())
        return plan_gateway(observed, self._settings, now, self._entropy, memory, self._known)

    @staticmethod
    async def _work_out(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Pure work, off the loop where there is much of it: the loop has to answer probes. What
        it looks at is a copy, of objects that are replaced and never changed."""
        if size < FEW_USERS:
            return work(*args, **kwargs)
        return await asyncio.to_thread(work, *args, **kwargs)

    # --- observe

    async def _look_up_secrets(self, key: Key) -> None:
        names = self._cache.unknown_secrets(key)
        await self._at_once(self._refresh(Ref("Secret", key.namespace, name)) for name in names)

    def _observe(self, key: Key) -> Observed:
        cache = self._cache
        return Observed(
            namespace=key.namespace,
            name=key.name,
            gateway=cache.get("VpnGateway", *key),
            users=cache.users(key),
            secrets=cache.secrets(key),
            children=cache.children(key),
            pods=cache.pods(key),
        )

    # --- apply

    async def _apply(self, key: Key, plan: Plan) -> Outcome:
        """Everything that can be done is done; what stood in the way is raised at the end."""
        outcome = Outcome()
        trouble: list[Exception] = []
        await self._at_once(self._create(key, item) for item in plan.create)
        for wanted in sorted(plan.apply, key=lambda item: _ORDER.index(item["kind"])):
            try:
                await self._apply_one(key, wanted)
            except Again as again:
                trouble.append(again)
            except ApiError as error:
                if error.final:
                    outcome.refused[str(ref_of(wanted))] = error.message or error.reason
                    self._log.error("refused", object=str(ref_of(wanted)), cause=str(error))
                elif error.status in (0, 429):  # nobody there, or too much is asked of him
                    raise
                else:
                    trouble.append(error)
        for live in plan.delete:
            await self._api.delete(live)
            await self._refresh(ref_of(live))
        if trouble:
            raise trouble[0]
        return outcome

    async def _apply_one(self, key: Key, wanted: Object) -> None:
        ref = ref_of(wanted)
        await self._make_sure_it_is_new(ref)
        try:
            live = await self._api.apply(wanted)
        except ApiError as error:
            if error.conflict:
                await self._refresh(ref)
                raise Again(str(error)) from error
            raise
        self._writes[key] += 1
        self._cache.put(live)
        self._known[ref] = frozenset(differences(wanted, live))
        self._log.info("applied", kind=ref.kind, namespace=ref.namespace, name=ref.name)

    async def _make_sure_it_is_new(self, ref: Ref) -> None:
        """Watches see only what has our labels: an object that is not known may be somebody
        else's, and an apply would take it over."""
        if self._cache.get(ref.kind, ref.namespace, ref.name) is None:
            await self._refresh(ref)
            if self._cache.get(ref.kind, ref.namespace, ref.name) is not None:
                raise Again(f"{ref} is there already")

    async def _create(self, key: Key, wanted: Object) -> None:
        try:
            self._cache.put(await self._api.create(wanted))
            self._writes[key] += 1
        except ApiError as error:
            if error.conflict:  # it is there after all: another turn sees it
                await self._refresh(ref_of(wanted))
                raise Again(str(error)) from error
            raise

    async def _refresh(self, ref: Ref) -> None:
        """Read an object anew: what is remembered of it is wrong."""
        kind = KINDS[ref.kind]
        live = await self._api.get(kind, ref.namespace, ref.name)
        if live is not None:
            self._cache.put({**live, "kind": kind.name, "apiVersion": kind.api_version})
            return
        gone = {"kind": ref.kind, "metadata": {"namespace": ref.namespace, "name": ref.name}}
        self._cache.remove(gone)
        if ref.kind == "Secret":
            self._cache.note_absent(ref.namespace, ref.name)

    async def _add_finalizer(self, gateway: Object) -> None:
        finalizers = [*(metadata(gateway).get("finalizers") or ()), FINALIZER]
        await self._set_finalizers(gateway, finalizers)

    async def _remove_finalizer(self, key: Key) -> None:
        gateway = self._cache.get("VpnGateway", *key)
        if gateway is not None:
            others = [f for f in metadata(gateway).get("finalizers") or () if f != FINALIZER]
            await self._set_finalizers(gateway, others)

    async def _set_finalizers(self, gateway: Object, finalizers: list[str]) -> None:
        try:
            self._cache.put(await self._api.set_finalizers(gateway, finalizers))
        except ApiError as error:
            if error.missing:
                await self._refresh(ref_of(gateway))
                return
            if error.conflict:
                await self._refresh(ref_of(gateway))
                raise Again(str(error)) from error
            raise

    # --- hand in

    async def _hand_in(self, key: Key, observed: Observed, plan: Plan, now: float) -> bool:
        """Are all pods that run on what was planned?"""
        pods = self._cache.pods(key)
        self._concentrators.forget(key.namespace, pods, self._pods.get(key, set()))
        self._pods[key] = {name_of(pod) for pod in pods}
        files = plan.files
        live = self._cache.get("Secret", key.namespace, config_secret(key.name))
        remote_key = files.get(REMOTE_KEY) or texts_of(live or {}).get(REMOTE_KEY, "")
        if not remote_key or not pods:
            return True
        current = await self._concentrators.settle(
            key.namespace, pods, remote_key, files, now - self._settings.poll_seconds + 1.0
        )
        if current:
            self._unreached.pop(key, None)
            since = self._changed.pop(key, None)
            if since is not None:
                self._metrics.effective(self._clock() - since)
        else:
            self._unreached[key] = self._unreached.get(key, 0) + 1
        return current

    # --- statuses

    async def _write_statuses(self, key: Key, plan: Plan, outcome: Outcome) -> None:
        observed = self._observe(key)  # with what was written just now
        reports = self._concentrators.reports(key.namespace, observed.pods)
        now = self._clock()
        if observed.gateway is not None:
            after = gateway_status(observed, plan, reports, outcome, now)
            await self._post(gateway_news(observed.gateway, after))
            await self._write_status(observed.gateway, after, COUNTERS, COUNTERS_SECONDS)
        pairs = [
            (planned, user)
            for planned in plan.users
            if (user := self._cache.get("VpnUser", *_place(planned.user))) is not None
            and uid_of(user) == uid_of(planned.user)
        ]
        changed = await self._work_out(
            len(pairs), self._changed_users, pairs, observed, reports, now
        )
        await self._post([note for _, _, notes in changed for note in notes])
        await self._at_once(
            self._write_status(user, after, USER_COUNTERS, USER_COUNTERS_SECONDS)
            for user, after, _ in changed
        )

    @staticmethod
    def _changed_users(
        pairs: Sequence[tuple[UserPlan, Object]],
        observed: Observed,
        reports: Mapping[str, Report],
        now: float,
    ) -> list[tuple[Object, Object, list[Note]]]:
        """User, new status and news of those whose status is not as it should be."""
        answers = list(reports.values())
        changed = []
        for planned, user in pairs:
            secret = observed.secrets.get(planned.secret_name)
            if secret is not None:
                planned.credential_version = version_of(secret)
            before = user.get("status") or {}
            after = user_status(planned, answers, now, before)
            if observed.pods and not answers:  # nobody could be asked
                after["activeSessions"] = before.get("activeSessions", 0)
            if patch_of(before, after):
                changed.append((user, after, user_news(user, after)))
        return changed

    async def _write_status(
        self, live: Object, after: Object, counters: frozenset[str], seconds: float
    ) -> None:
        patch = patch_of(live.get("status") or {}, after)
        if not patch:
            return
        uid, now = uid_of(live), self._clock()
        if not is_news(patch, counters) and now < self._counted.get(uid, 0.0) + seconds:
            return
        try:
            self._cache.put(await self._api.patch_status(live, patch))
            self._counted[uid] = now
        except ApiError as error:
            if not error.missing:
                raise
            await self._refresh(ref_of(live))

    # --- events

    async def _post(self, notes: Iterable[Note]) -> None:
        """An event that can't be posted is lost: the log has it."""
        now = self._clock()
        left = EVENTS_AT_ONCE
        for note in notes:
            if now < self._posted.get(note.key, 0.0) + EVENT_SECONDS:
                continue
            self._posted[note.key] = now
            self._log.info(
                "event",
                about=str(ref_of(note.about)),
                reason=note.reason.value,
                message=note.message,
            )
            left -= 1
            if left < 0:  # a thousand users at once are no thousand pieces of news
                continue
            try:
                await self._api.create(event(note, time_text(now), self._settings.identity))
            except ApiError as error:
                self._log.warning("event not posted", cause=str(error))
        if len(self._posted) > 10_000:
            self._posted = {k: at for k, at in self._posted.items() if now < at + EVENT_SECONDS}

    # --- the end of a turn

    def _wake_in(self, key: Key, plan: Plan, observed: Observed, current: bool) -> float | None:
        now = self._clock()
        waits = [max(0.1, at - now) for at in plan.wake_at if at > now]
        if observed.pods:
            waits.append(self._settings.poll_seconds)
        if not current:
            tries = self._unreached.get(key, 1)
            waits.append(min(UNREACHED_LAST, UNREACHED_FIRST * 2.0 ** min(tries - 1, 8)))
        return min(waits, default=None)

    def _forget(self, key: Key) -> None:
        for table in (self._memory, self._unreached, self._changed, self._writes):
            table.pop(key, None)
        self._concentrators.forget(key.namespace, (), self._pods.pop(key, set()))

    @staticmethod
    async def _at_once(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """All of it, a few at a time; the first failure is raised when all is over."""
        places = asyncio.Semaphore(WRITES_AT_ONCE)

        async def placed(one: Coroutine[Any, Any, T]) -> T:
            async with places:
                return await one

        done = await asyncio.gather(*map(placed, work), return_exceptions=True)
        results: list[T] = []
        for result in done:
            if isinstance(result, BaseException):
                raise result
            results.append(result)
        return results


def _place(item: Object) -> tuple[str, str]:
    return str(metadata(item).get("namespace", "")), name_of(item)
