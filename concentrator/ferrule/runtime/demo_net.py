"""Network namespaces of the demo's own: nameless, and gone with the last process inside.

As root, or as anybody where the system lets users have namespaces (user_namespaces(7)). A namespace
is a file descriptor; what has to happen inside runs in a thread, or a child process, that has
entered it. Linux only; needs no program but Python.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

T = TypeVar("T")

_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None, use_errno=True)


class DemoNetError(Exception):
    """The system does not let us; the message says what would."""


def enter_own_network() -> str:
    """Put this process (which must have no threads yet) into a fresh, empty network namespace.

    Returns how: "as root", or "in a user namespace". Raises DemoNetError.
    """
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWNET) == 0:
        return "as root"
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        cause = os.strerror(ctypes.get_errno())
        raise DemoNetError(
            f"no network namespace for us: {cause}. Run it as root, or let users have namespaces "
            "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; on Ubuntu "
            "kernel.apparmor_restrict_unprivileged_userns=0)"
        )
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise DemoNetError(f"no user namespace for us: {error}. Run it as root") from error
    return "in a user namespace"


class Namespace:
    """A network namespace. The one that the process itself is in is `Namespace.here()`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def here(cls) -> Namespace:
        return cls(_own_namespace())

    @classmethod
    def new(cls) -> Namespace:
        """A fresh one, with nothing in it but a loopback interface that is down."""

        def make() -> int:
            _check(_libc.unshare(_CLONE_NEWNET))
            return _own_namespace()

        return cls(_in_thread(make))

    @property
    def descriptor(self) -> int:
        return self._descriptor

    def run(self, work: Callable[[], T]) -> T:
        """Do `work` inside; sockets that it opens stay there."""

        def entered() -> T:
            _check(_libc.setns(self._descriptor, _CLONE_NEWNET))
            return work()

        return _in_thread(entered)

    def start(self, argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program inside, its output in `log`. It does not outlive us."""

        def enter() -> None:  # between fork and exec: as little as can be
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if _libc.setns(self._descriptor, _CLONE_NEWNET) != 0:
                os._exit(126)

        with log.open("ab") as output:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(self._descriptor,),
                preexec_fn=enter,
            )

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Plug:
    """One end of a cable."""

    namespace: Namespace
    interface: str
    address: IPv4Interface


def connect(here: Plug, there: Plug) -> None:
    """A cable between two namespaces, both ends up and with their addresses. DemoNetError."""

    def lay() -> None:
        with IPRoute() as ip:
            peer = {"ifname": there.interface, "net_ns_fd": there.namespace.descriptor}
            ip.link("add", ifname=here.interface, kind="veth", peer=peer)

    _laying(here.namespace, lay)
    for plug in (here, there):
        plug.namespace.run(lambda plug=plug: _set_up(plug.interface, plug.address))  # type: ignore[misc]


def _laying(namespace: Namespace, work: Callable[[], None]) -> None:
    try:
        namespace.run(work)
    except NetlinkError as error:
        raise DemoNetError(
            f"the network can't be laid: {error.args[-1]}. Run it as root"
        ) from error


@dataclass(frozen=True, slots=True)
class Bridge:
    """A switch that lives in a namespace, which is itself plugged into it."""

    namespace: Namespace
    name: str


def add_bridge(namespace: Namespace, name: str, address: IPv4Interface) -> Bridge:
    """DemoNetError."""

    def add() -> None:
        with IPRoute() as ip:
            ip.link("add", ifname=name, kind="bridge")

    _laying(namespace, add)
    namespace.run(lambda: _set_up(name, address))
    return Bridge(namespace, name)


def plug_in(
    bridge: Bridge, port: str, there: Namespace, interface: str, address: IPv4Interface
) -> None:
    """A cable from a port of the bridge to another namespace. DemoNetError."""

    def lay() -> None:
        with IPRoute() as ip:
            peer = {"ifname": interface, "net_ns_fd": there.descriptor}
            ip.link("add", ifname=port, kind="veth", peer=peer)
            (index,) = ip.link_lookup(ifname=port)
            (master,) = ip.link_lookup(ifname=bridge.name)
            ip.link("set", index=index, master=master)

    _laying(bridge.namespace, lay)
    bridge.namespace.run(lambda: _set_up(port, None))
    there.run(lambda: _set_up(interface, address))


def add_addresses(namespace: Namespace, interface: str, addresses: Iterable[str]) -> None:
    """Each alone, without a network."""

    def add() -> None:
        with IPRoute() as ip:
            (index,) = ip.link_lookup(ifname=interface)
            for address in addresses:
                ip.addr("add", index=index, address=address, prefixlen=32)

    namespace.run(add)


def replace_route(namespace: Namespace, destination: str, gateways: Sequence[str]) -> None:
    """By way of one, or spread over several."""

    def replace() -> None:
        with IPRoute() as ip:
            if len(gateways) == 1:
                ip.route("replace", dst=destination, gateway=gateways[0])
            else:
                hops = [{"gateway": gateway} for gateway in gateways]
                ip.route("replace", dst=destination, family=socket.AF_INET, multipath=hops)

    namespace.run(replace)


def set_up_loopback(namespace: Namespace) -> None:
    namespace.run(lambda: _set_up("lo", None))


def add_default_route(namespace: Namespace, gateway: str) -> None:
    def add() -> None:
        with IPRoute() as ip:
            ip.route("add", dst="default", gateway=gateway)

    namespace.run(add)


def _set_up(interface: str, address: IPv4Interface | None) -> None:
    with IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=interface)
        if address is not None:
            prefix = address.network.prefixlen
            ip.addr("add", index=index, address=str(address.ip), prefixlen=prefix)
        ip.link("set", index=index, state="up")


def _own_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise DemoNetError(f"network namespace: {os.strerror(number)}. Run it as root")


def _in_thread(work: Callable[[], T]) -> T:
    """A namespace is entered by one thread, so each piece of work gets a thread of its own."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
