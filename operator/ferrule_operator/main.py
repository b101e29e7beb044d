"""`ferrule-operator`: puts everything together and runs until SIGTERM. Told by environment
variables FERRULE_OPERATOR_... (see settings.py)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path

import structlog
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration

from ferrule import __version__
from ferrule_operator.api import Api, ApiError
from ferrule_operator.concentrators import Concentrators
from ferrule_operator.kinds import GATEWAY, USER
from ferrule_operator.leader import Leadership
from ferrule_operator.logs import configure_logging
from ferrule_operator.metrics import Metrics, serve_http
from ferrule_operator.operator import Operator
from ferrule_operator.settings import Settings, SettingsError, from_environment
from ferrule_operator.watches import SERVICE_ACCOUNT_TOKEN, Watches

RETRY_SECONDS = 2.0


def main() -> None:
    """The command."""
    try:
        settings = from_environment()
    except SettingsError as error:
        sys.stderr.write(f"ferrule-operator: {error}\n")
        raise SystemExit(2) from error
    configure_logging(settings.log_level)
    raise SystemExit(asyncio.run(run(settings)))


async def run(settings: Settings) -> int:
    """The exit status: 0 after SIGTERM, 1 when leadership was lost."""
    log = structlog.get_logger("ferrule_operator")
    stop = asyncio.Event()
    _stop_at_signals(stop)
    metrics = Metrics()
    api = Api(await api_configuration(), metrics)
    concentrators = Concentrators(metrics)
    operator = Operator(api, settings, metrics, concentrators)
    log.info("starting", version=__version__, namespaces=list(settings.namespaces) or "all")
    try:
        async with serve_http(settings.listen, metrics.registry, operator.stuck):
            return await _until(stop, _lead(api, settings, metrics, operator))
    finally:
        await concentrators.close()
        await api.close()
        log.info("stopped")


async def _lead(api: Api, settings: Settings, metrics: Metrics, operator: Operator) -> int:
    if not settings.leader_election:
        metrics.leading(True)
        await _operate(api, settings, operator)
        return 0
    leadership = Leadership(api, settings.own_namespace, settings.identity)
    async with leadership.holding():
        metrics.leading(True)
        work = asyncio.create_task(_operate(api, settings, operator))
        lost = asyncio.create_task(leadership.lost.wait())
        try:
            await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
            return 1
        finally:
            for task in (work, lost):
                task.cancel()
            await asyncio.gather(work, lost, return_exceptions=True)


async def _operate(api: Api, settings: Settings, operator: Operator) -> None:
    """Until it is cancelled."""
    await _await_definitions(api)
    watches = Watches(settings.namespaces, operator.seen)
    async with operator.running():
        watches.start()
        try:
            await asyncio.Event().wait()
        finally:
            await watches.stop()


async def _await_definitions(api: Api) -> None:
    log = structlog.get_logger("ferrule_operator")
    while True:
        try:
            missing = [kind.plural for kind in (GATEWAY, USER) if not await api.serves(kind)]
        except ApiError as error:
            missing = [str(error)]
        if not missing:
            return
        log.warning("waiting for the definitions: kubectl apply -k crds/", missing=missing)
        await asyncio.sleep(RETRY_SECONDS)


async def api_configuration() -> Configuration:
    """That of a pod's service account, else KUBECONFIG's."""
    configuration = Configuration()
    if Path(SERVICE_ACCOUNT_TOKEN).exists():
        kubernetes_config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    else:
        await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
            client_configuration=configuration
        )
    return configuration


def _stop_at_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _until(stop: asyncio.Event, work: Coroutine[None, None, int]) -> int:
    """The result of `work`, or 0 when told to stop."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else 0
    finally:
        for one in (task, stopping):
            one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(task, stopping, return_exceptions=True)
