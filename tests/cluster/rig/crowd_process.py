"""Runs in the crowd's namespace: hundreds of user-space clients that ping all the time.

    python -m cluster.rig.crowd_process DESCRIPTOR

Requests and replies are a JSON object a line on the socket DESCRIPTOR: `grow`, `traffic` (pings a
second and client, 0 for none), `report`, `leave`. Times are the host's monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from ferrule.client.driver import Server
from ferrule.client.load import Load, LoadClient
from ferrule.client.settings import ClientSettings
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy

GAP_SECONDS = 0.5  # a silence that is written down
FIRST_HOST = IPv4Address("10.78.1.0")
_TICK_SECONDS = 0.01
_FILES = 8192


@dataclass(slots=True)
class Record:
    """What one client saw since the last `traffic`."""

    host: str
    user: str
    address: str = ""
    sent: int = 0
    received: int = 0
    last: float = 0.0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    ended: str = ""


class Crowd(Load):
    """A load whose clients are watched one by one."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.records: dict[LoadClient, Record] = {}
        self.rate = 0.0
        self.worst_lag = 0.0
        self._order = order
        self._gone: list[Record] = []
        super().__init__(Server(order["server"]), self._settings, local_host=host_of)

    def _settings(self, number: int) -> ClientSettings:
        user = self._user(number)
        keys = (Secret(self._order["psk"].encode()),)
        return ClientSettings(
            ike=IkePolicy(keys=keys, offer_identification=host_of(number)),
            l2tp=L2tpPolicy(host_name=f"crowd-{number}"),
            ppp=PppPolicy(name=user),
            credentials=Credentials(user, Secret(self._order["password"].encode())),
            timeout=30.0,
        )

    def _user(self, number: int) -> str:
        return str(self._order["user"].format(number=number % self._order["users"]))

    def on_up(self, client: LoadClient) -> None:
        super().on_up(client)
        assert client.network is not None
        host = client.local_host
        record = Record(
            host=host,
            user=self._user(int(IPv4Address(host)) - int(FIRST_HOST)),
            address=str(client.network.address),
            last=asyncio.get_running_loop().time(),
        )
        self.records[client] = record

    def on_down(self, client: LoadClient, why: str) -> None:
        super().on_down(client, why)
        if record := self.records.pop(client, None):
            record.ended = f"{asyncio.get_running_loop().time():.3f} {why}"
            self._gone.append(record)

    def on_reply(self, client: LoadClient, seconds: float) -> None:
        record = self.records.get(client)
        if record is None:
            return
        now = asyncio.get_running_loop().time()
        record.received += 1
        if now - record.last > GAP_SECONDS:
            record.gaps.append((record.last, now))
        record.last = now

    def start_traffic(self, rate: float) -> None:
        """Count anew, with so many pings a second and client."""
        now = asyncio.get_running_loop().time()
        self.rate = rate
        self.worst_lag = 0.0
        for client, record in self.records.items():
            client.forget_pings()
            record.sent = record.received = 0
            record.last = now
            record.gaps = []

    async def ping(self, destination: IPv4Address) -> None:
        """Until cancelled: spread evenly over clients and time."""
        loop = asyncio.get_running_loop()
        due, before, at = 0.0, loop.time(), 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = loop.time()
            self.worst_lag = max(self.worst_lag, now - before)
            clients = list(self.records)
            due += min(now - before, 0.2) * self.rate * len(clients)
            before = now
            while due >= 1.0 and clients:
                due -= 1.0
                at += 1
                client = clients[at % len(clients)]
                if client in self.records:
                    self.records[client].sent += 1
                    client.ping(destination)

    def report(self) -> dict[str, Any]:
        """All records; a silence that goes on is one too."""
        now = asyncio.get_running_loop().time()
        rows = []
        for record in [*self.records.values(), *self._gone]:
            gaps = list(record.gaps)
            if not record.ended and self.rate and now - record.last > GAP_SECONDS:
                gaps.append((record.last, now))
            rows.append(
                {
                    "host": record.host,
                    "user": record.user,
                    "address": record.address,
                    "sent": record.sent,
                    "received": record.received,
                    "gaps": gaps,
                    "ended": record.ended,
                }
            )
        return {"clients": rows, "worst_lag": self.worst_lag, "now": now}


def host_of(number: int) -> str:
    """A client's outer address."""
    return str(FIRST_HOST + number)


async def carry_out(crowd: Crowd, request: dict[str, Any]) -> dict[str, Any]:
    """One request."""
    match request["verb"]:
        case "grow":
            growth = await crowd.grow(
                request["count"], at_once=request["at_once"], most_seconds=request["seconds"]
            )
            return {"up": growth.up, "failures": growth.failures, "seconds": growth.seconds}
        case "traffic":
            crowd.start_traffic(request["rate"])
            return {}
        case "report":
            return crowd.report()
        case "leave":
            crowd.rate = 0.0
            return {"seconds": await crowd.leave()}
        case verb:
            return {"error": f"no verb {verb}"}


async def serve(line: socket.socket) -> None:
    """Until the other side closes."""
    reader, writer = await asyncio.open_connection(sock=line, limit=1 << 24)
    order = json.loads(await reader.readline())
    crowd = Crowd(order)
    pinging = asyncio.ensure_future(crowd.ping(IPv4Address(order["destination"])))
    try:
        while text := await reader.readline():
            reply = await carry_out(crowd, json.loads(text))
            if pinging.done():
                pinging.result()
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
    finally:
        pinging.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pinging
        writer.close()


def main() -> None:
    """The program."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
