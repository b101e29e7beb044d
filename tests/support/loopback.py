"""A gateway on loopback, in the test's own event loop: real sockets, but no TUN and no root.

Behind it lives the host that answers pings, as in `support.pair`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from ferrule.accounts.admission import Accounts
from ferrule.accounts.admission import Settings as AccountsSettings
from ferrule.accounts.users import User
from ferrule.client.driver import Server
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, parse_ipv4
from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Path
from ferrule.core.secret import Secret
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import GatewaySettings, Site
from ferrule.runtime.driver import Driver
from ferrule.runtime.udp import UdpPort
from support.accounts import pool
from support.pair import Record, gateway_settings, user

HOST = "127.0.0.1"


class LoopbackGateway:
    """`server` is where clients find it."""

    def __init__(self, settings: GatewaySettings, users: Iterable[User]) -> None:
        loop = asyncio.get_running_loop()
        self.record = Record()
        accounts = Accounts(AccountsSettings(tuple(users), (pool("10.64.0.0/16"),)))
        site = Site(settings, accounts, os.urandom, wall_offset=time.time() - loop.time())
        names = ShardNames(Secret(bytes(32)), tuple(range(SHARDS)), os.urandom)
        self.gateway = Gateway(site, names, os.urandom)
        self._loop = loop
        self._driver = Driver(self.gateway, self.record, loop)
        self._ports = {natt: UdpPort(HOST, 0, natt=natt) for natt in (False, True)}
        self._plane = PythonPlane(
            clock=loop.time,
            punt=self._driver.punt,
            transmit=self._transmit,
            deliver=self._deliver,
        )
        self._driver.attach(self._plane)
        for port in self._ports.values():
            loop.add_reader(port.fileno(), self._read, port)

    @property
    def server(self) -> Server:
        return Server(HOST, self._ports[False].local.port, self._ports[True].local.port)

    async def emptied(self) -> bool:
        """Whether the last client is gone, after a moment for what is still on its way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while self.gateway.clients or self.gateway.ike.sas():
                    await asyncio.sleep(0.005)
        return not self.gateway.clients and not self.gateway.ike.sas()

    def close(self) -> None:
        """May be called again."""
        self._driver.close()
        ports, self._ports = self._ports, {}
        for port in ports.values():
            self._loop.remove_reader(port.fileno())
            port.close()

    def _read(self, port: UdpPort) -> None:
        port.read(self._receive, 64)

    def _receive(self, path: Path, data: bytes) -> None:
        """One by one: a client's ICCN and its first PPP frame may come in one batch, and the plane
        knows the call only once the gateway has seen the ICCN."""
        self._plane.receive_datagram(path, data)
        self._driver.drain()

    def _transmit(self, path: Path, data: bytes) -> None:
        self._ports[path.natt].send(path, data)

    def _deliver(self, data: bytes) -> None:
        packet = parse_ipv4(data)
        if packet.protocol != IpProtocol.ICMP:
            return
        echo = parse_icmp(packet.payload)
        if isinstance(echo, Echo) and not echo.reply:
            reply = build_echo(Echo(True, echo.identifier, echo.sequence, echo.data))
            back = Ipv4Packet(packet.destination, packet.source, IpProtocol.ICMP, reply)
            self._plane.transmit_ip(build_ipv4(back))


@asynccontextmanager
async def loopback_gateway(
    settings: GatewaySettings | None = None, users: Iterable[User] | None = None
) -> AsyncIterator[LoopbackGateway]:
    gateway = LoopbackGateway(
        settings or gateway_settings(), (user(max_sessions=0),) if users is None else users
    )
    try:
        yield gateway
    finally:
        gateway.close()
