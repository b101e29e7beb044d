"""The admin socket: what it answers, who may open it, and what it says when it can't."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from ferrule.runtime.admin import AdminError, ask, serve_admin


class Stub:
    def __init__(self) -> None:
        self.kicked: list[tuple[str, str, bool]] = []

    def status(self) -> dict[str, Any]:
        return {"ready": True}

    def sessions(self) -> list[dict[str, Any]]:
        return [{"session": "1/2/3"}]

    def cluster(self) -> dict[str, Any] | None:
        return None

    async def kick(self, *, session: str = "", user: str = "", everyone: bool = False) -> int:
        if not (session or user or everyone):
            raise ValueError("name a session, a user, or all")
        self.kicked.append((session, user, everyone))
        return 1


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "run" / "admin.sock")


async def test_questions_and_answers(path: str) -> None:
    stub = Stub()
    async with serve_admin(stub, path):
        assert await ask(path, "GET", "/status") == {"ready": True}
        assert await ask(path, "GET", "/sessions") == [{"session": "1/2/3"}]
        with pytest.raises(AdminError, match="no replicas"):
            await ask(path, "GET", "/cluster")
        assert await ask(path, "POST", "/kick", {"user": "ada"}) == {"ended": 1}
        assert await ask(path, "POST", "/kick", {"session": "1/2/3"}) == {"ended": 1}
        assert await ask(path, "POST", "/kick", {"all": True}) == {"ended": 1}
        assert stub.kicked == [("", "ada", False), ("1/2/3", "", False), ("", "", True)]
    assert not os.path.exists(path)


@pytest.mark.parametrize("wish", [{}, {"all": "yes"}, {"all": False}])
async def test_a_kick_of_nobody_is_refused(path: str, wish: dict[str, Any]) -> None:
    async with serve_admin(Stub(), path):
        with pytest.raises(AdminError, match="name a session"):
            await ask(path, "POST", "/kick", wish)


async def test_what_is_no_object_is_refused(path: str) -> None:
    async with serve_admin(Stub(), path):
        with pytest.raises(AdminError):
            await ask(path, "POST", "/kick", [1])  # type: ignore[arg-type]


async def test_only_the_owner_may_open_it(path: str) -> None:
    async with serve_admin(Stub(), path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


async def test_a_socket_left_by_a_crash_is_replaced(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    async with serve_admin(Stub(), path):
        assert await ask(path, "GET", "/status") == {"ready": True}


async def test_no_path_means_no_socket() -> None:
    async with serve_admin(Stub(), ""):
        pass


async def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(AdminError, match="is the concentrator running"):
        await ask(str(tmp_path / "nothing.sock"), "GET", "/status")
