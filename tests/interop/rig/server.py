"""The server under test: `ferrule serve` as an operator runs it, in the gateway's namespace."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .namespaces import Namespace
from .processes import Process, run
from .topology import Laboratory

HTTP_PORT = 9190
_START_SECONDS = 30
_ROOT = Path(__file__).resolve().parents[3]

LogLine = dict[str, Any]


class ServerError(Exception):
    """The server did not do what a test needs; the text has its log."""


class Server:
    """One `ferrule serve`, started and stopped by the test run."""

    def __init__(
        self,
        laboratory: Laboratory,
        configuration: Mapping[str, Any],
        *,
        name: str = "server",
        namespace: Namespace | None = None,
    ) -> None:
        """`namespace` is where it runs, if not in the laboratory's `server`."""
        self._laboratory = laboratory
        self._namespace = namespace or laboratory.server
        self._folder = laboratory.folder / name
        self._folder.mkdir(exist_ok=True)
        self._path = self._folder / "gateway.yaml"
        self._socket = self._folder / "admin.sock"
        self.log = self._folder / "server.log"
        self._process: Process | None = None
        self.configuration: dict[str, Any] = {}
        self.configure(configuration)

    def configure(self, configuration: Mapping[str, Any]) -> None:
        """Write the configuration file; a running server takes it over by itself."""
        listen = {
            "http": f"0.0.0.0:{HTTP_PORT}",
            "admin": str(self._socket),
            **configuration.get("listen", {}),
        }
        log = {"format": "json", "level": "debug", **configuration.get("log", {})}
        self.configuration = {**configuration, "listen": listen, "log": log}
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.configuration, indent=2) + "\n")  # JSON is YAML
        new.rename(self._path)

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        mark = self.mark()
        self.begin()
        self.await_log(mark, _START_SECONDS, event="ready")

    def begin(self) -> None:
        """Start, and don't wait."""
        self._process = self._laboratory.add_process(
            self._namespace.start([*self.program(), "serve", "--config", str(self._path)], self.log)
        )

    def program(self) -> list[str]:
        """What is run, before `serve`."""
        return _ferrule()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, or kill it."""
        assert self._process is not None
        self._process.stop(number, timeout=15)

    @property
    def pid(self) -> int:
        """Of the server's process (`ip netns exec` has become it)."""
        assert self._process is not None
        return self._process.pid

    def cpu_seconds(self) -> float:
        """What it has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_octets(self) -> int:
        """Resident set size."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    # --- log

    def mark(self) -> int:
        """The end of the log, to look from later."""
        return self.log.stat().st_size if self.log.exists() else 0

    def lines(self, since: int = 0) -> list[LogLine]:
        """Log lines since a mark; what is not JSON is the line's `raw`."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(since)
            texts = file.read().decode(errors="replace").splitlines()
        parsed = []
        for text in texts:
            try:
                parsed.append(json.loads(text))
            except ValueError:
                parsed.append({"raw": text})
        return parsed

    def find_log(
        self,
        since: int,
        seconds: float = 5,
        matching: Callable[[LogLine], bool] | None = None,
        **fields: Any,
    ) -> LogLine | None:
        """Wait for a line with these fields that `matching` likes; None if it does not come."""
        end = time.monotonic() + seconds
        while True:
            for line in self.lines(since):
                if all(line.get(key) == value for key, value in fields.items()) and (
                    matching is None or matching(line)
                ):
                    return line
            if time.monotonic() > end:
                return None
            if self._process is not None and self._process.status is not None:
                raise ServerError(f"the server ended:\n{self.text(since)}")
            time.sleep(0.02)

    def await_log(
        self,
        since: int,
        seconds: float = 5,
        matching: Callable[[LogLine], bool] | None = None,
        **fields: Any,
    ) -> LogLine:
        """Wait for a line that must come."""
        line = self.find_log(since, seconds, matching, **fields)
        if line is None:
            raise ServerError(f"no log line with {fields} in {seconds} s:\n{self.text(since)}")
        return line

    def text(self, since: int = 0) -> str:
        """The log since a mark, to be read by a person."""
        return "\n".join(
            " ".join(f"{key}={value}" for key, value in line.items()) for line in self.lines(since)
        )

    def bugs(self, since: int = 0) -> list[LogLine]:
        """Lines that tell of a bug: tracebacks and what is not a log line at all."""
        return [
            line
            for line in self.lines(since)
            if "raw" in line or "exception" in line or line.get("level") == "critical"
        ]

    # --- asking it

    def admin(self, method: str, what: str, wish: Mapping[str, Any] | None = None) -> Any:
        """Ask over the admin socket."""
        connection = http.client.HTTPConnection("admin")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self._socket))
        try:
            body = None if wish is None else json.dumps(wish)
            connection.request(method, what, body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def sessions(self) -> list[dict[str, Any]]:
        """The sessions as the server has them."""
        return list(self.admin("GET", "/sessions"))

    def await_sessions(self, count: int, seconds: float = 3) -> list[dict[str, Any]]:
        """Wait until there are so many sessions."""
        end = time.monotonic() + seconds
        while len(found := self.sessions()) != count:
            if time.monotonic() > end:
                raise ServerError(f"{len(found)} sessions, not {count}: {found}\n{self.text()}")
            time.sleep(0.02)
        return found

    def command(self, *arguments: str) -> str:
        """Run `ferrule` with its admin socket, as an operator would."""
        verb, *rest = arguments
        return run([*_ferrule(), verb, "--socket", str(self._socket), *rest])

    def kick(self, user: str) -> int:
        """End a user's sessions; returns how many."""
        return int(self.admin("POST", "/kick", {"user": user})["ended"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(
            value
            for sample, having, value in self._samples()
            if sample == name and wanted <= set(having.split(","))
        )

    def metric_by(self, name: str, label: str) -> dict[str, float]:
        """The samples of a name that has one label, by its values."""
        return {
            having.removeprefix(f'{label}="').rstrip('"'): value
            for sample, having, value in self._samples()
            if sample == name
        }

    def _samples(self) -> list[tuple[str, str, float]]:
        return parse_samples(self._metrics_page())

    def _metrics_page(self) -> str:
        return self._namespace.run(
            sys.executable,
            "-ISc",
            "import urllib.request;"
            f"print(urllib.request.urlopen('http://127.0.0.1:{HTTP_PORT}/metrics').read().decode())",
        )


def parse_samples(page: str) -> list[tuple[str, str, float]]:
    """Name, labels and value of each sample of a metrics page."""
    samples = re.findall(r"^([a-z0-9_]+)(?:\{([^}]*)\})? (\S+)$", page, re.MULTILINE)
    return [(name, labels, float(value)) for name, labels, value in samples]


def _ferrule() -> list[str]:
    """The command of the interpreter that runs the tests."""
    beside = Path(sys.executable).parent / "ferrule"
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "ferrule.cli.main"]
