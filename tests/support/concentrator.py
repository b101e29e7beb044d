"""A running `ferrule serve` for tests that read its metrics, with people who come and fail to."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from pyroute2 import IPRoute

from support.valkey import ValkeyServer

HTTP = "127.0.0.1:9190"
CONFIG = """\
listen: {{http: "{http}", admin: {folder}/admin.sock, tun: ferrule0, ring: "127.0.0.1:4510"}}
log: {{format: json, level: warning}}
gateway:
  ipsec: {{psk: a-long-and-random-key}}
  pools: [{{name: default, cidr: 10.20.0.0/24}}]
  egress: {{snat: false}}
  store:
    type: Valkey
    url: {store}
    key: a-key-of-thirty-two-octets-or-more
    namesKey: another-key-of-thirty-two-octets
users:
  - {{username: alice, password: wonderland}}
"""
FERRULE = (sys.executable, "-m", "ferrule.cli.main")
WAIT_SECONDS = 20.0
SILENT_PORT = 8080


class Concentrator:
    """To be made in a network namespace of its own, where it is root. It is one of several
    replicas, of which the others are not there: so it has all metrics."""

    def __init__(self, folder: Path) -> None:
        with IPRoute() as netlink:
            netlink.link("set", index=1, state="up")
        self._store = ValkeyServer(folder / "valkey").start()
        self.config = folder / "gateway.yaml"
        text = CONFIG.format(folder=folder, http=HTTP, store=self._store.url)
        self.config.write_text(text)
        self._folder = folder
        self._process = subprocess.Popen(
            [*FERRULE, "serve", "--config", str(self.config)], stderr=subprocess.DEVNULL
        )
        self.until("ferrule_ready 1.0")

    def page(self) -> str:
        """What /metrics says; "" while nobody answers."""
        with (
            contextlib.suppress(urllib.error.URLError),
            urllib.request.urlopen(f"http://{HTTP}/metrics", timeout=5) as page,
        ):
            return str(page.read().decode())
        return ""

    def until(self, text: str) -> str:
        """The first page with `text` in it."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            if text in (page := self.page()):
                return page
            time.sleep(0.05)
        raise AssertionError(f"no {text!r} on the page within {WAIT_SECONDS:.0f} s:\n{page}")

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def probe(self, password: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Somebody who connects as alice, and leaves once `arguments` are done."""
        for name, secret in (("psk", "a-long-and-random-key"), (f"{password}-file", password)):
            (self._folder / name).write_text(secret)
        command = [
            *FERRULE, "probe", "127.0.0.1", "--psk-file", str(self._folder / "psk"),
            "--user", "alice", "--password-file", str(self._folder / f"{password}-file"),
            *arguments,
        ]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def somebody_on(self) -> Iterator[None]:
        """Alice is connected, and some packets went through, for as long as this is open."""
        with socket.create_server(("", SILENT_PORT)):
            # A web server that never answers keeps the probe waiting, until it is interrupted.
            fetches = ("--http", f"http://10.20.0.1:{SILENT_PORT}/") * 20
            somebody = self.probe("wonderland", "--ping", "10.20.0.1", *fetches)
            try:
                self.until('ferrule_user_sessions{user="alice"} 1.0')
                yield
                assert somebody.poll() is None, "left early"
            finally:
                somebody.send_signal(signal.SIGINT)
                somebody.wait(WAIT_SECONDS)

    def somebody_fails(self) -> None:
        assert self.probe("nonsense").wait(WAIT_SECONDS) == 1

    def somebody_strange(self) -> None:
        """Noise from the Internet."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            noise.sendto(b"GET / HTTP/1.0", ("127.0.0.1", 500))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._store.stop()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Concentrator]:
    one = Concentrator(folder)
    try:
        yield one
    finally:
        one.stop()
