"""Pods that are played: the real StatefulSet controller makes them, nobody runs them. Each has an
address on loopback where the remote port of a concentrator answers, as the real one would."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import threading
import time
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.runtime.config import Config
from ferrule.runtime.config_problems import ConfigError
from ferrule.runtime.remote import serve_remote
from ferrule_operator.conditions import time_text
from ferrule_operator.names import REMOTE_PORT
from ferrule_operator.rendering import load_bundles
from ferrule_operator.reports import revisions_of
from tests.kubernetes.cluster.api import Api, CommandRefused, eventually

_numbers = itertools.count(1)


def _host() -> str:
    """An address on loopback that no other pod has, and none of another run on this machine."""
    mine = os.getpid() % 60_000
    return f"127.{mine // 250 + 1}.{mine % 250}.{next(_numbers)}"


class Concentrator:
    """What a pod runs: takes files over if they load, and says what it has."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.config: Config = load_bundles(files)
        self.taken: list[float] = []
        self.sessions: dict[str, int] = {}
        self.connected: dict[str, float] = {}
        self.store: dict[str, Any] = {"type": self.config.gateway.store.type, "up": True, "why": ""}
        self.members: list[str] = []

    def remote_status(self) -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "ready": True,
            "revisions": revisions_of(self.files),
            "sessions": sum(self.sessions.values()),
            "pool_free": 100,
            "users": self.sessions,
            "connected": self.connected,
            "store": self.store,
            "members": self.members,
        }

    async def configure(self, files: dict[str, str]) -> str:
        try:
            config = await asyncio.to_thread(load_bundles, files)
        except ConfigError as error:
            return str(error)
        self.files, self.config = files, config
        self.taken.append(asyncio.get_running_loop().time())
        return ""

    def user(self, name: str) -> Any:
        """As the concentrator has it now; None for a stranger."""
        return next((one for one in self.config.users if one.username == name), None)


class Kubelet:
    """Gives the pods of a gateway a status, and runs a `Concentrator` for each. Its mounts are as
    they were when a pod started, for ever."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stops: list[asyncio.Event] = []
        self._served: list[Future[None]] = []

    def __enter__(self) -> Kubelet:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stop in self._stops:
            self._loop.call_soon_threadsafe(stop.set)
        for served in self._served:
            served.result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, pod: str, seconds: float = 60) -> Concentrator:
        """Wait for the pod to be made, mount, start, and say so in its status."""
        gateway = pod.rpartition("-")[0]
        eventually(
            lambda: self._api.get("pod", pod, self._namespace), seconds=seconds, what=f"pod {pod}"
        )
        concentrator = Concentrator(self._mounted(gateway))
        host = _host()
        ready = threading.Event()
        key = Secret(concentrator.files["remote.key"].encode())
        serving = self._serve(concentrator, host, key, ready)
        self._served.append(asyncio.run_coroutine_threadsafe(serving, self._loop))
        assert ready.wait(10)
        self.say(pod, ready=True, address=host)
        return concentrator

    async def _serve(
        self, concentrator: Concentrator, host: str, key: Secret, ready: threading.Event
    ) -> None:
        stop = asyncio.Event()
        self._stops.append(stop)
        async with serve_remote(concentrator, Address(host, REMOTE_PORT), lambda: key):
            ready.set()
            await stop.wait()

    def _mounted(self, gateway: str) -> dict[str, str]:
        """What the pod's volume holds. As a kubelet does, wait for what is not optional there."""
        files: dict[str, str] = {}
        for secret in (f"{gateway}-config", f"{gateway}-users"):
            eventually(lambda name=secret: self._secret(name), seconds=60, what=f"secret {secret}")
        for secret in [f"{gateway}-config", f"{gateway}-users",
                       *(f"{gateway}-users-{i}" for i in range(1, 8))]:  # fmt: skip
            files |= self._secret(secret)
        return files

    def _secret(self, name: str) -> dict[str, str]:
        try:
            data = self._api.get("secret", name, self._namespace)["data"]
        except CommandRefused:
            return {}
        return {file: base64.b64decode(text).decode() for file, text in data.items()}

    def say(self, pod: str, *, ready: bool, address: str = "", init_message: str = "") -> None:
        """Write the pod's status as a kubelet does."""
        truth = "True" if ready else "False"
        state = {"running": {"startedAt": "2026-11-24T00:00:00Z"}}
        waiting = {"waiting": {"reason": "PodInitializing"}}
        status: dict[str, Any] = {
            "phase": "Running" if ready else "Pending",
            "podIP": address or None,
            "podIPs": [{"ip": address}] if address else [],
            "hostIP": "192.0.2.1",
            "conditions": [
                {"type": kind, "status": truth, "lastTransitionTime": time_text(time.time())}
                for kind in ("Ready", "ContainersReady")
            ],
            "containerStatuses": [_container("concentrator", ready, state if ready else waiting)],
        }
        if init_message:
            ended = {"exitCode": 1, "reason": "Error", "message": init_message}
            crashing = {
                **_container("init-tun", False, {"waiting": {"reason": "CrashLoopBackOff"}}),
                "lastState": {"terminated": ended},
                "restartCount": 3,
            }
            status["initContainerStatuses"] = [crashing]
        self._api.kubectl(
            "patch", "pod", pod, "-n", self._namespace, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": status}),
        )  # fmt: skip


def _container(name: str, ready: bool, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "ready": ready, "started": ready, "restartCount": 0, "image": "x",
        "imageID": "x", "state": state,
    }  # fmt: skip
