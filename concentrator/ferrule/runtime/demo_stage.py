"""What the demo plays on: a gateway and a web server, each a process in a namespace of its own.

    client 192.0.2.10 -- 192.0.2.1 gateway 198.51.100.1 -- 198.51.100.80 web

The calling process is the client's host. Everything lives in one temporary directory and in
processes that die with this one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Final

from ferrule.runtime.demo_gateway import HTTP_PORT, DemoGateway, has_nft
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

_STOP_SECONDS: Final = 10.0
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


class Stage:
    """Use it in a `with`, from a process that has entered a network namespace of its own."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ferrule-demo-"))
        self.gateway = DemoGateway("gateway", self.directory, GATEWAY)
        self.snat = has_nft()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._namespaces: list[Namespace] = []
        self._gateway_host: Namespace | None = None

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.gateway.kill()
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
        return await self.gateway.start(self._gateway_host)

    async def stop_gateway(self) -> None:
        """SIGTERM, then wait for a clean end. Raises StageError."""
        self.gateway.tell_to_stop()
        await self.gateway.await_end(_STOP_SECONDS)

    # --- what an operator does

    def write_config(self, disabled: Iterable[str] = ()) -> None:
        """With these users disabled."""
        text = _CONFIG.format(
            gateway=GATEWAY,
            port=HTTP_PORT,
            admin=self.gateway.admin,
            psk=PSK,
            snat=str(self.snat).lower(),
        )
        for user, password in USERS.items():
            enabled = str(user not in disabled).lower()
            text += f'- {{username: {user}, password: "{password}", enabled: {enabled}}}\n'
        self.gateway.write_config(text)


def _plug(namespace: Namespace, interface: str, address: str) -> Plug:
    return Plug(namespace, interface, IPv4Interface(f"{address}/24"))
