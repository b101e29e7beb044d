"""Network namespaces with names of this run only, and what is plugged into them.

Names are `fi<pid>x<n>-<name>`: two runs never meet, and what a killed run left behind is removed by
the next one. Interfaces live inside namespaces, so their names need not be unique.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .processes import CommandFailed, Process, run

_PREFIX = re.compile(r"fi(\d+)x\d+-")
_serial = itertools.count(1)


class Namespace:
    """One network namespace; `name` is what `ip netns` knows it by."""

    def __init__(self, name: str) -> None:
        self.name = name
        run(["ip", "netns", "add", name])
        self.ip("link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        """`ip` in the namespace."""
        return run(["ip", "-n", self.name, *arguments])

    def command(self, *argv: str) -> list[str]:
        """A command line that runs `argv` in the namespace."""
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, stdin: str = "", timeout: float = 30) -> str:
        """Run to the end; see processes.run."""
        return run(self.command(*argv), stdin=stdin, timeout=timeout)

    def start(
        self, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process in the namespace; the caller stops it."""
        return Process(self.command(*argv), log, environment=environment)

    def nft(self, ruleset: str) -> str:
        """Load a ruleset as one transaction."""
        return self.run("nft", "-f", "-", stdin=ruleset)

    def add_bridge(self, name: str) -> None:
        """A bridge that forwards at once and never floods spanning tree."""
        self.ip("link", "add", name, "type", "bridge", "forward_delay", "0", "stp_state", "0")
        self.ip("link", "set", name, "up")

    def add_tap(self, name: str, bridge: str) -> None:
        """A persistent tap for a guest, plugged into a bridge."""
        self.ip("tuntap", "add", "dev", name, "mode", "tap")
        self.plug(name, bridge)
        self.ip("link", "set", name, "up")

    def plug(self, name: str, bridge: str) -> None:
        """Move a port to another bridge."""
        self.ip("link", "set", name, "master", bridge)

    def delete(self) -> None:
        """Remove it; its devices go with it."""
        run(["ip", "netns", "delete", self.name])


class Namespaces:
    """All namespaces of one laboratory, removed together."""

    def __init__(self) -> None:
        self._prefix = f"fi{os.getpid()}x{next(_serial)}-"
        self._made: list[Namespace] = []

    def add(self, name: str) -> Namespace:
        """A new namespace."""
        namespace = Namespace(self._prefix + name)
        self._made.append(namespace)
        return namespace

    @staticmethod
    def join(one: Namespace, one_name: str, other: Namespace, other_name: str) -> None:
        """A cable between two namespaces."""
        one.ip(
            *("link", "add", one_name, "type", "veth"),
            *("peer", "name", other_name, "netns", other.name),
        )
        one.ip("link", "set", one_name, "up")
        other.ip("link", "set", other_name, "up")

    def close(self) -> None:
        """Remove all, whatever state they are in."""
        while self._made:
            self._made.pop().delete()


def remove_leftovers() -> list[str]:
    """Delete the namespaces of runs that were killed; returns their names."""
    removed = []
    for line in run(["ip", "netns", "list"]).splitlines():
        name = line.split()[0]
        match = _PREFIX.match(name)
        if match and not Path(f"/proc/{match[1]}").exists():
            try:
                run(["ip", "netns", "delete", name])
                removed.append(name)
            except CommandFailed:
                continue  # another run was faster
    return removed
