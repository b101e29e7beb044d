"""`ferrule status`, `sessions`, `cluster`, `kick` against a made-up concentrator's socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ferrule.cli.main import app
from ferrule.runtime.admin import serve_admin

SESSION = {
    "session": "3/17/4",
    "user": "ada",
    "address": "10.20.0.2",
    "peer": "192.0.2.7:4500",
    "state": "up",
    "seconds": 3725.2,
    "octets_up": 999,
    "octets_down": 1_234_567,
    "client": "laptop",
}

CLUSTER = {
    "member": "pod-1",
    "standing": "frozen",
    "why": "the store does not answer",
    "epoch": 7,
    "store": {"type": "Valkey", "up": False, "why": "ConnectionError"},
    "members": [
        {
            "name": "pod-1",
            "address": "10.0.0.1:4599",
            "state": "serving",
            "shards": 1024,
            "sessions": 12,
        },
        {
            "name": "pod-2",
            "address": "10.0.0.2:4599",
            "state": "draining",
            "shards": 0,
            "sessions": 0,
        },
    ],
    "shards": 1020,
    "shards_coming": 4,
    "relay_share": 0.25,
    "relayed": {"to_owner esp": 3, "to_owner ike": 0},
    "clients": {"taken_over": 5},
    "checkpoints": 99,
    "take_overs": [{"at": 1_764_000_000.0, "seconds": 0.125, "shards": 341, "clients": 5}],
}


class Concentrator:
    def __init__(self) -> None:
        self.wishes: list[tuple[str, str, bool]] = []

    def status(self) -> dict[str, Any]:
        return {"ready": True, "sessions": 1, "pools": [{"name": "default", "leased": 1}]}

    def sessions(self) -> list[dict[str, Any]]:
        return [SESSION]

    def cluster(self) -> dict[str, Any] | None:
        return CLUSTER

    async def kick(self, *, session: str = "", user: str = "", everyone: bool = False) -> int:
        if session == "nonsense":
            raise ValueError("'nonsense' is no session; they look like 3/17/4")
        self.wishes.append((session, user, everyone))
        return 2 if everyone else int(user == "ada" or session == "3/17/4")


@contextmanager
def serving(concentrator: Concentrator, path: Path) -> Iterator[None]:
    """The admin socket on a loop in a thread of its own: the commands have theirs."""
    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serve_admin(concentrator, str(path)):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def concentrator() -> Concentrator:
    return Concentrator()


@pytest.fixture
def socket(concentrator: Concentrator, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "admin.sock"
    with serving(concentrator, path):
        yield str(path)


def ferrule(*argv: str) -> Result:
    return CliRunner(env={"COLUMNS": "160", "NO_COLOR": "1"}).invoke(app, argv)


def test_status(socket: str) -> None:
    result = ferrule("status", "--socket", socket)
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines == {"ready": "True", "sessions": "1", "pools": "name=default leased=1"}


def test_status_as_json(socket: str) -> None:
    result = ferrule("status", "--socket", socket, "--json")
    assert json.loads(result.stdout) == Concentrator().status()


def test_sessions(socket: str) -> None:
    result = ferrule("sessions", "--socket", socket)
    assert result.exit_code == 0
    header, row = (line.split() for line in result.stdout.splitlines())
    assert " ".join(header) == "SESSION USER ADDRESS FROM STATE FOR UP DOWN CLIENT"
    assert " ".join(row) == "3/17/4 ada 10.20.0.2 192.0.2.7:4500 up 1h02m 999 B 1.2 MB laptop"


def test_sessions_as_json(socket: str) -> None:
    result = ferrule("sessions", "--socket", socket, "--json")
    assert json.loads(result.stdout) == [SESSION]


def test_the_socket_may_come_from_the_environment(socket: str) -> None:
    result = CliRunner(env={"FERRULE_ADMIN": socket}).invoke(app, ["status", "--json"])
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("argv", "said", "code", "wish"),
    [
        (["3/17/4"], "1 session ended", 0, ("3/17/4", "", False)),
        (["--user", "ada"], "1 session ended", 0, ("", "ada", False)),
        (["--all"], "2 sessions ended", 0, ("", "", True)),
        (["--user", "nobody"], "0 sessions ended", 1, ("", "nobody", False)),
    ],
)
def test_kick(
    socket: str,
    concentrator: Concentrator,
    argv: list[str],
    said: str,
    code: int,
    wish: tuple[str, str, bool],
) -> None:
    result = ferrule("kick", *argv, "--socket", socket)
    assert (result.stdout.strip(), result.exit_code) == (said, code)
    assert concentrator.wishes == [wish]


def test_what_the_concentrator_refuses_is_told(socket: str) -> None:
    result = ferrule("kick", "nonsense", "--socket", socket)
    assert result.exit_code == 1
    assert "is no session" in result.stderr


@pytest.mark.parametrize("command", ["status", "sessions", "kick"])
def test_no_concentrator(command: str, tmp_path: Path) -> None:
    result = ferrule(command, "--socket", str(tmp_path / "none.sock"))
    assert result.exit_code == 1
    assert "is the concentrator running?" in result.stderr


def test_cluster(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with serving(Concentrator(), path):
        shown = CliRunner().invoke(app, ["cluster", "--socket", str(path)])
        as_json = CliRunner().invoke(app, ["cluster", "--json", "--socket", str(path)])
    assert shown.exit_code == as_json.exit_code == 0
    assert json.loads(as_json.stdout) == CLUSTER
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    for line in (
        "member pod-1",
        "standing frozen (the store does not answer)",
        "store away: ConnectionError",
        "shards 1020 served, 4 coming",
        "relay share 25.0% of the ESP packets of the last minute",
        "relayed to_owner/esp=3",
        "clients moved taken_over=5",
        "pod-1 10.0.0.1:4599 serving 1024 12",
        "pod-2 10.0.0.2:4599 draining 0 0",
        "2025-11-24T16:00:00Z 341 5 0.125",
    ):
        assert line in lines, shown.stdout
