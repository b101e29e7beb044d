"""A gateway with a client under attack, without root's help: three namespaces and two cables.

    client and attacker 192.0.2.10 -- 192.0.2.1 gateway 198.51.100.1 -- 198.51.100.80 inside

The calling process is the client's host, in a namespace of its own (support.netns). The attacker
sits on the client's cable; strangers' addresses are routed to that host too, which swallows what
is sent to them.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.request
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families
from pyroute2 import IPRoute

from ferrule.client.driver import Server
from ferrule.client.errands import ErrandEffect, Network, SendPacket
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, build_udp
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.errors import ProtocolError
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.admin import ask
from ferrule.runtime.demo_net import Namespace, Plug, add_default_route, connect, set_up_loopback
from interop.hostile.eavesdropper import Eavesdropper
from interop.hostile.flood import SOURCES
from interop.hostile.wire import Wire, hardware_address
from interop.hostile.witnesses import NUMBER, Sink

CLIENT: Final = "192.0.2.10"
INSIDER: Final = "192.0.2.11"  # another host on the client's side
GATEWAY: Final = "192.0.2.1"
BEYOND: Final = "198.51.100.1"
INSIDE: Final = "198.51.100.80"
STREAM_PORT: Final = 7000
PSK: Final = "a key of all who are besieged"
PASSWORDS: Final = {
    "alice": "alice's password",
    "bob": "bob's password",
    "mallory": "mallory's password",
}
# Behind a NAT each host calls itself by its own private address (RFC 2407 4.6.2.1); mallory calls
# himself by alice's.
_HOSTS: Final = {"alice": "192.168.1.5", "bob": "192.168.1.6", "mallory": "192.168.1.5"}
SERVER: Final = Server(GATEWAY)
_HTTP_PORT: Final = 9190
_READY_SECONDS: Final = 30.0
_POOL: Final = "10.20.0.0/24"


def settings_of(user: str) -> ClientSettings:
    """The client of a user."""
    return ClientSettings(
        ike=IkePolicy(
            keys=(Secret(PSK.encode()),),
            offer_identification=_HOSTS[user],
            offer_initial_contact=False,
        ),
        l2tp=L2tpPolicy(host_name=user),
        ppp=PppPolicy(name=user),
        credentials=Credentials(user, Secret(PASSWORDS[user].encode())),
        timeout=20.0,
    )


class Beat:
    """An errand without an end: every `interval` seconds an echo request and a datagram of the
    stream, both numbered; it remembers which numbers were answered, and how often."""

    name = "ping"

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._network: Network | None = None
        self._next_at = 0.0
        self.sent = 0
        self.answered: list[int] = []

    @property
    def deadline(self) -> Deadline | None:
        return Deadline(self._next_at, "beat")

    def start(self, network: Network, now: float) -> list[ErrandEffect]:
        self._network = network
        return self.expire(now)

    def receive(self, packet: Ipv4Packet, now: float) -> list[ErrandEffect]:
        del now
        if packet.protocol == IpProtocol.ICMP:
            try:
                message = parse_icmp(packet.payload)
            except ProtocolError:
                return []
            if isinstance(message, Echo) and message.reply:
                self.answered.append(NUMBER.unpack_from(message.data)[0])
        return []

    def expire(self, now: float) -> list[ErrandEffect]:
        assert self._network is not None
        self._next_at = now + self._interval
        number, self.sent = self.sent, self.sent + 1
        here, there, data = self._network.address, IPv4Address(INSIDE), NUMBER.pack(number)
        echo = build_echo(Echo(False, 7, number & 0xFFFF, data))
        return [
            SendPacket(build_ipv4(Ipv4Packet(here, there, IpProtocol.ICMP, echo))),
            SendPacket(build_udp((here, STREAM_PORT), (there, STREAM_PORT), data)),
        ]

    def close(self, now: float) -> list[ErrandEffect]:
        del now
        return []


class Siege:
    """Use it in a `with`; `directory` holds configuration, socket and logs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._admin = str(directory / "admin.sock")
        self.log = directory / "gateway.log"
        self._namespaces: list[Namespace] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Siege:
        here, gateway, inside = Namespace.here(), Namespace.new(), Namespace.new()
        self._namespaces += [here, gateway, inside]
        for namespace in self._namespaces:
            set_up_loopback(namespace)
        connect(_plug(here, "outside", CLIENT), _plug(gateway, "outside", GATEWAY))
        connect(_plug(gateway, "inside", BEYOND), _plug(inside, "eth0", INSIDE))
        add_default_route(inside, BEYOND)
        here.run(lambda: _add_address("outside", INSIDER))
        here.run(lambda: _route(SOURCES, type="blackhole"))
        gateway.run(lambda: _route(SOURCES, gateway=CLIENT))
        hardware = hardware_address(gateway, "outside")
        self.wire = Wire(here, "outside", hardware, GATEWAY, CLIENT)
        self.ears = Eavesdropper(self.wire)
        self.sink = Sink(inside, INSIDE, STREAM_PORT)
        self.ears.start()
        self._start(gateway)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.ears.stop()
        self.sink.close()
        self.wire.close()
        for namespace in self._namespaces:
            namespace.close()

    def _start(self, gateway: Namespace) -> None:
        config = self._directory / "gateway.yaml"
        users = [{"username": user, "password": word} for user, word in PASSWORDS.items()]
        configuration = {
            "listen": {"http": f"{GATEWAY}:{_HTTP_PORT}", "admin": self._admin},
            "gateway": {
                "ipsec": {"psk": PSK},
                "pools": [{"name": "default", "cidr": _POOL}],
                "egress": {"snat": False},
            },
            "log": {"format": "json"},
            "users": users,
        }
        config.write_text(json.dumps(configuration))  # JSON is YAML
        argv = [sys.executable, "-m", "ferrule.cli.main", "serve", "--config", str(config)]
        self._process = gateway.start(argv, self.log)
        end = time.monotonic() + _READY_SECONDS
        while '"ready"' not in self.log.read_text():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(10)

    @property
    def pid(self) -> int:
        """Of the gateway."""
        assert self._process is not None
        return self._process.pid

    def sessions(self) -> list[dict[str, Any]]:
        """As `ferrule sessions --json` tells them; not from within the event loop."""
        return list(asyncio.run(ask(self._admin, "GET", "/sessions")))

    def metric_by(self, name: str, label: str) -> dict[str, float]:
        """The samples of a metric that has one label, by its values."""
        with urllib.request.urlopen(f"http://{GATEWAY}:{_HTTP_PORT}/metrics", timeout=10) as page:
            families = text_string_to_metric_families(page.read().decode())
        return {
            sample.labels[label]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }

    def bugs(self) -> list[str]:
        """Lines of the log that tell of a bug."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if not line.startswith("{") or '"exception"' in line]


def run_siege(play: Any, directory: Path) -> None:
    """`play(siege)` is a coroutine."""
    with Siege(directory) as siege:
        asyncio.run(play(siege))


def _plug(namespace: Namespace, device: str, address: str) -> Plug:
    return Plug(namespace, device, IPv4Interface(f"{address}/24"))


def _add_address(device: str, address: str) -> None:
    with IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=device)
        ip.addr("add", index=index, address=address, prefixlen=24)


def _route(destination: str, **how: str) -> None:
    with IPRoute() as ip:
        ip.route("add", dst=destination, **how)


__all__ = [
    "CLIENT",
    "INSIDE",
    "INSIDER",
    "SERVER",
    "STREAM_PORT",
    "Beat",
    "Siege",
    "run_siege",
    "settings_of",
]
