"""Sockets and the event loop around one client: two UDP ports, one timer, nothing decided here.

Both sockets are connected and have ephemeral ports of their own, as behind a NAT: no privilege is
needed, and the kernel tells when the server's port is closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ferrule.client.effects import Step
from ferrule.client.errands import Errand
from ferrule.client.probe import Probe
from ferrule.client.report import ProbeReport, StepReport, Trouble
from ferrule.client.settings import ClientSettings
from ferrule.core.deadlines import Deadline
from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason

_BATCH: Final = 64  # datagrams read before others get their turn
_DATAGRAM_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is; `host` is an address, not a name."""

    host: str
    port: int = 500
    natt_port: int = 4500


def resolve(name: str) -> str:
    """The address of a server, IPv4 where there is one. Raises OSError with a text for people."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


class Engine(Protocol):
    """What a shell drives."""

    @property
    def deadline(self) -> Deadline | None: ...
    def receive_datagram(self, path: Path, data: bytes) -> None: ...
    def expire(self) -> None: ...
    def refuse(self) -> None:
        """The kernel says that nobody listens at the server's port."""


class Shell:
    """The two sockets and the timer of one client. Use it from within the running loop."""

    def __init__(self, server: Server, local_host: str | None = None) -> None:
        """Raises OSError, for instance if there is no route to the server."""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._engine: Engine | None = None
        with ExitStack() as stack:
            self._sockets = {
                natt: stack.enter_context(_connected(server.host, port, local_host))
                for natt, port in ((False, server.port), (True, server.natt_port))
            }
            self._closing = stack.pop_all()
        self._paths = {
            natt: Path(Address(*port.getpeername()[:2]), Address(*port.getsockname()[:2]), natt)
            for natt, port in self._sockets.items()
        }

    @property
    def path(self) -> Path:
        """To the server's port 500, or what stands for it."""
        return self._paths[False]

    def adapt(self, settings: ClientSettings) -> ClientSettings:
        """The settings with the ports to which IKE floats."""
        natt = self._paths[True]
        ike = replace(settings.ike, natt_peer_port=natt.peer.port, natt_local_port=natt.local.port)
        return replace(settings, ike=ike)

    def attach(self, engine: Engine) -> None:
        """Read for `engine` and run its timer from now on."""
        self._engine = engine
        for natt, port in self._sockets.items():
            self._loop.add_reader(port.fileno(), self._read, natt)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._engine is not None:
            for port in self._sockets.values():
                self._loop.remove_reader(port.fileno())
            self._engine = None
        self._closing.close()

    def transmit(self, path: Path, data: bytes) -> None:
        """A full buffer loses the datagram, as the network would."""
        try:
            self._sockets[path.natt].send(data)
        except ConnectionRefusedError:
            self._loop.call_soon(self._on_refused)
        except OSError:
            pass  # no route for now, or too big: retransmission and the time-out deal with it

    def rearm(self) -> None:
        """After anything was done to the engine from outside; nothing once it is closed."""
        if self._engine is None:
            return
        deadline = self._engine.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() == deadline.at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline.at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._engine is not None:
            self._engine.expire()
        self.rearm()

    def _on_refused(self) -> None:
        if self._engine is not None:
            self._engine.refuse()
            self.rearm()

    def _read(self, natt: bool) -> None:
        port, path = self._sockets[natt], self._paths[natt]
        for _ in range(_BATCH):
            if self._engine is None:
                return  # what came last closed it
            try:
                data = port.recv(_DATAGRAM_MAX)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self._engine.refuse()
                continue
            except OSError:
                break  # an ICMP error of another kind; the time-outs deal with it
            self._engine.receive_datagram(path, data)
        self.rearm()


def _connected(host: str, port: int, local_host: str | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if local_host is not None:
            made.bind((local_host, 0))
        made.connect((host, port))
    except OSError:
        made.close()
        raise
    return made


class _WatchedProbe:
    """A probe that wakes its waiter when it is done, and knows of closed ports."""

    def __init__(self, probe: Probe, done: asyncio.Event, server: Server) -> None:
        self._probe = probe
        self._done = done
        self._server = server

    @property
    def deadline(self) -> Deadline | None:
        return self._probe.deadline

    def receive_datagram(self, path: Path, data: bytes) -> None:
        self._probe.receive_datagram(path, data)
        self.settle()

    def expire(self) -> None:
        self._probe.expire()
        self.settle()

    def refuse(self) -> None:
        if not self._probe.heard:
            server = self._server
            detail = f"{server.host} says that nothing listens on UDP port {server.port}"
            self._probe.interrupt(Trouble(Step.PHASE1, Reason.NO_ANSWER, detail))
            self.settle()

    def settle(self) -> None:
        if self._probe.done:
            self._done.set()


async def run_probe(
    server: Server,
    settings: ClientSettings,
    errands: Iterable[Errand] = (),
    watch: Callable[[StepReport | Trouble], None] = lambda _: None,
) -> ProbeReport:
    """Connect, do the errands, leave in good order. SIGINT and SIGTERM only hasten the leaving.

    Raises OSError if there is no way to the server at all.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    shell = Shell(server)
    try:
        probe = Probe(
            shell.adapt(settings),
            shell.path,
            errands,
            entropy=os.urandom,
            clock=loop.time,
            transmit=shell.transmit,
            watch=watch,
        )
        watched = _WatchedProbe(probe, done, server)
        shell.attach(watched)

        def interrupt() -> None:
            probe.interrupt(Trouble(probe.step, Reason.ADMIN_KICK, "interrupted"))
            watched.settle()
            shell.rearm()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        try:
            probe.start()
            watched.settle()
            shell.rearm()
            await done.wait()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
    finally:
        shell.close()
    return probe.report
