"""kopf's part: it watches, and hands every event on. No handler does more than that, so kopf
writes nothing: no finalizer, no annotation, no event of its own.

It runs in a thread with a loop of its own: when it ends, it cancels every task of its loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any, Final

import kopf
import structlog

from ferrule_operator.kinds import WATCHED, Kind
from ferrule_operator.objects import Object

SERVICE_ACCOUNT_TOKEN: Final = "/var/run/secrets/kubernetes.io/serviceaccount/token"
WORKER_IDLE_SECONDS: Final = 0.1
RESTART_SECONDS: Final = 2.0
STOP_SECONDS: Final = 5.0

# Kind, change ("DELETED" or another; None in the first listing), object.
Seen = Callable[[Kind, str | None, Object], None]


class Watches:
    """Watches of every kind, in these namespaces, or in all."""

    def __init__(self, namespaces: tuple[str, ...], seen: Seen) -> None:
        """`seen` is called in the loop that calls `start`."""
        self._namespaces = namespaces
        self._seen = seen
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("ferrule_operator")

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="watches", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until told to stop. kopf ends where a watch fails in a way that it does not know."""
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # no signals here
        while not self._stop.is_set():
            try:
                kopf.run(
                    registry=self._registry(loop),
                    settings=_settings(),
                    standalone=True,
                    clusterwide=not self._namespaces,
                    namespaces=self._namespaces,
                    stop_flag=self._stop,
                )
            except Exception:  # noqa: BLE001 - whatever it was, watches begin anew
                self._log.exception("the watches ended; they begin anew")
            self._stop.wait(RESTART_SECONDS)

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, id="login")(_login)
        for kind in WATCHED:
            self._watch(registry, kind, loop)
        return registry

    def _watch(
        self, registry: kopf.OperatorRegistry, kind: Kind, loop: asyncio.AbstractEventLoop
    ) -> None:
        @kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id="seen")
        async def seen(event: Any, **_: Any) -> None:
            loop.call_soon_threadsafe(self._seen, kind, event["type"], dict(event["object"]))


def _settings() -> kopf.OperatorSettings:
    """kopf as a watcher only."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # else it would watch namespaces and definitions
    settings.queueing.idle_timeout = WORKER_IDLE_SECONDS
    settings.watching.chunk_size = 500
    for kind in WATCHED:
        selector = (kind.group, kind.version, kind.plural)
        if kind.selector:
            settings.watching.label_selectors[selector] = kind.selector
        if kind.fields:
            settings.watching.field_selectors[selector] = kind.fields
    return settings


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Without the synchronous client, whose import takes as much memory as all else."""
    if os.path.exists(SERVICE_ACCOUNT_TOKEN):
        return kopf.login_with_service_account(**kwargs)
    return kopf.login_with_kubeconfig(**kwargs)
