"""A machine for one node, made of namespaces: its own mounts, processes and network.

All that runs on it hangs on one process, the first of its PID namespace: when that one is killed
the kernel ends everything, containers too, and takes the mounts away. What is left are cgroups.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from interop.rig.processes import Process, run

_CGROUPS = Path("/sys/fs/cgroup")
_ENTER = Path(__file__).with_name("enter.sh")
_SECONDS = 20.0


class Machine:
    """Starts with the object, ends with `close`; `network` is the file of its network namespace."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.folder = folder
        self.network = network
        self.cgroup = f"ferrule-{os.getpid()}-{time.monotonic_ns() % 1_000_000}"
        self._processes: list[Process] = []
        folder.mkdir(parents=True, exist_ok=True)
        self._first = 0
        self._make_cgroups()
        self._holder = Process(
            [
                *("nsenter", f"--net={network}"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"),
                *(str(_ENTER), str(folder)),
            ],
            folder / "enter.log",
        )
        try:
            self._first = self._await_first()
        except BaseException:
            self.close()
            raise

    def _await_first(self) -> int:
        """Wait until the first process has made the mounts; returns its pid as seen from here."""
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            if self._holder.status is not None:
                break
            if (self.folder / "entered").exists():
                children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
                return int(children.read_text().split()[0])
            time.sleep(0.02)
        raise AssertionError("no machine: " + (self.folder / "enter.log").read_text())

    @property
    def root(self) -> Path:
        """Its file system, as it is seen from here."""
        return Path(f"/proc/{self._first}/root")

    # --- programs

    def command(self, *argv: str) -> list[str]:
        """A command line that runs `argv` on the machine."""
        target = ["nsenter", f"--target={self._first}", "--mount", "--pid", "--net"]
        return [*target, "--wdns=/", "--", *argv]

    def run(self, *argv: str, stdin: str = "", timeout: float = 60) -> str:
        """Run to the end; see processes.run."""
        return run(self.command(*argv), stdin=stdin, timeout=timeout)

    def start(self, name: str, argv: Sequence[str]) -> Process:
        """Start a program; it ends with the machine at the latest."""
        process = Process(self.command(*argv), self.folder / f"{name}.log")
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End everything that runs on it, and remove its cgroups."""
        if self._first and self._holder.status is None:
            # The holder waits for it, and the kernel lets it go last of all in its namespace.
            os.kill(self._first, signal.SIGKILL)
            self._holder.wait(_SECONDS)
        self._holder.stop()
        for process in self._processes:
            process.stop()
        self._remove_cgroups()

    # --- cgroups (version 1: a tree for each controller; version 2: one tree)

    def _trees(self) -> list[Path]:
        if (_CGROUPS / "cgroup.controllers").exists():
            return [_CGROUPS]
        return [tree for tree in _CGROUPS.iterdir() if (tree / "cgroup.procs").exists()]

    def _make_cgroups(self) -> None:
        for tree in self._trees():
            own = tree / self.cgroup
            own.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (own / setting).exists() and not (own / setting).read_text().strip():
                    (own / setting).write_text((tree / setting).read_text())

    def _remove_cgroups(self) -> None:
        deadline = time.monotonic() + _SECONDS
        for tree in self._trees():
            for path, _, _ in os.walk(tree / self.cgroup, topdown=False):
                while True:
                    try:
                        os.rmdir(path)
                        break
                    except FileNotFoundError:
                        break
                    except OSError as error:
                        # The last process is dead, and the kernel has not noted it yet.
                        if error.errno != errno.EBUSY or time.monotonic() > deadline:
                            raise
                        time.sleep(0.05)


def remove_leftovers() -> None:
    """Remove the cgroups of runs that were killed."""
    for tree in _CGROUPS.iterdir():
        for own in tree.glob("ferrule-*-*"):
            if Path(f"/proc/{own.name.split('-')[1]}").exists():
                continue
            for path, _, _ in os.walk(own, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
