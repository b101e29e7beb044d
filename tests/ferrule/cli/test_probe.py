"""`ferrule probe` as it is typed: exit codes, lines for people, JSON for machines."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ferrule.cli.main import app
from support.loopback import HOST, loopback_gateway
from support.pair import INSIDE, KEY, PASSWORD, USERNAME


class Gateway:
    """A gateway in a thread of its own: the command runs its own event loop in the main one."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.ports = (0, 0)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with loopback_gateway() as gateway:
            self.ports = (gateway.server.port, gateway.server.natt_port)
            self._ready.set()
            await self._stop.wait()

    def close(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    one = Gateway()
    yield one
    one.close()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    contents = {
        "psk": KEY.reveal() + b"\n",
        "password": PASSWORD.encode() + b"\r\n",
        "wrong": b"wrong",
        "empty": b"\n",
    }
    for name, octets in contents.items():
        (tmp_path / name).write_bytes(octets)
    return {name: tmp_path / name for name in contents}


def run(files: dict[str, Path], ports: tuple[int, int], *options: str, **other: str) -> Result:
    arguments = [
        "probe",
        other.get("host", HOST),
        *("--psk-file", str(files[other.get("psk", "psk")])),
        *("--user", USERNAME),
        *("--password-file", str(files[other.get("password", "password")])),
        *("--port", str(ports[0]), "--natt-port", str(ports[1])),
        *options,
    ]
    return CliRunner().invoke(app, arguments)


def words(output: str) -> str:
    """Without the frame and the line breaks that fit it to a terminal."""
    return " ".join(output.replace("│", " ").split())


def said(result: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["exit_code"] == result.exit_code
    return report


def test_success_for_people(gateway: Gateway, files: dict[str, Path]) -> None:
    result = run(files, gateway.ports, "--ping", str(INSIDE))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for title in ("IKE phase 1", "NAT traversal", "IKE phase 2", "L2TP tunnel", "L2TP call"):
        assert any(line.startswith(f" ✓ {title}") for line in lines), title
    assert "mschapv2 as alice" in result.stdout
    assert f"3 of 3 back from {INSIDE}" in result.stdout
    assert lines[-1].startswith("Connected in 0.")


def test_success_for_machines(gateway: Gateway, files: dict[str, Path]) -> None:
    report = said(run(files, gateway.ports, "--json", "--ping", str(INSIDE)))
    assert report["ok"] is True
    assert [step["step"] for step in report["steps"]] == [
        "phase1",
        "nat",
        "phase2",
        "tunnel",
        "call",
        "lcp",
        "auth",
        "ipcp",
        "ping",
    ]
    assert report["connect_seconds"] < 10


def test_what_is_offered_is_what_is_asked_for(gateway: Gateway, files: dict[str, Path]) -> None:
    options = ("--phase1", "3des-sha1-modp2048", "--phase2", "aes128-sha1", "--pfs", "modp2048")
    report = said(run(files, gateway.ports, "--json", "--auth", "pap", *options))
    facts = {step["step"]: step for step in report["steps"]}
    assert facts["phase1"]["suite"] == "3des-sha1-modp2048"
    assert (facts["phase2"]["suite"], facts["phase2"]["pfs"]) == ("aes128-sha1", "modp2048")
    assert facts["auth"]["method"] == "pap"


def test_refusal(gateway: Gateway, files: dict[str, Path]) -> None:
    result = run(files, gateway.ports, password="wrong")
    assert result.exit_code == 1
    assert " ✗ authentication" in result.stdout
    assert "wrong_password" in result.stdout
    assert "Connected" not in result.stdout
    report = said(run(files, gateway.ports, "--json", password="wrong"))
    assert report["failure"]["step"] == "auth"
    assert report["failure"]["remedy"]


def test_no_answer(files: dict[str, Path]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    report = said(run(files, (port, port), "--json"))
    assert report["exit_code"] == 3
    assert report["failure"]["reason"] == "no_answer"


@pytest.mark.parametrize(
    ("options", "other", "why"),
    [
        (["--auth", "eap"], {}, "unknown --auth eap"),
        (["--phase1", "aes256-sha1"], {}, "no group"),
        (["--phase2", "rot13-sha1"], {}, "rot13"),
        (["--pfs", "modp99"], {}, "unknown --pfs"),
        (["--ping", "example.com"], {}, "example.com"),
        (["--http", "https://example.com/"], {}, "only http://"),
        (["--timeout", "0"], {}, "timeout"),
        ([], {"psk": "empty"}, "file is empty"),
        ([], {"host": "no-such-host.invalid"}, "no-such-host.invalid"),
    ],
)
def test_wrong_usage(
    files: dict[str, Path], options: list[str], other: dict[str, str], why: str
) -> None:
    result = run(files, (500, 4500), *options, **other)
    assert result.exit_code == 2
    assert why in words(result.output)


def test_a_file_that_is_not_there(files: dict[str, Path], tmp_path: Path) -> None:
    result = run({**files, "psk": tmp_path / "missing"}, (500, 4500))
    assert result.exit_code == 2
    assert "No such file or directory" in words(result.output)


def test_help_documents_the_exit_codes() -> None:
    result = CliRunner().invoke(app, ["probe", "--help"])
    assert result.exit_code == 0
    text = words(result.stdout)
    assert "Exit codes: 0 connected" in text
    assert "3 no answer at all" in text
