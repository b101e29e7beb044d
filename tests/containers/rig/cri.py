"""A client of the container runtime interface, and what the kubelet's verbs come down to."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import Any

import grpc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # grpc calls the compiler at run time experimental
    messages, services = grpc.protos_and_services("containers/rig/cri.proto")

_SECONDS = 30.0


class Cri:
    """One connection. Methods are the calls of the service, by name: `cri.StartContainer(...)`
    takes the fields of the request and returns the answer; it raises grpc.RpcError."""

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        self._stub = services.RuntimeServiceStub(self._channel)

    def __getattr__(self, call: str) -> Any:
        request = getattr(messages, f"{call}Request")
        method = getattr(self._stub, call)

        def ask(**fields: Any) -> Any:
            return method(request(**fields), timeout=_SECONDS)

        return ask

    def close(self) -> None:
        self._channel.close()

    # --- what is asked for often

    def state(self, container: str) -> Any:
        """The status of a container, as the runtime tells it."""
        return self.ContainerStatus(container_id=container).status

    def pid(self, container: str) -> int:
        """Its first process, in the PID namespace of the runtime."""
        info = self.ContainerStatus(container_id=container, verbose=True).info
        return int(json.loads(info["info"])["pid"])

    def await_exit(self, container: str, seconds: float = _SECONDS) -> int:
        """The exit code; raises AssertionError if it does not end."""
        end = time.monotonic() + seconds
        while (status := self.state(container)).state != messages.CONTAINER_EXITED:
            assert time.monotonic() < end, f"{container} has not ended after {seconds} s"
            time.sleep(0.02)
        return int(status.exit_code)
