"""Who sees what arrives: numbered things that come once, twice or never, and the server's state."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ferrule.runtime.demo_net import Namespace

NUMBER = struct.Struct("!Q")  # a datagram of the stream begins with it


@dataclass(frozen=True, slots=True)
class Tally:
    """Of the numbers in a span: how many there were, and what did not come just once."""

    sent: int
    lost: int
    twice: int

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent} lost, {self.twice} came twice"


def tally(arrived: Iterable[int], first: int, end: int) -> Tally:
    """Of the numbers from `first` up to, not including, `end`."""
    counts = Counter(number for number in arrived if first <= number < end)
    twice = sum(count - 1 for count in counts.values())
    return Tally(end - first, end - first - len(counts), twice)


class Sink:
    """A UDP port of the host behind the gateway that remembers each number that arrives."""

    def __init__(self, namespace: Namespace, host: str, port: int) -> None:
        self.arrived: list[int] = []
        self._stopping = False
        self._socket = namespace.run(lambda: _bound(host, port))
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        self._socket.close()

    @property
    def next(self) -> int:
        """One more than the highest number that came lately."""
        return max(self.arrived[-100:], default=-1) + 1

    def _run(self) -> None:
        while not self._stopping:
            try:
                data = self._socket.recv(2048)
            except TimeoutError:
                continue
            self.arrived.append(NUMBER.unpack_from(data)[0])


def _bound(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    bound.bind((host, port))
    bound.settimeout(0.1)
    return bound


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a server's process and its namespace say of themselves."""

    resident_octets: int
    cpu_seconds: float
    datagrams: int  # UDP, handed to a socket in the namespace
    overflowed: int  # lost because a socket's buffer was full


def vitals(pid: int) -> Vitals:
    """Of the process `pid`, and the UDP counters of the network namespace that it is in."""
    process = Path(f"/proc/{pid}")
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    times = (process / "stat").read_text().rpartition(")")[2].split()
    names, values = (
        line.split()[1:]
        for line in (process / "net" / "snmp").read_text().splitlines()
        if line.startswith("Udp:")
    )
    udp = dict(zip(names, map(int, values), strict=True))
    return Vitals(
        int(status["VmRSS"].split()[0]) * 1024,
        (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
        udp["InDatagrams"],
        udp["RcvbufErrors"],
    )
