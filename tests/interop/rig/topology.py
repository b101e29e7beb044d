"""The laboratory: a wide-area net, a home net behind NAT, the gateway, and a host behind it.

    guest --- bridge `lan` --- [nat] --- bridge `wan` --- [gateway] --- [web]
    guest ----------------------------------/

Every box in brackets is a network namespace; the two bridges are in a namespace of their own, where
the guests' kernels run too. A guest is moved between the bridges while it runs. `web` has no
route to the gateway's pools: only masqueraded packets are answered.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from .namespaces import Namespace, Namespaces
from .processes import Process
from .uml import Guest

SERVER_ADDRESS = "192.0.2.1"
NAT_ADDRESS = "192.0.2.2"
OTHER_NAT_ADDRESS = "192.0.2.3"
WEB_ADDRESS = "198.51.100.2"
_GATEWAY_TO_WEB = "198.51.100.1"
_NAT_INSIDE = "10.77.0.1"


class Nat:
    """A home router: masquerade, and a way to forget and move its mappings."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._first_port = 20000
        self.reset()

    def reset(self) -> None:
        """Map as home routers do: the same port where it is free."""
        self._map("masquerade")
        self.namespace.run("conntrack", "-F")

    def _map(self, statement: str) -> None:
        self.namespace.nft(
            "add table ip nat\n"
            "delete table ip nat\n"
            "table ip nat {\n"
            "  chain after { type nat hook postrouting priority srcnat;\n"
            f'    oifname "wan" meta l4proto udp {statement}\n'
            '    oifname "wan" masquerade\n'
            "  }\n"
            "}\n"
        )

    def rebind(self, address: str = NAT_ADDRESS) -> range:
        """Every mapping gets another port (and address); returns the new ports."""
        ports = range(self._first_port, self._first_port + 1000)
        self._first_port += 1000
        self._map(f"snat to {address}:{ports.start}-{ports.stop - 1}")
        self.namespace.run("conntrack", "-F")
        return ports

    def mappings(self) -> str:
        """The UDP mappings as conntrack prints them."""
        return self.namespace.run("conntrack", "-L", "-p", "udp")


class Laboratory:
    """Namespaces, cables and the host behind the gateway; guests are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._namespaces = Namespaces()
        self._numbers = itertools.count(11)
        self._places: dict[str, int] = {}
        self._guests: list[Guest] = []
        self._processes: list[Process] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        self.switch = self._namespaces.add("switch")
        self.server = self._namespaces.add("server")
        self.web = self._namespaces.add("web")
        nat = self._namespaces.add("nat")
        join = Namespaces.join
        for bridge in ("wan", "lan"):
            self.switch.add_bridge(bridge)
        for bridge, port, other, device in (
            ("wan", "p-server", self.server, "wan"),
            ("wan", "p-nat", nat, "wan"),
            ("lan", "p-home", nat, "lan"),
        ):
            join(self.switch, port, other, device)
            self.switch.plug(port, bridge)
        self.server.ip("addr", "add", f"{SERVER_ADDRESS}/24", "dev", "wan")
        for address in (NAT_ADDRESS, OTHER_NAT_ADDRESS):
            nat.ip("addr", "add", f"{address}/24", "dev", "wan")
        nat.ip("addr", "add", f"{_NAT_INSIDE}/24", "dev", "lan")
        nat.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.nat = Nat(nat)
        self._build_inside()
        self._processes.append(
            self.web.start(["iperf3", "--server", "--forceflush"], self.folder / "iperf3.log")
        )

    def _build_inside(self) -> None:
        """What is behind `server`'s outer address: here, the gateway itself and then `web`."""
        Namespaces.join(self.server, "inside", self.web, "eth0")
        self.server.ip("addr", "add", f"{_GATEWAY_TO_WEB}/24", "dev", "inside")
        self.server.ip("route", "add", "default", "via", WEB_ADDRESS)
        self.web.ip("addr", "add", f"{WEB_ADDRESS}/24", "dev", "eth0")

    def add_guest(self, name: str, layers: tuple[Path, ...] = ()) -> Guest:
        """Start a guest; it has a cable and no address until `place`."""
        number = next(self._numbers)
        self.switch.add_tap(name, "wan")
        guest = Guest(name, self.switch, name, self.folder / name, layers=layers)
        self._places[name] = number
        self._guests.append(guest)
        return guest

    def remove_guest(self, guest: Guest) -> None:
        """End a guest before the others."""
        self._guests.remove(guest)
        guest.close()

    def place(self, guest: Guest, bridge: str) -> tuple[str, str]:
        """Plug a guest into `wan`, or behind the NAT into `lan`; returns address and router."""
        number = self._places[guest.name]
        address, gateway = {
            "wan": (f"192.0.2.{number}", SERVER_ADDRESS),
            "lan": (f"10.77.0.{number}", _NAT_INSIDE),
        }[bridge]
        self.switch.plug(guest.tap, bridge)
        hardware = f"02:fe:00:00:{'01' if bridge == 'wan' else '02'}:{number:02x}"
        guest.shell(
            "ip addr flush dev vec0\n"
            f"ip link set vec0 down; ip link set vec0 address {hardware}\n"
            "ip link set vec0 up\n"
            f"ip addr add {address}/24 dev vec0\n"
            f"ip route replace default via {gateway} dev vec0\n"
            f"ping -c 1 -W 5 {gateway}\n"
        )
        return address, gateway

    def add_process(self, process: Process) -> Process:
        """Have a process ended together with the laboratory."""
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End guests, processes and namespaces."""
        for guest in self._guests:
            guest.close()
        for process in reversed(self._processes):
            process.stop()
        self._namespaces.close()
