"""Where the pods run: a node, a client before it, and a web host behind it.

    [client] --- 192.0.2.0/24 --- [node: cni0 --- pods] --- 198.51.100.0/24 --- [web]

Boxes in brackets are network namespaces. Nobody but the pod knows the gateway's pool: what leaves
it unmasked is not answered. The node's part of a Service is one nft table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from interop.rig.namespaces import Namespaces
from interop.rig.processes import Process

NODE_ADDRESS = "192.0.2.1"
WEB_ADDRESS = "198.51.100.2"
WEB_PORT = 8000
NODE_INSIDE = "198.51.100.1"
_CLIENT_ADDRESS = "192.0.2.2"


class Place:
    """Made with the object, gone with `close`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._namespaces = Namespaces()
        self._web: Process | None = None
        self._log = folder / "web.log"
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        add, join = self._namespaces.add, Namespaces.join
        self.node, self.client, web = add("node"), add("client"), add("web")
        join(self.node, "wan", self.client, "eth0")
        join(self.node, "inside", web, "eth0")
        self.node.ip("addr", "add", f"{NODE_ADDRESS}/24", "dev", "wan")
        self.node.ip("addr", "add", f"{NODE_INSIDE}/24", "dev", "inside")
        self.client.ip("addr", "add", f"{_CLIENT_ADDRESS}/24", "dev", "eth0")
        web.ip("addr", "add", f"{WEB_ADDRESS}/24", "dev", "eth0")
        server = [sys.executable, "-u", "-m", "http.server", str(WEB_PORT)]
        folder = self._log.parent / "web"
        folder.mkdir(exist_ok=True)
        self._web = web.start([*server, "--bind", WEB_ADDRESS, "--directory", folder], self._log)

    @property
    def network(self) -> Path:
        """The node's network namespace, as a file."""
        return Path("/run/netns") / self.node.name

    def asked(self) -> list[str]:
        """The addresses from which the web host was asked for a page, one a time."""
        lines = self._log.read_text().splitlines()
        return [line.split()[0] for line in lines if '"GET ' in line]

    def expose(self, pod: str, ports: Mapping[int, int]) -> None:
        """What a Service does: the node's UDP ports lead to the pod's."""
        self.expose_apart({port: (pod, target) for port, target in ports.items()})

    def expose_apart(self, ports: Mapping[int, tuple[str, int]]) -> None:
        """The same, each port to a pod of its own."""
        rules = "".join(
            f"    iifname wan udp dport {port} dnat to {pod}:{target}\n"
            for port, (pod, target) in ports.items()
        )
        self.node.nft(
            "add table ip service\ndelete table ip service\n"
            "table ip service {\n"
            "  chain before { type nat hook prerouting priority dstnat;\n"
            f"{rules}  }}\n}}\n"
        )

    def close(self) -> None:
        if self._web is not None:
            self._web.stop()
        self._namespaces.close()
