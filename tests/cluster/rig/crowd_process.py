"""Runs in the crowd's namespace: hundreds of user-space clients that ping all the time.

    python -m cluster.rig.crowd_process DESCRIPTOR

Requests and replies are a JSON object a line on the socket DESCRIPTOR: `grow`, `traffic` (pings a
second and client, 0 for none), `report`, `leave`. Times are the host's monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import resource
import socket
import sys
from ipaddress import IPv4Address
from typing import Any

from ferrule.client.driver import Server
from ferrule.client.settings import ClientSettings
from ferrule.client.watched_load import WatchedLoad
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy

FIRST_HOST = IPv4Address("10.78.1.0")
_FILES = 8192


class Crowd(WatchedLoad):
    """A load as the test run orders it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        super().__init__(Server(order["server"]), self._settings, local_host=host_of)

    def _settings(self, number: int) -> ClientSettings:
        user = str(self._order["user"].format(number=number % self._order["users"]))
        keys = (Secret(self._order["psk"].encode()),)
        return ClientSettings(
            ike=IkePolicy(keys=keys, offer_identification=host_of(number)),
            l2tp=L2tpPolicy(host_name=f"crowd-{number}"),
            ppp=PppPolicy(name=user),
            credentials=Credentials(user, Secret(self._order["password"].encode())),
            timeout=30.0,
        )


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
            rows = [dataclasses.asdict(row) for row in crowd.report()]
            return {"clients": rows, "worst_lag": crowd.worst_lag}
        case "leave":
            crowd.start_traffic(0.0)
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
