"""The crowd, seen from the test run: hundreds of clients in a process of their own."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferrule.client.watched_load import Watched
from interop.rig.processes import Process
from interop.rig.topology import SERVER_ADDRESS, WEB_ADDRESS

from .laboratory import ClusterLaboratory

USERS = 400
USER = "crowd-{number}"
PASSWORD = "Far-from-the-madding.1874"
_TESTS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Report:
    """All clients. `worst_lag`: how long the crowd's own process was late at worst."""

    clients: tuple[Watched, ...]
    worst_lag: float

    @property
    def sent(self) -> int:
        return sum(client.sent for client in self.clients)

    @property
    def lost(self) -> int:
        return sum(client.sent - client.received for client in self.clients)

    @property
    def ended(self) -> list[str]:
        return [f"{c.host}: {c.ended}" for c in self.clients if c.ended]

    def __str__(self) -> str:
        longest = max((client.longest() for client in self.clients), default=0.0)
        share = 100 * self.lost / self.sent if self.sent else 0.0
        return (
            f"{len(self.clients)} clients, {self.sent} packets, {self.lost} lost ({share:.3f} %),"
            f" longest silence {longest:.2f} s, {len(self.ended)} ended,"
            f" own lag {self.worst_lag:.2f} s"
        )


class Crowd:
    """Made by `crowd`."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._replies = line.makefile("r")

    def ask(self, verb: str, *, patience: float = 30.0, **request: Any) -> dict[str, Any]:
        """One request; raises TimeoutError."""
        self._line.settimeout(patience)
        self._say({"verb": verb, **request})
        text = self._replies.readline()
        assert text, "the crowd's process ended; see crowd.log"
        reply: dict[str, Any] = json.loads(text)
        assert "error" not in reply, reply
        return reply

    def _say(self, message: Mapping[str, Any]) -> None:
        self._line.sendall(json.dumps(message).encode() + b"\n")

    def grow(self, count: int, *, at_once: int = 8, seconds: float = 90) -> dict[str, Any]:
        """So many more clients; those that fail are told by step and reason."""
        return self.ask(
            "grow", patience=seconds + 30, count=count, at_once=at_once, seconds=seconds
        )

    def traffic(self, rate: float) -> None:
        """Every client sends so many pings a second from now on; counts start anew."""
        self.ask("traffic", rate=rate)

    def report(self) -> Report:
        """How it went since `traffic`."""
        reply = self.ask("report")
        clients = tuple(Watched(**row) for row in reply["clients"])
        return Report(clients, reply["worst_lag"])

    def close(self) -> None:
        """Its process ends by that."""
        self._replies.close()
        self._line.close()

    def leave(self) -> None:
        """All say goodbye."""
        self.ask("leave", patience=120)


@contextmanager
def crowd(
    laboratory: ClusterLaboratory, psk: str, user: str = USER, users: int = USERS
) -> Iterator[Crowd]:
    """A crowd without anybody yet; they log in as so many `users`, in turn."""
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-m", "cluster.rig.crowd_process", str(theirs.fileno())]
    process = Process(
        laboratory.crowd.command(*argv),
        laboratory.folder / "crowd.log",
        environment={"PYTHONPATH": str(_TESTS)},
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    made = Crowd(ours)
    try:
        made._say(
            {
                "server": SERVER_ADDRESS,
                "destination": WEB_ADDRESS,
                "psk": psk,
                "user": user,
                "users": users,
                "password": PASSWORD,
            }
        )
        yield made
    finally:
        made.close()
        process.stop()
