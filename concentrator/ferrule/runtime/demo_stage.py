"""What the demo plays on: a gateway and a web server, each a process in a namespace of its own.

    client 192.0.2.10 -- 192.0.2.1 gateway 198.51.100.1 -- 198.51.100.80 web

The calling process is the client's host. Everything lives in one temporary directory and in
processes that die with this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ferrule.runtime.demo_net import (
    Namespace,
    Plug,
    add_default_route,
    connect,
    set_up_loopback,
)

CLIENT: Final = "192.0.2.10"
GATEWAY: Final = "192.0.2.1"
BEYOND: Final = "198.51.100.1"
WEB: Final = "198.51.100.80"
WEB_PORT: Final = 8080
INNER: Final = "10.20.0.1"
PSK: Final = "the demonstration's pre-shared key"
USERS: Final = {"alice": "alice's password", "bob": "bob's password"}

_HTTP_PORT: Final = 9190
_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_LOG_LINES: Final = 30
_CONFIG: Final = """\
listen:
  http: {gateway}:{port}
  admin: {admin}
gateway:
  ipsec: {{psk: "{psk}"}}
  pools: [{{name: default, cidr: 10.20.0.0/24}}]
  egress: {{snat: {snat}}}
  drain: {{timeoutSeconds: 2}}
log: {{format: json}}
users:
"""


class StageError(Exception):
    """A process of the demo failed; the message is for a person, with the end of its log."""


class Stage:
    """Use it in a `with`, from a process that has entered a network namespace of its own."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ferrule-demo-"))
        self.admin = self.directory / "admin.sock"
        self.config = self.directory / "gateway.yaml"
        self.log = self.directory / "gateway.log"
        self.snat = _has_nft()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._namespaces: list[Namespace] = []
        self._gateway_host: Namespace | None = None
        self._gateway: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for namespace in self._namespaces:
            namespace.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- network and processes

    def lay_network(self) -> None:
        """Raises DemoNetError."""
        here, gateway, web = Namespace.here(), Namespace.new(), Namespace.new()
        self._namespaces += [here, gateway, web]
        self._gateway_host = gateway
        for namespace in self._namespaces:
            set_up_loopback(namespace)
        connect(_plug(here, "to-gateway", CLIENT), _plug(gateway, "outside", GATEWAY))
        connect(_plug(gateway, "inside", BEYOND), _plug(web, "eth0", WEB))
        # With masquerade the web server knows no pool; without, this is its way back to it.
        add_default_route(web, BEYOND)
        module = [sys.executable, "-m", "ferrule.runtime.demo_web", WEB, str(WEB_PORT)]
        self._processes.append(web.start(module, self.directory / "web.log"))

    async def start_gateway(self) -> float:
        """Start `ferrule serve`; returns the seconds until it was ready. Raises StageError."""
        assert self._gateway_host is not None
        self.write_config()
        argv = [sys.executable, "-m", "ferrule.cli.main", "serve", "--config", str(self.config)]
        began = time.monotonic()
        self._gateway = self._gateway_host.start(argv, self.log)
        self._processes.append(self._gateway)
        async with aiohttp.ClientSession() as http:
            while time.monotonic() - began < _READY_SECONDS:
                if self._gateway.poll() is not None:
                    raise StageError(f"the gateway did not start\n{self.log_end()}")
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(_url("/readyz")) as response:
                        if response.status == 200:
                            return time.monotonic() - began
                await asyncio.sleep(0.02)
        raise StageError(f"the gateway was not ready in {_READY_SECONDS:.0f} s\n{self.log_end()}")

    async def stop_gateway(self) -> None:
        """SIGTERM, then wait for a clean end. Raises StageError."""
        assert self._gateway is not None
        self._gateway.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.to_thread(self._gateway.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise StageError(f"the gateway did not stop\n{self.log_end()}") from None
        if code != 0:
            raise StageError(f"the gateway ended with {code}\n{self.log_end()}")

    def log_end(self) -> str:
        """The last lines of the gateway's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    # --- what an operator does

    def write_config(self, disabled: Iterable[str] = ()) -> None:
        """In one piece, as an editor or a mounted Secret does it."""
        text = _CONFIG.format(
            gateway=GATEWAY,
            port=_HTTP_PORT,
            admin=self.admin,
            psk=PSK,
            snat=str(self.snat).lower(),
        )
        for user, password in USERS.items():
            enabled = str(user not in disabled).lower()
            text += f'- {{username: {user}, password: "{password}", enabled: {enabled}}}\n'
        draft = self.config.with_suffix(".new")
        draft.write_text(text)
        draft.chmod(0o600)
        os.replace(draft, self.config)

    async def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, named as in the exposition format. Raises StageError."""
        async with aiohttp.ClientSession() as http, http.get(_url("/metrics")) as response:
            text = await response.text()
            if response.status != 200:
                raise StageError(f"/metrics: {response.status}\n{self.log_end()}")
        samples: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
                samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return samples


def _plug(namespace: Namespace, interface: str, address: str) -> Plug:
    return Plug(namespace, interface, IPv4Interface(f"{address}/24"))


def _url(path: str) -> str:
    return f"http://{GATEWAY}:{_HTTP_PORT}{path}"


def _has_nft() -> bool:
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None
