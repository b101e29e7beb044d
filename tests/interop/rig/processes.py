"""Host side: commands that must succeed, and processes that never outlive the test run.

A process is known by the object that started it and is ended by its own process group, never
by name. The kernel kills it too if the test run itself dies (parent-death signal).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    """A command ended with another status than 0; the text has its output."""


def run(argv: Sequence[str], *, stdin: str = "", timeout: float = 30) -> str:
    """Run a command to its end and return both streams in one.

    Raises CommandFailed, or subprocess.TimeoutExpired after `timeout` seconds.
    """
    done = subprocess.run(
        argv,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(argv)}: status {done.returncode}\n{stdin}\n{done.stdout}")
    return done.stdout


class Process:
    """A child in a process group of its own, with its output in a file."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                pass_fds=pass_fds,
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
            )

    @property
    def pid(self) -> int:
        """The process id, which is the group's too."""
        return self._child.pid

    @property
    def status(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._child.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the first process only."""
        self._child.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Wait for the end; raises subprocess.TimeoutExpired."""
        return self._child.wait(timeout)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 5) -> None:
        """End it: the signal first, SIGKILL to the whole group when it does not obey."""
        if self._child.poll() is None:
            self._child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
