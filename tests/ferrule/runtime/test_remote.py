"""The remote port: who is answered, and with what."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.runtime.remote import serve_remote
from ferrule.runtime.sealing import QUESTION, Sealer, reply_purpose

KEY = Secret(b"a key of the Secret, 64 hex digits")


class Stub:
    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def remote_status(self) -> dict[str, Any]:
        return {"sessions": 3}

    async def configure(self, files: dict[str, str]) -> str:
        self.files = files
        return "line 1: wrong" if files.get("gateway.yaml") == "bad" else ""


@pytest.fixture
async def port() -> AsyncIterator[tuple[Stub, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    stub = Stub()
    async with serve_remote(stub, Address("127.0.0.1", number), lambda: KEY):
        yield stub, number


async def post(port: int, octets: bytes) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{port}/", data=octets) as response,
    ):
        return response.status, await response.read()


async def ask(port: int, wish: dict[str, Any]) -> dict[str, Any]:
    sealer = Sealer(KEY)
    question = sealer.seal(wish, QUESTION)
    status, reply = await post(port, question)
    assert status == 200
    return sealer.open(reply, reply_purpose(question))


async def test_status(port: tuple[Stub, int]) -> None:
    assert await ask(port[1], {"want": "status"}) == {"sessions": 3, "problem": ""}


async def test_files_are_handed_on(port: tuple[Stub, int]) -> None:
    files = {"gateway.yaml": "good"}
    assert await ask(port[1], {"want": "configure", "files": files}) == {
        "sessions": 3,
        "problem": "",
    }
    assert port[0].files == files


async def test_what_is_wrong_with_files_is_told(port: tuple[Stub, int]) -> None:
    reply = await ask(port[1], {"want": "configure", "files": {"gateway.yaml": "bad"}})
    assert reply["problem"] == "line 1: wrong"


@pytest.mark.parametrize(
    "wish", [{}, {"want": "kick"}, {"want": "configure"}, {"want": "configure", "files": {"a": 1}}]
)
async def test_unknown_questions_are_told_so(port: tuple[Stub, int], wish: dict[str, Any]) -> None:
    assert "does not know" in (await ask(port[1], wish))["problem"]
    assert port[0].files == {}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}",
        bytes(64),
        Sealer(Secret(b"another key, long enough")).seal({"want": "status"}, QUESTION),
        Sealer(KEY).seal({"want": "status"}, b"another purpose"),
    ],
)
async def test_strangers_learn_nothing(port: tuple[Stub, int], octets: bytes) -> None:
    assert await post(port[1], octets) == (403, b"")
