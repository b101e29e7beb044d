"""Speaks to pods on their remote port: asks how they are, hands configurations in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from ferrule.core.secret import Secret
from ferrule.runtime.sealing import QUESTION, SealBroken, Sealer, reply_purpose
from ferrule_operator.metrics import Metrics
from ferrule_operator.names import REMOTE_PORT
from ferrule_operator.objects import Object, name_of, uid_of
from ferrule_operator.pods import address_of, is_ready
from ferrule_operator.reports import Report, is_current, parse_report, revisions_of

ASK_SECONDS: Final = 3.0
HAND_IN_SECONDS: Final = 20.0
AT_ONCE: Final = 16


class NoAnswer(Exception):
    """The pod can't be reached, or does not have the key (yet)."""


@dataclass(slots=True)
class _Known:
    uid: str
    report: Report
    ready: bool  # as Kubernetes saw the pod when it was asked


class Concentrators:
    """All pods of all gateways; remembers what each said last."""

    def __init__(self, metrics: Metrics, port: int = REMOTE_PORT) -> None:
        self._metrics = metrics
        self._port = port
        self._known: dict[tuple[str, str], _Known] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    def reports(self, namespace: str, pods: Sequence[Object]) -> dict[str, Report]:
        """The last word of each of these pods, by name."""
        found = {}
        for pod in pods:
            known = self._known.get((namespace, name_of(pod)))
            if known is not None and known.uid == uid_of(pod):
                found[name_of(pod)] = known.report
        return found

    def forget(self, namespace: str, pods: Sequence[Object], gateway_pods: set[str]) -> None:
        """Drop pods that are gone: `gateway_pods` are the names that there were."""
        there = {name_of(pod) for pod in pods}
        for name in gateway_pods - there:
            self._known.pop((namespace, name), None)

    async def settle(
        self,
        namespace: str,
        pods: Sequence[Object],
        key: str,
        files: Mapping[str, str],
        not_older_than: float,
    ) -> bool:
        """Bring every running pod onto `files`, and learn how each is. `not_older_than`: a report
        of then or later (Unix seconds) is good enough where the pod runs on the files already, and
        is as ready as it was then: one that has become a member since has news.

        Returns whether all that run answered and are current."""
        done = await asyncio.gather(
            *(self._settle(namespace, pod, key, files, not_older_than) for pod in pods)
        )
        return all(done)

    async def _settle(
        self,
        namespace: str,
        pod: Object,
        key: str,
        files: Mapping[str, str],
        not_older_than: float,
    ) -> bool:
        address = address_of(pod)
        if not address:
            return True  # its mount is fresh when it starts
        place, wanted = (namespace, name_of(pod)), revisions_of(files)
        ready, known = is_ready(pod), self._known.get(place)
        report = None
        if known is not None and known.uid == uid_of(pod) and known.ready is ready:
            report = known.report
        try:
            async with self._places:
                if report is None or (report.at < not_older_than and is_current(report, wanted)):
                    report = await self._ask(address, key, {"want": "status"}, ASK_SECONDS)
                    self._known[place] = _Known(uid_of(pod), report, ready)
                if not is_current(report, wanted):
                    wish = {"want": "configure", "files": dict(files)}
                    report = await self._ask(address, key, wish, HAND_IN_SECONDS)
                    self._known[place] = _Known(uid_of(pod), report, ready)
                    self._metrics.pushed(ok=is_current(report, wanted))
        except NoAnswer:
            self._metrics.pushed(ok=False)
            return False
        return is_current(report, wanted)

    async def _ask(self, address: str, key: str, wish: dict[str, Any], seconds: float) -> Report:
        """Raises NoAnswer."""
        if self._http is None:
            self._http = aiohttp.ClientSession()
        sealer = Sealer(Secret(key.encode()))
        question = sealer.seal(wish, QUESTION)
        host = f"[{address}]" if ":" in address else address
        try:
            async with self._http.post(
                f"http://{host}:{self._port}/",
                data=question,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as response:
                if response.status != 200:
                    raise NoAnswer(f"{address} says {response.status}")
                reply = sealer.open(await response.read(), reply_purpose(question))
        except (aiohttp.ClientError, OSError, TimeoutError, SealBroken) as error:
            raise NoAnswer(f"{address}: {type(error).__name__}") from error
        return parse_report(reply, time.time())
