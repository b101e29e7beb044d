"""Runs a function as root of a network namespace of its own: a forked child enters it, and what
the function raises there fails the test. An ordinary user gets a user namespace with it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

TIMEOUT_SECONDS = 60
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def enter() -> None:
    """Move this process, which has one thread, into a new network namespace; OSError if not."""
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNET if user == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


class Forked:
    """`function` in a child that has entered a new namespace."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)
            said = b""
            try:
                enter()
                function()
            except BaseException:  # noqa: BLE001 - all of it goes to the parent
                said = traceback.format_exc().encode()
            os.write(write, said)
            os._exit(0)
        os.close(write)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> str:
        """The traceback of what it raised, or "" if all went well. Kills it when time is up."""
        said = b""
        try:
            while select.select([self._read], [], [], seconds)[0]:
                if not (piece := os.read(self._read, 65_536)):
                    return said.decode()
                said += piece
            os.kill(self.pid, signal.SIGKILL)
            return f"not done after {seconds} s {said.decode()}"
        finally:
            os.close(self._read)
            os.waitpid(self.pid, 0)


@cache
def obstacle() -> str:
    """Why there can be no namespace with a TUN here; "" if there can."""
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing (load the module tun)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun may not be opened (run as root, or chmod it)"
    if trouble := Forked(lambda: None).wait():
        last = trouble.strip().splitlines()[-1]
        return f"no network namespace, {last} (run as root, or allow user namespaces)"
    return ""


def run_inside(function: Callable[[], None]) -> None:
    """Run `function` in a new namespace; skips the test, saying why, where there can be none."""
    if obstacle():
        pytest.skip(f"left out: {obstacle()}")
    trouble = Forked(function).wait()
    assert not trouble, trouble
