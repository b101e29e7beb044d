"""A ping and a download through a real client's tunnel that go on while things happen.

Both run as daemons of the guest, so each of their lines has the guest's own time; `Clock` turns the
host's times into the guest's, good to about 10 ms.
"""

from __future__ import annotations

import itertools
import re
import signal
import time
from dataclasses import dataclass

from interop.rig.peers import Client
from interop.rig.topology import WEB_ADDRESS
from interop.rig.uml import Guest

_REPLY = re.compile(r"icmp_seq=(\d+) .*time=")
_INTERVAL = re.compile(r"\]\s+([\d.]+)-([\d.]+)\s+sec\s+([\d.]+) (\w?)Bytes")
_UNITS = {"": 1.0, "K": 2.0**10, "M": 2.0**20, "G": 2.0**30}
# What a client prints when it starts anything anew.
_ANEW = re.compile(
    r"initiating Main Mode|IKE_SA l2tp\[\d+\] established|Connection established to"
    r"|rcvd \[CHAP Challenge|Connection terminated|^ip-up|^ip-down|onnection closed|all closed"
    r"|LCP ConfReq"
)


class Clock:
    """How the guest's monotonic clock differs from the host's."""

    def __init__(self, guest: Guest) -> None:
        offsets = []
        for _ in range(5):
            before = time.monotonic()
            reply = guest.ask("mark")
            after = time.monotonic()
            offsets.append((after - before, reply["began"] - (before + after) / 2))
        self._offset = min(offsets)[1]

    def to_guest(self, at: float) -> float:
        """The host's time as the guest's."""
        return at + self._offset


@dataclass(frozen=True, slots=True)
class Pings:
    """What came of a ping: when which number was answered (guest's time)."""

    sent: int
    answered: list[tuple[float, int]]

    @property
    def lost(self) -> int:
        return self.sent - len({number for _, number in self.answered})

    @property
    def twice(self) -> int:
        """Answers that came more than once."""
        return len(self.answered) - len({number for _, number in self.answered})

    def first_after(self, at: float) -> float | None:
        """When the first answer came after a moment."""
        return min((when for when, _ in self.answered if when > at), default=None)

    def longest_silence(self, since: float, until: float) -> float:
        """The longest time without an answer."""
        times = [since, *sorted(w for w, _ in self.answered if since < w < until), until]
        return max(b - a for a, b in itertools.pairwise(times))


class Pinging:
    """`ping` from now until `stop`."""

    def __init__(self, client: Client, interval: float = 0.05, target: str = WEB_ADDRESS) -> None:
        self._guest = client.guest
        self.mark = self._guest.mark()
        self.source = f"ping-{self.mark}"
        self._pid = self._guest.start(self.source, "ping", "-n", "-O", "-i", str(interval), target)

    def so_far(self) -> list[tuple[float, int]]:
        """Answers until now."""
        return [
            (at, int(match[1]))
            for at, source, text in self._guest.lines(self.mark)
            if source == self.source and (match := _REPLY.search(text)) and "no answer" not in text
        ]

    def await_answer(self, since: float, seconds: float) -> float | None:
        """When the first answer came after `since` (guest's time); None if it does not in time."""
        end = time.monotonic() + seconds
        while True:
            first = Pings(0, self.so_far()).first_after(since)
            if first is not None or time.monotonic() > end:
                return first
            time.sleep(0.1)

    def stop(self) -> Pings:
        """End it; the last one has had its time to be answered."""
        time.sleep(0.3)
        self._guest.stop_daemon(self._pid, signal.SIGINT)
        line = self._guest.await_line(
            r"(\d+) packets transmitted", self.mark, source=self.source, timeout=5
        )
        return Pings(int(line.groups[0]), self.so_far())


class Download:
    """iperf3 from the host behind the gateway to the client, at a bounded rate."""

    def __init__(self, client: Client, seconds: int, rate: str = "4M") -> None:
        self._guest = client.guest
        self.mark = self._guest.mark()
        self.source = f"iperf-{self.mark}"
        argv = ("iperf3", "-c", WEB_ADDRESS, "--reverse", "--forceflush", "--cport", "7777")
        self._pid = self._guest.start(
            self.source, *argv, "-i", "0.5", "-b", rate, "-t", str(seconds)
        )
        self._seconds = seconds
        self._read_to = self.mark  # the journal grows for hours
        self._octets: list[float] = []

    def octets(self) -> list[float]:
        """What came in each half second until now."""
        news = self._guest.lines(self._read_to)
        self._read_to += len(news)
        for text in (text for _, source, text in news if source == self.source):
            assert "error" not in text, text
            match = _INTERVAL.search(text)
            if match and "sender" not in text and "receiver" not in text:
                self._octets.append(float(match[3]) * _UNITS[match[4]])
        return list(self._octets)

    def finish(self, patience: float = 30) -> list[float]:
        """Wait for its good end: the connection lived through everything."""
        self._guest.await_line(
            r"iperf Done", self.mark, source=self.source, timeout=self._seconds + patience
        )
        return self.octets()

    def stop(self) -> None:
        """End it early."""
        self._guest.stop_daemon(self._pid, signal.SIGKILL)


def started_anew(guest: Guest, mark: int) -> list[str]:
    """Lines of the client's daemons that tell of anything but the session going on."""
    return [
        f"{at:.3f} {source} {text}"
        for at, source, text in guest.lines(mark)
        if source in {"charon", "xl2tpd", "pppd", "script"} and _ANEW.search(text)
    ]
