"""The operator's loops: watches fill the cache and queue keys, workers reconcile, a resync every
minute finds what a watch missed. kopf does the watching, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final

import structlog

from ferrule_operator.api import Api, ApiError
from ferrule_operator.cache import Cache, Key, is_ours
from ferrule_operator.concentrators import Concentrators
from ferrule_operator.kinds import SECRET, WATCHED, Kind
from ferrule_operator.metrics import Metrics
from ferrule_operator.names import SELECTOR
from ferrule_operator.objects import Object, name_of, namespace_of, uid_of, version_of
from ferrule_operator.queue import Queue
from ferrule_operator.reconcile import Again, Reconciler
from ferrule_operator.settings import Settings

COALESCE_SECONDS: Final = 0.1  # several changes at once are one turn
STUCK_SECONDS: Final = 300.0
RETRY_SECONDS: Final = 1.0
RESYNC_AGAIN_SECONDS: Final = 5.0


class Operator:
    """One for the process."""

    def __init__(
        self, api: Api, settings: Settings, metrics: Metrics, concentrators: Concentrators
    ) -> None:
        self._api = api
        self._settings = settings
        self._metrics = metrics
        self.cache = Cache()
        self.queue: Queue[Key] = Queue()
        self.reconciler = Reconciler(api, self.cache, concentrators, settings, metrics)
        self._log = structlog.get_logger("ferrule_operator")
        self._busy: dict[Key, float] = {}
        metrics.queue_length(lambda: len(self.queue))
        metrics.failing(lambda: self.queue.failing)
        for kind in WATCHED:
            metrics.objects(kind.name, lambda name=kind.name: self.cache.count(name))  # type: ignore[misc]

    # --- watches

    def seen(self, kind: Kind, change: str | None, item: Object) -> None:
        """An event of a watch. `change` "DELETED" or another."""
        item = {**item, "kind": kind.name, "apiVersion": kind.api_version}
        touched = self.cache.remove(item) if change == "DELETED" else self.cache.put(item)
        self._touch(touched)

    def _touch(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.reconciler.changed(key)
            self.queue.put(key, COALESCE_SECONDS)

    # --- life

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything but the watches. The cache is filled before anything is done."""
        await self._fill()
        tasks = [asyncio.create_task(self._resync_for_ever())]
        tasks += [asyncio.create_task(self._work()) for _ in range(self._settings.workers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stuck(self) -> str:
        """For the liveness probe: what has been under way for too long, or ""."""
        now = time.monotonic()
        late = [key for key, since in self._busy.items() if now > since + STUCK_SECONDS]
        return f"{late[0].namespace}/{late[0].name} takes too long" if late else ""

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            start = self._busy[key] = time.monotonic()
            outcome, failed, after = "ok", False, None
            done_before = self.reconciler.writes(key)
            try:
                turn = await self.reconciler.reconcile(key)
                if turn.wake_in is not None:
                    self.queue.put(key, turn.wake_in)
            except Again as again:
                outcome, failed = "conflict", True
                self._log.info("again", gateway=str(key), cause=str(again))
            except ApiError as error:
                outcome, failed, after = "refused", True, error.retry_after
                self._log.warning("not done", gateway=str(key), cause=str(error))
            except Exception:  # noqa: BLE001 - a bug costs one gateway's turn, never the process
                outcome, failed = "failed", True
                self._log.exception("a bug, please report it", gateway=str(key))
            finally:
                self._busy.pop(key, None)
            self._metrics.reconciled(outcome, time.monotonic() - start)
            progressed = self.reconciler.writes(key) > done_before
            self.queue.done(key, failed=failed, progressed=progressed, retry_after=after)

    # --- resync

    async def _fill(self) -> None:
        """List everything once: a plan made of half of the users would lock the others out."""
        for kind in WATCHED:
            # Secrets of others are asked for by name, when a resource refers to them.
            selector = SELECTOR if kind is SECRET else ""
            for item in await self._insist(kind, selector):
                self.cache.put(item)
        self._touch(self.cache.gateways())

    async def _insist(self, kind: Kind, selector: str) -> list[Object]:
        while True:
            try:
                return await self._list(kind, selector)
            except ApiError as error:
                self._log.warning("can't list yet", kind=kind.name, cause=str(error))
                await asyncio.sleep(error.retry_after or RETRY_SECONDS)

    async def _resync_for_ever(self) -> None:
        wait = self._settings.resync_seconds
        while True:
            await asyncio.sleep(wait)
            wait = self._settings.resync_seconds
            try:
                await self.resync()
            except ApiError as error:
                self._log.warning("resync failed", cause=str(error))
                wait = min(wait, RESYNC_AGAIN_SECONDS)
            except Exception:  # noqa: BLE001 - the next one may do better
                self._log.exception("a bug, please report it", where="resync")

    async def resync(self) -> None:
        """Compare names and versions of all objects with what is remembered, and look at each
        gateway again."""
        trouble: list[ApiError] = []
        for kind in WATCHED:
            try:
                await self._compare(kind, await self._list(kind, metadata_only=True))
            except ApiError as error:  # the others can be looked at all the same
                trouble.append(error)
        for key in self.cache.gateways():
            self.queue.put(key)
        if trouble:
            raise trouble[0]

    async def _compare(self, kind: Kind, listed: list[Object]) -> None:
        there = {(namespace_of(item), name_of(item)): item for item in listed}
        for known in self.cache.all_of(kind.name):
            place = namespace_of(known), name_of(known)
            item = there.pop(place, None)
            if item is None or uid_of(item) != uid_of(known) or _differs(item, known):
                self._touch(await self._renew(kind, place, known))
        for place, item in there.items():
            if kind is not SECRET or is_ours(item) or self.cache.needs_secret(*place):
                self._touch(await self._renew(kind, place, None))

    async def _renew(self, kind: Kind, place: tuple[str, str], known: Object | None) -> set[Key]:
        live = await self._api.get(kind, *place)
        if live is not None:
            live = {**live, "kind": kind.name, "apiVersion": kind.api_version}
            if known is None or uid_of(live) == uid_of(known):
                return self.cache.put(live)
        touched = self.cache.remove(known) if known is not None else set()
        return touched | (self.cache.put(live) if live is not None else set())

    async def _list(
        self, kind: Kind, selector: str = "", *, metadata_only: bool = False
    ) -> list[Object]:
        found: list[Object] = []
        for namespace in self._settings.namespaces or ("",):
            found += await self._api.list_all(
                kind, namespace, selector, metadata_only=metadata_only
            )
        return found


def _differs(item: Object, known: Object) -> bool:
    """Is the listed version newer? An older one comes of a list that was made before a write."""
    new, old = version_of(item), version_of(known)
    if new.isdecimal() and old.isdecimal():
        return int(new) > int(old)
    return new != old
