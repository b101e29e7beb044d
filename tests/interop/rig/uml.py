"""A guest: a Linux kernel with ESP, L2TP and PPP as a process (Debian's user-mode-linux).

It sees the host's files read-only under a tmpfs of its own, so the host's packages are its own.
Commands go over a serial line to `guest_agent.py`; one costs about 15 ms. Boot takes 2 to 3 s.
"""

from __future__ import annotations

import base64
import concurrent.futures
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .namespaces import Namespace
from .processes import Process

_HERE = Path(__file__).resolve().parent
_MODULES = Path("/usr/lib/uml/modules")
_BOOT_SECONDS = 60
_NUDGE_SECONDS = 0.01


class GuestError(Exception):
    """The guest could not do what was asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A command that ended. `status` is None when it was killed at its time-out."""

    status: int | None
    output: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the guest's journal. `at` is the guest's monotonic clock, in seconds."""

    at: float
    text: str
    groups: Sequence[str]
    mark: int


class Guest:
    """One guest with one network card, `vec0`, at the tap `tap` of a namespace."""

    def __init__(
        self,
        name: str,
        namespace: Namespace,
        tap: str,
        folder: Path,
        *,
        layers: Sequence[Path] = (),
        memory_megabytes: int = 192,
    ) -> None:
        self.name = name
        self.tap = tap
        folder.mkdir(parents=True, exist_ok=True)
        self._ids = itertools.count(1)
        self._booted: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._waiting = {0: self._booted}
        self._sending = threading.Lock()
        ours, theirs = socket.socketpair()
        self._line = ours
        arguments = [
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"),
            f"mem={memory_megabytes}M",
            f"uml_dir={folder}",
            f"umid={name}",
            *("con=null", "con0=null,fd:1", "ssl=null"),
            f"ssl0=fd:{theirs.fileno()},fd:{theirs.fileno()}",
            f"vec0:transport=tap,ifname={tap},depth=128,gro=0",
            f"init={_HERE / 'guest_init.sh'}",
            f"FERRULE_MODULES={_modules()}",
            f"FERRULE_LAYERS={':'.join(map(str, layers))}",
            f"FERRULE_PYTHON={Path(sys.executable).resolve()}",
            f"FERRULE_AGENT={_HERE / 'guest_agent.py'}",
            f"FERRULE_HOSTNAME={name}",
        ]
        self.process = Process(
            namespace.command("linux.uml", *arguments),
            folder / "console.log",
            environment={"TMPDIR": "/dev/shm"},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._closed = threading.Event()
        for work in (self._receive, self._nudge):
            threading.Thread(target=work, name=f"guest {name}", daemon=True).start()

    def await_boot(self) -> None:
        """Wait until the guest takes commands."""
        try:
            self._booted.result(_BOOT_SECONDS)
        except (TimeoutError, GuestError) as error:
            console = self.process.log.read_text(errors="replace")
            raise GuestError(f"{self.name} did not boot:\n{console}") from error

    def _receive(self) -> None:
        pending = b""
        while True:
            try:
                data = self._line.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                reply = json.loads(line)
                self._waiting.pop(reply["id"]).set_result(reply)
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(GuestError(f"{self.name} is gone"))

    def _nudge(self) -> None:
        """Have the guest look for packets a hundred times a second.

        The host's tun driver sends SIGIO for a packet a moment before the packet can be polled for
        (tun_net_xmit: kill_fasync, then sk_data_ready). A guest on another core that is quicker
        than that finds nothing, and would leave the packet until the next signal.
        """
        concurrent.futures.wait([self._booted])  # before, SIGIO may end the process
        process = os.pidfd_open(self.process.pid)
        try:
            while not self._closed.wait(_NUDGE_SECONDS):
                signal.pidfd_send_signal(process, signal.SIGIO)
        except ProcessLookupError:
            return  # it has ended
        finally:
            os.close(process)

    def begin(self, verb: str, **arguments: Any) -> concurrent.futures.Future[dict[str, Any]]:
        """Send a request; its reply comes later."""
        number = next(self._ids)
        future: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._waiting[number] = future
        message = json.dumps({"id": number, "verb": verb, **arguments}).encode() + b"\n"
        with self._sending:
            self._line.sendall(message)
        return future

    def ask(self, verb: str, *, patience: float = 30, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its reply."""
        return self._reply(self.begin(verb, **arguments), patience)

    def _reply(
        self, future: concurrent.futures.Future[dict[str, Any]], patience: float
    ) -> dict[str, Any]:
        try:
            reply = future.result(patience)
        except TimeoutError as error:
            raise GuestError(f"{self.name} does not answer") from error
        if "error" in reply:
            raise GuestError(f"{self.name}: {reply['error']}")
        return reply

    def begin_run(
        self, *argv: str, timeout: float = 60
    ) -> concurrent.futures.Future[dict[str, Any]]:
        """Start a command; `finish` waits for its end."""
        return self.begin("run", argv=argv, timeout=timeout)

    def finish(
        self, future: concurrent.futures.Future[dict[str, Any]], patience: float = 90
    ) -> Outcome:
        """The outcome of a command that `begin_run` started."""
        reply = self._reply(future, patience)
        return Outcome(reply["status"], reply["output"], reply["began"], reply["ended"])

    def try_run(self, *argv: str, timeout: float = 60) -> Outcome:
        """Run a command to its end, whatever its status."""
        return self.finish(self.begin_run(*argv, timeout=timeout), timeout + 30)

    def run(self, *argv: str, timeout: float = 60) -> Outcome:
        """Run a command that must succeed."""
        outcome = self.try_run(*argv, timeout=timeout)
        if outcome.status != 0:
            raise GuestError(
                f"{self.name}: {' '.join(argv)}: status {outcome.status}\n{outcome.output}"
            )
        return outcome

    def shell(self, script: str, timeout: float = 60) -> Outcome:
        """Run a shell script that must succeed; it stops at its first failure."""
        return self.run("sh", "-ec", script, timeout=timeout)

    def start(self, source: str, *argv: str) -> int:
        """Start a daemon whose output goes to the journal; returns its process id."""
        return int(self.ask("start", source=source, argv=argv)["pid"])

    def stop_daemon(self, pid: int, number: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon."""
        self.ask("stop", pid=pid, signal=int(number))

    def write(self, path: str, text: str, mode: int = 0o600) -> None:
        """Make a file."""
        data = base64.b64encode(text.encode()).decode()
        self.ask("write", path=path, data=data, mode=mode)

    def read(self, path: str) -> str:
        """What a file holds; "" when there is none."""
        return str(self.ask("read", path=path)["text"])

    def mark(self) -> int:
        """The end of the journal, to look from later."""
        return int(self.ask("mark")["mark"])

    def find_line(
        self, pattern: str, since: int, *, source: str | None = None, timeout: float = 10
    ) -> Line | None:
        """Wait for a line of the journal; None when it does not come in time."""
        reply = self.ask(
            "await_line",
            pattern=pattern,
            since=since,
            source=source,
            timeout=timeout,
            patience=timeout + 30,
        )
        if reply["line"] is None:
            return None
        return Line(reply["at"], reply["line"], reply["groups"], reply["mark"])

    def await_line(
        self, pattern: str, since: int, *, source: str | None = None, timeout: float = 10
    ) -> Line:
        """Wait for a line of the journal that must come."""
        line = self.find_line(pattern, since, source=source, timeout=timeout)
        if line is None:
            raise GuestError(
                f"{self.name} printed no {pattern!r} within {timeout} s:\n{self.journal(since)}"
            )
        return line

    def journal(self, since: int = 0) -> str:
        """What daemons printed since a mark, to be read by a person."""
        rows = self.ask("lines", since=since)["lines"]
        return "\n".join(f"{at:9.3f} {source:>8} {text}" for at, source, text in rows)

    def lines(self, since: int = 0) -> list[tuple[float, str, str]]:
        """The journal since a mark: (time, source, text)."""
        return [(at, source, text) for at, source, text in self.ask("lines", since=since)["lines"]]

    def await_path(self, path: str, *, gone: bool = False, timeout: float = 10) -> bool:
        """Wait for a path to appear, or to go; tells whether it did."""
        reply = self.ask("await_path", path=path, gone=gone, timeout=timeout, patience=timeout + 30)
        return bool(reply["reached"])

    def close(self) -> None:
        """End the guest. Its files are in memory: there is nothing to save."""
        self._closed.set()
        self.process.stop(signal.SIGKILL)
        self._line.close()


def _modules() -> Path:
    """The modules of the installed kernel."""
    versions = sorted(_MODULES.iterdir()) if _MODULES.is_dir() else []
    if not versions or not os.path.exists("/usr/bin/linux.uml"):
        raise GuestError("user-mode-linux is not installed: run tools/interop/install.sh")
    return versions[-1]
