"""Leader election by a Lease, for two operators of which one acts: 15 s a lease, renewed every
2 s, given up after 10 s without success. Released at the end, so that the other need not wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from ferrule_operator.api import Api, ApiError
from ferrule_operator.kinds import LEASE
from ferrule_operator.objects import Object

LEASE_NAME: Final = "ferrule-operator"
LEASE_SECONDS: Final = 15
RENEW_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 2.0


class Leadership:
    """`holding` yields when this process leads; `lost` is set when it does no more."""

    def __init__(self, api: Api, namespace: str, identity: str) -> None:
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._log = structlog.get_logger("ferrule_operator")
        self._seen: tuple[str, float] = ("", 0.0)  # a version of the Lease, and when it came
        self.lost = asyncio.Event()

    @contextlib.asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        while not await self._tried():
            await asyncio.sleep(RETRY_SECONDS)
        self._log.info("leading", identity=self._identity)
        task = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not self.lost.is_set():
                with contextlib.suppress(ApiError):
                    await self._release()

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() < renewed + RENEW_SECONDS:
            await asyncio.sleep(RETRY_SECONDS)
            if await self._tried():
                renewed = loop.time()
        self._log.error("leadership lost", identity=self._identity)
        self.lost.set()

    async def _tried(self) -> bool:
        """Is the Lease ours now?"""
        try:
            lease = await self._api.get(LEASE, self._namespace, LEASE_NAME)
            if lease is None:
                await self._api.create(self._lease({}, 0))
                return True
            spec = lease.get("spec") or {}
            holder = str(spec.get("holderIdentity") or "")
            if holder not in ("", self._identity) and not self._expired(lease):
                return False
            transitions = int(spec.get("leaseTransitions") or 0)
            if holder != self._identity:
                transitions += 1
            await self._api.replace(self._lease(lease, transitions))
        except ApiError as error:
            if not error.conflict:
                self._log.warning("no lease", cause=str(error))
            return False
        return True

    def _expired(self, lease: Object) -> bool:
        """Nobody renewed it for as long as it lasts, by our own clock: clocks of nodes differ."""
        version = str(lease["metadata"].get("resourceVersion", ""))
        now = asyncio.get_running_loop().time()
        if version != self._seen[0]:
            self._seen = (version, now)
            return False
        seconds = (lease.get("spec") or {}).get("leaseDurationSeconds") or LEASE_SECONDS
        return now > self._seen[1] + float(seconds)

    async def _release(self) -> None:
        lease = await self._api.get(LEASE, self._namespace, LEASE_NAME)
        if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
            spec: dict[str, Any] = {
                **lease["spec"],
                "holderIdentity": "",
                "leaseDurationSeconds": 1,
            }
            await self._api.replace({**lease, "kind": LEASE.name, "spec": spec})

    def _lease(self, before: Object, transitions: int) -> Object:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = before.get("spec") or {}
        acquired = spec.get("acquireTime") if spec.get("holderIdentity") == self._identity else now
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": before.get("metadata")
            or {"name": LEASE_NAME, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "acquireTime": acquired,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
