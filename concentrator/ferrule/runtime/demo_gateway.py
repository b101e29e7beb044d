"""One `ferrule serve` of a demo: its configuration, its process, its log and its metrics."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ferrule.runtime.demo_net import Namespace

HTTP_PORT: Final = 9190
_READY_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_LOG_LINES: Final = 30


class StageError(Exception):
    """A process of the demo failed; the message is for a person, with the end of its log."""


class DemoGateway:
    """`name` is what messages call it; `host` is where its HTTP port is reached from here."""

    def __init__(self, name: str, directory: Path, host: str) -> None:
        self.name = name
        self.host = host
        self.admin = directory / f"{name}.sock"
        self.config = directory / f"{name}.yaml"
        self.log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    # --- what an operator does

    def write_config(self, text: str) -> None:
        """In one piece, as an editor or a mounted Secret does it."""
        draft = self.config.with_suffix(".new")
        draft.write_text(text)
        draft.chmod(0o600)
        os.replace(draft, self.config)

    async def start(self, namespace: Namespace) -> float:
        """Returns the seconds until it was ready. Raises StageError."""
        argv = [sys.executable, "-m", "ferrule.cli.main", "serve", "--config", str(self.config)]
        began = time.monotonic()
        self._process = namespace.start(argv, self.log)
        while time.monotonic() - began < _READY_SECONDS:
            if self._process.poll() is not None:
                raise StageError(f"the {self.name} did not start\n{self.log_end()}")
            if await self.ready():
                return time.monotonic() - began
            await asyncio.sleep(_POLL_SECONDS)
        raise StageError(
            f"the {self.name} was not ready in {_READY_SECONDS:.0f} s\n{self.log_end()}"
        )

    def tell_to_stop(self) -> None:
        """SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def await_end(self, seconds: float) -> None:
        """A clean end, in time. Raises StageError."""
        assert self._process is not None
        try:
            code = await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            raise StageError(f"the {self.name} did not stop\n{self.log_end()}") from None
        if code != 0:
            raise StageError(f"the {self.name} ended with {code}\n{self.log_end()}")

    def kill(self) -> None:
        """kill -9; nothing if it has ended, or was never started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- what it says

    async def ready(self) -> bool:
        """What a readiness probe finds."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            timeout = aiohttp.ClientTimeout(total=1.0)
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.get(self._url("/readyz")) as response,
            ):
                return response.status == 200
        return False

    async def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, named as in the exposition format. Raises StageError."""
        async with aiohttp.ClientSession() as http, http.get(self._url("/metrics")) as response:
            text = await response.text()
            if response.status != 200:
                raise StageError(f"/metrics: {response.status}\n{self.log_end()}")
        samples: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return samples

    def log_end(self) -> str:
        """The last lines of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def _url(self, path: str) -> str:
        return f"http://{self.host}:{HTTP_PORT}{path}"


def has_nft() -> bool:
    """Is there the program `nft`, which masquerade needs?"""
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
