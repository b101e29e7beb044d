"""`ferrule serve` as a process in a namespace: start, clients, reload, kick, goodbye."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from ferrule.core.secret import Secret
from ferrule.runtime.admin import AdminError, ask
from ferrule.runtime.sealing import QUESTION, Sealer, reply_purpose
from support.netns import run_inside

pytestmark = pytest.mark.netns

CONFIG = """\
listen: {{http: "127.0.0.1:9190", admin: {folder}/admin.sock, tun: ferrule0}}
log: {{format: json, level: info}}
gateway:
  ipsec: {{psk: a-long-and-random-key}}
  pools: [{{name: default, cidr: 10.20.0.0/24}}]
  egress: {{snat: false}}
users:
  - {{username: alice, password: wonderland}}
  - {{username: bob, password: builder, maxSessions: 1}}
"""
FERRULE = [sys.executable, "-m", "ferrule.cli.main"]
WAIT_SECONDS = 15.0


class Served:
    """A running concentrator and what it logged."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        self.folder = folder
        self.config = folder / "gateway.yaml"
        self.config.write_text(text.format(folder=folder))
        self.lines: list[dict[str, Any]] = []
        self._rest = b""
        self.process = subprocess.Popen(
            [*FERRULE, "serve", "--config", str(self.config)], stderr=subprocess.PIPE
        )
        self.until("ready")

    def until(self, event: str, **fields: object) -> dict[str, Any]:
        """The next log line of that event, with those fields."""
        end = time.monotonic() + WAIT_SECONDS
        assert self.process.stderr is not None
        descriptor = self.process.stderr.fileno()
        at = 0
        while True:
            for line in self.lines[at:]:
                if line["event"] == event and fields.items() <= line.items():
                    return line
            at = len(self.lines)
            left = max(0.0, end - time.monotonic())
            assert select.select([descriptor], [], [], left)[0], f"no {event}: {self.lines}"
            piece = os.read(descriptor, 65536)
            assert piece, f"ended before {event}: {self.lines} {self._rest!r}"
            *lines, self._rest = (self._rest + piece).split(b"\n")
            self.lines += [json.loads(line) for line in lines if line.startswith(b"{")]

    def ask(self, method: str, what: str, wish: dict[str, Any] | None = None) -> Any:
        return asyncio.run(ask(f"{self.folder}/admin.sock", method, what, wish))

    def probe(self, user: str, password: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        for name, secret in (("psk", "a-long-and-random-key"), ("password", password)):
            (self.folder / name).write_text(secret)
        return subprocess.run(
            [
                *FERRULE, "probe", "127.0.0.1", "--psk-file", str(self.folder / "psk"),
                "--user", user, "--password-file", str(self.folder / "password"), "--json",
                *arguments,
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:9190{path}", timeout=5) as page:
            return str(page.read().decode())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        self.process.stderr.read()
        return self.process.wait(WAIT_SECONDS)


@contextmanager
def served(folder: Path, text: str = CONFIG) -> Iterator[Served]:
    with IPRoute() as netlink:
        netlink.link("set", index=1, state="up")
    one = Served(folder, text)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()
        if one.process.stderr is not None:
            one.process.stderr.close()


def inside(folder: Path, scenario: Callable[[Served], None], text: str = CONFIG) -> None:
    def run() -> None:
        with served(folder, text) as one:
            scenario(one)

    run_inside(run)


def test_a_probe_connects_and_is_accounted_for(tmp_path: Path) -> None:
    def scenario(one: Served) -> None:
        result = one.probe("alice", "wonderland", "--ping", "10.20.0.1")
        assert result.returncode == 0, result.stdout + result.stderr
        up = one.until("session up", user="alice")
        assert up["address"] == "10.20.0.2"
        assert up["total_seconds"] < 2.0
        ended = one.until("session ended", user="alice")
        assert ended["reason"] == "peer_closed"
        assert ended["octets_up"] >= 84
        metrics = one.page("/metrics")
        assert 'ferrule_setups_total{outcome="up"} 1.0' in metrics
        assert 'ferrule_auth_total{method="mschapv2",outcome="ok"} 1.0' in metrics
        assert one.page("/healthz") == one.page("/readyz") == "ok\n"
        assert "wonderland" not in json.dumps(one.lines)
        assert "random-key" not in json.dumps(one.lines)

    inside(tmp_path, scenario)


def test_a_refusal_names_stage_and_remedy(tmp_path: Path) -> None:
    def scenario(one: Served) -> None:
        result = one.probe("alice", "wrong")
        assert result.returncode == 1, result.stdout
        assert json.loads(result.stdout)["failure"]["reason"] == "wrong_password"
        failed = one.until("set-up failed")
        assert (failed["stage"], failed["reason"], failed["user"]) == (
            "auth",
            "wrong_password",
            "alice",
        )
        assert failed["remedy"]
        assert 'ferrule_failures_total{reason="wrong_password",stage="auth"} 1.0' in one.page(
            "/metrics"
        )

    inside(tmp_path, scenario)


def test_a_changed_file_is_taken_over_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    def scenario(one: Served) -> None:
        text = one.config.read_text()
        one.config.write_text(text.replace("username: alice", "username: carol"))
        one.until("configuration taken over", users=2)
        assert one.probe("carol", "wonderland").returncode == 0
        assert one.probe("alice", "wonderland").returncode == 1
        one.config.write_text(text.replace("10.20.0.0/24", "10.20.0.0/99"))
        problem = one.until("configuration not taken over")
        assert "gateway.pools[0].cidr" in problem["problem"]
        assert one.probe("carol", "wonderland").returncode == 0
        one.config.write_text(text)
        one.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + WAIT_SECONDS
        while one.probe("alice", "wonderland").returncode:
            assert time.monotonic() < end

    inside(tmp_path, scenario)


def test_status_sessions_and_kick(tmp_path: Path) -> None:
    def scenario(one: Served) -> None:
        status = one.ask("GET", "/status")
        assert (status["ready"], status["users"], status["sessions"]) == (True, 2, 0)
        assert status["pools"] == [{"name": "default", "size": 253, "leased": 0}]
        one.probe("alice", "wonderland")
        assert one.ask("GET", "/sessions") == []
        assert one.ask("POST", "/kick", {"user": "alice"}) == {"ended": 0}
        with pytest.raises(AdminError, match="is no session"):
            one.ask("POST", "/kick", {"session": "1/2"})
        shown = subprocess.run(
            [*FERRULE, "status", "--socket", f"{one.folder}/admin.sock"],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert "sessions" in shown.stdout

    inside(tmp_path, scenario)


def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    def scenario(one: Served) -> None:
        assert one.stop() == 0
        with IPRoute() as netlink:
            assert not netlink.link_lookup(ifname="ferrule0")
        assert not (one.folder / "admin.sock").exists()

    inside(tmp_path, scenario)


def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    def scenario(one: Served) -> None:
        second = subprocess.run(
            [*FERRULE, "serve", "--config", str(one.config)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert second.returncode == 1
        assert "can't start" in second.stderr
        assert "in use" in second.stderr
        assert "Traceback" not in second.stderr

    inside(tmp_path, scenario)


REMOTE = CONFIG.replace(
    "tun: ferrule0}}",
    'tun: ferrule0, remote: "127.0.0.1:9191", remoteKey: 0123456789abcdef, '
    "remoteFolder: {folder}/remote}}",
)


def hand_in(wish: dict[str, Any]) -> dict[str, Any]:
    """What the remote port of the concentrator in this namespace replies."""
    sealer = Sealer(Secret(b"0123456789abcdef"))
    question = sealer.seal(wish, QUESTION)
    with urllib.request.urlopen("http://127.0.0.1:9191/", data=question, timeout=20) as reply:
        return sealer.open(reply.read(), reply_purpose(question))


def test_a_configuration_that_is_handed_in(tmp_path: Path) -> None:
    text = REMOTE.format(folder=tmp_path)
    later = text.replace("username: alice", "username: carol")

    def scenario(one: Served) -> None:
        first = hand_in({"want": "status"})
        assert (first["ready"], first["revisions"], first["problem"]) == (True, {}, "")
        wish = {"want": "configure", "files": {"gateway.yaml": later, "users.revision": "7"}}
        done = hand_in(wish)
        assert (done["problem"], done["revisions"]) == ("", {"users": 7})
        assert one.probe("carol", "wonderland").returncode == 0
        assert one.probe("alice", "wonderland").returncode == 1
        status = hand_in({"want": "status"})
        assert set(status["connected"]) == {"carol"}
        wrong = {"gateway.yaml": "gateway: {}", "users.revision": "8"}
        assert "gateway.pools" in hand_in({"want": "configure", "files": wrong})["problem"]
        older = {"gateway.yaml": text, "users.revision": "6"}
        assert "older" in hand_in({"want": "configure", "files": older})["problem"]
        assert hand_in({"want": "status"})["revisions"] == {"users": 7}

        one.process.terminate()
        one.process.wait(WAIT_SECONDS)
        again = Served(tmp_path, REMOTE)  # the file is still the old one
        try:
            assert hand_in({"want": "status"})["revisions"] == {"users": 7}
            assert again.probe("carol", "wonderland").returncode == 0
        finally:
            again.process.kill()
            again.process.wait()

    inside(tmp_path, scenario, REMOTE)
