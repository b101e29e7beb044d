"""A load whose clients are watched one by one: what each lost, and how long it heard nothing.

All clients ping all the time, at a rate that may change; an answer that comes late is none lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Final

from ferrule.client.driver import Server
from ferrule.client.load import Load, LoadClient
from ferrule.client.settings import ClientSettings

GAP_SECONDS: Final = 0.5  # a silence that is written down
_TICK_SECONDS: Final = 0.01
_CATCH_UP_SECONDS: Final = 0.2  # of pings at most that are sent late


@dataclass(slots=True)
class Watched:
    """What one client saw since the last `start_traffic`. `gaps` are its silences, from its last
    answer to the next; times are the loop's. `ended` says when and why, if it did."""

    host: str
    address: str
    last: float
    sent: int = 0
    received: int = 0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    ended: str = ""

    def longest(self) -> float:
        """Seconds of its longest silence; 0 if none was longer than GAP_SECONDS."""
        return max((end - begin for begin, end in self.gaps), default=0.0)

    def back(self, since: float) -> float | None:
        """When the silence ended that `since` lies in; None if there was none."""
        return next((end for begin, end in self.gaps if begin - 0.1 <= since < end), None)


class WatchedLoad(Load):
    """A `Load`; run `ping` as a task beside it."""

    def __init__(
        self,
        server: Server,
        make_settings: Callable[[int], ClientSettings],
        *,
        local_host: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        super().__init__(server, make_settings, local_host=local_host)
        self.watched: dict[LoadClient, Watched] = {}
        self.gone: list[Watched] = []
        self.worst_lag = 0.0  # seconds that we ourselves were late
        self._rate = 0.0

    def on_up(self, client: LoadClient) -> None:
        super().on_up(client)
        assert client.network is not None
        address = str(client.network.address)
        self.watched[client] = Watched(client.local_host, address, _now())

    def on_down(self, client: LoadClient, why: str) -> None:
        super().on_down(client, why)
        if (watched := self.watched.pop(client, None)) is not None:
            watched.ended = f"{_now():.3f} {why}"
            self.gone.append(watched)

    def on_closed(self, client: LoadClient) -> None:
        super().on_closed(client)
        self.watched.pop(client, None)

    def on_reply(self, client: LoadClient, seconds: float) -> None:
        watched = self.watched.get(client)
        if watched is None:
            return
        now = _now()
        watched.received += 1
        if now - watched.last > GAP_SECONDS:
            watched.gaps.append((watched.last, now))
        watched.last = now

    def start_traffic(self, pings_per_second: float) -> None:
        """Of every client from now on; counts start anew."""
        self._rate = pings_per_second
        self.worst_lag = 0.0
        now = _now()
        for client, watched in self.watched.items():
            client.forget_pings()
            watched.sent = watched.received = 0
            watched.last = now
            watched.gaps = []

    async def settle(self, seconds: float = 0.5) -> list[Watched]:
        """Send no more, wait for the last answers, and report."""
        rows = self.report()  # silences that go on, before nothing is sent any more
        self._rate = 0.0
        await asyncio.sleep(seconds)
        received = {row.host: row.received for row in self.report()}
        return [replace(row, received=received[row.host]) for row in rows]

    async def ping(self, destination: IPv4Address) -> None:
        """Spread evenly over clients and time, until cancelled."""
        due, before, at = 0.0, _now(), 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = _now()
            late = now - before
            before = now
            self.worst_lag = max(self.worst_lag, late - _TICK_SECONDS)
            clients = list(self.watched)
            due += min(late, _CATCH_UP_SECONDS) * self._rate * len(clients)
            while due >= 1.0 and clients:
                due -= 1.0
                at += 1
                client = clients[at % len(clients)]
                if client in self.watched and client in self.ups:
                    self.watched[client].sent += 1
                    client.ping(destination)

    def report(self) -> list[Watched]:
        """Copies of all, those that ended too; a silence that goes on counts until now."""
        now, rows = _now(), []
        for watched in self.watched.values():
            going_on = self._rate and now - watched.last > GAP_SECONDS
            gaps = [*watched.gaps, (watched.last, now)] if going_on else list(watched.gaps)
            rows.append(replace(watched, gaps=gaps))
        return [*rows, *self.gone]


def _now() -> float:
    return asyncio.get_running_loop().time()
