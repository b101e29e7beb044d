"""One concentrator of the cluster: `ferrule serve` in a namespace of its own."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from ferrule.runtime.demo_net import Namespace as Inside
from interop.hostile.wire import rig_namespace
from interop.rig.server import HTTP_PORT, Server

from .laboratory import ClusterLaboratory, pod_address, pod_name

RING_PORT = 4510
_OLDER = """
from ferrule.gateway import image
image.build_image.__defaults__ = (image.VERSION - 1,)
from ferrule.cli.main import app
app()
"""
_PROBE_TIMEOUT_SECONDS = 1.0  # the default of a probe's timeoutSeconds


class Pod(Server):
    """`number` gives name, namespace and address. It may be started again and again."""

    def __init__(
        self, laboratory: ClusterLaboratory, number: int, configuration: Mapping[str, Any]
    ) -> None:
        self.number = number
        self.name = pod_name(number)
        self.address = pod_address(number)
        self.starts = 0
        self.writes_older = False  # check-points of the version before, from its next start on
        namespace = laboratory.pods[number]
        self._inside: Inside = rig_namespace(namespace.name)
        super().__init__(laboratory, configuration, name=self.name, namespace=namespace)

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """With what is each pod's own: its name and where others of the ring send to."""
        own = {"member": self.name, "ring": f"{self.address}:{RING_PORT}"}
        if configuration["gateway"].get("store", {}).get("type") != "Valkey":
            own = {}
        listen = {**own, **configuration.get("listen", {})}
        super().configure({**configuration, "listen": listen})

    def begin(self) -> None:
        """Start, and don't wait."""
        super().begin()
        self.starts += 1

    def program(self) -> list[str]:
        """`ferrule`; or as it was before the check-points' format changed last."""
        if self.writes_older:
            return [sys.executable, "-c", _OLDER]
        return super().program()

    @property
    def running(self) -> bool:
        """Is there a process? It may be stopped."""
        return self._process is not None and self._process.status is None

    def kill(self) -> float:
        """`kill -9`; returns when, on the monotonic clock."""
        assert self._process is not None
        self._process.send(signal.SIGKILL)
        at = time.monotonic()
        self._process.wait(5)
        return at

    def pause(self) -> float:
        """SIGSTOP; returns when."""
        assert self._process is not None
        self._process.send(signal.SIGSTOP)
        return time.monotonic()

    def resume(self) -> float:
        """SIGCONT; returns when."""
        assert self._process is not None
        self._process.send(signal.SIGCONT)
        return time.monotonic()

    def terminate(self) -> float:
        """SIGTERM, as kubelet sends it; returns when."""
        assert self._process is not None
        self._process.send(signal.SIGTERM)
        return time.monotonic()

    def await_end(self, seconds: float) -> int:
        """Wait for the process's end; raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(seconds)

    # --- asking over HTTP, from inside the namespace

    def _get(self, path: str, timeout: float) -> tuple[int, str]:
        """Raises OSError."""

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", HTTP_PORT), timeout)

        connection = http.client.HTTPConnection("pod")
        connection.sock = self._inside.run(connect)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def ready(self) -> bool:
        """What a readiness probe finds."""
        try:
            status, _ = self._get("/readyz", _PROBE_TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200

    def _metrics_page(self) -> str:
        status, page = self._get("/metrics", 5.0)
        assert status == 200, page
        return page
