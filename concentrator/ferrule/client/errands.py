"""What the probe does through an open tunnel: a ping, or a GET over HTTP.

An errand has the usual shape: `start`, `receive` (an IPv4 packet from the tunnel), `expire`,
`close`, `deadline`; effects out, the last of which is `ErrandDone` or `ErrandFailed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, Protocol, TypeAlias, assert_never

from ferrule.client import dns, tcp
from ferrule.client.http import HttpError, Response, Url, build_get
from ferrule.client.icmp import Echo, IcmpError, build_echo, parse_icmp
from ferrule.client.ipv4 import (
    HEADER_OCTETS,
    IpProtocol,
    Ipv4Packet,
    build_ipv4,
    build_udp,
    parse_udp,
)
from ferrule.client.tcp_segment import Endpoint
from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason

_PING_INTERVAL: Final = 0.2  # seconds from a reply to the next request
_PING_SILENCE: Final = 1.0  # seconds from an unanswered request to the next one
_PING_PATIENCE: Final = 8.0  # seconds for all of them
_PING_DATA: Final = bytes(range(56))
_DNS_TRIES: Final = 3
_DNS_SECONDS: Final = 1.5  # for each try
_PORT_FIRST: Final = 49152  # RFC 6335 6: dynamic ports
_PORTS: Final = 16384


@dataclass(frozen=True, slots=True)
class Network:
    """What IPCP gave us. `mtu` is the largest inner packet in octets."""

    address: IPv4Address
    peer: IPv4Address
    dns: tuple[IPv4Address, ...]
    wins: tuple[IPv4Address, ...]
    mtu: int


# --- effects


@dataclass(slots=True)
class SendPacket:
    """Send this IPv4 packet through the tunnel."""

    packet: bytes


@dataclass(slots=True)
class ErrandDone:
    """It worked. `facts` are for people and for JSON; times in them are in seconds."""

    seconds: float
    facts: dict[str, str | float] = field(default_factory=dict)


@dataclass(slots=True)
class ErrandFailed:
    reason: Reason
    detail: str


ErrandEffect: TypeAlias = SendPacket | ErrandDone | ErrandFailed


class Errand(Protocol):
    """The shape of all errands; `name` is also the name of the step in the report."""

    name: str

    @property
    def deadline(self) -> Deadline | None: ...
    def start(self, network: Network, now: float) -> list[ErrandEffect]: ...
    def receive(self, packet: Ipv4Packet, now: float) -> list[ErrandEffect]: ...
    def expire(self, now: float) -> list[ErrandEffect]: ...
    def close(self, now: float) -> list[ErrandEffect]:
        """Leave nothing open behind at the other end."""


class Ping:
    """Echo requests until `count` are answered or patience is over; it worked if one was.

    The first ones may come before the server's IPCP is open, so silence means one more."""

    name = "ping"

    def __init__(
        self, destination: IPv4Address, entropy: Callable[[int], bytes], count: int = 3
    ) -> None:
        self._destination = destination
        self._count = count
        self._identifier = int.from_bytes(entropy(2), "big")
        self._sent: list[float] = []  # by sequence number
        self._times: dict[int, float] = {}  # sequence number -> round trip
        self._errors: list[str] = []
        self._timers = Deadlines()
        self._network: Network | None = None
        self._first_after = 0.0

    @property
    def deadline(self) -> Deadline | None:
        return self._timers.next

    def start(self, network: Network, now: float) -> list[ErrandEffect]:
        self._network = network
        self._timers.set("patience", now + _PING_PATIENCE)
        return [self._request(now)]

    def receive(self, packet: Ipv4Packet, now: float) -> list[ErrandEffect]:
        if packet.protocol != IpProtocol.ICMP:
            return []
        try:
            message = parse_icmp(packet.payload)
        except ProtocolError:
            return []
        if isinstance(message, IcmpError):
            self._on_error(message, packet.source)
        elif message.reply and message.identifier == self._identifier:
            return self._on_reply(message, packet.source, now)
        return []

    def expire(self, now: float) -> list[ErrandEffect]:
        names = self._timers.pop_expired(now)
        if "patience" in names:
            return self._conclude()
        return [self._request(now)] if "next" in names else []

    def close(self, now: float) -> list[ErrandEffect]:
        del now
        self._timers.clear_all()
        return []

    def _request(self, now: float) -> SendPacket:
        assert self._network is not None
        echo = Echo(False, self._identifier, len(self._sent), _PING_DATA)
        self._sent.append(now)
        self._timers.set("next", now + _PING_SILENCE)
        return SendPacket(
            build_ipv4(
                Ipv4Packet(
                    self._network.address, self._destination, IpProtocol.ICMP, build_echo(echo)
                )
            )
        )

    def _on_reply(self, echo: Echo, source: IPv4Address, now: float) -> list[ErrandEffect]:
        known = echo.sequence < len(self._sent) and echo.sequence not in self._times
        if not known or source != self._destination:
            return []
        if not self._times:
            self._first_after = now - self._sent[0]
        self._times[echo.sequence] = now - self._sent[echo.sequence]
        if len(self._times) >= self._count:
            return self._conclude()
        self._timers.set("next", now + _PING_INTERVAL)
        return []

    def _on_error(self, error: IcmpError, source: IPv4Address) -> None:
        """Believed if it quotes a packet to our destination (RFC 792: header and 8 octets)."""
        original = error.original
        if len(original) >= HEADER_OCTETS and original[16:20] == self._destination.packed:
            text = f"{error.text}, says {source}"
            if text not in self._errors and len(self._errors) < self._count:
                self._errors.append(text)

    def _conclude(self) -> list[ErrandEffect]:
        self._timers.clear_all()
        if not self._times:
            detail = "; ".join(self._errors) or "silence"
            sent = f"{len(self._sent)} sent to {self._destination}"
            return [ErrandFailed(Reason.PING_NO_REPLY, f"{sent}: {detail}")]
        facts: dict[str, str | float] = {
            "destination": str(self._destination),
            "sent": len(self._sent),
            "received": len(self._times),
            "rtt_min": min(self._times.values()),
            "rtt_max": max(self._times.values()),
        }
        return [ErrandDone(self._first_after, facts)]


class Fetch:
    """One GET: the name, if it is one, asked of the tunnel's DNS; then TCP, request, response."""

    name = "http"

    def __init__(self, url: Url, entropy: Callable[[int], bytes]) -> None:
        self._url = url
        self._entropy = entropy
        self._timers = Deadlines()
        self._network: Network | None = None
        self._response = Response()
        self._connection: tcp.TcpConnection | None = None
        self._started_at = 0.0
        self._facts: dict[str, str | float] = {}
        self._over = False
        self._question: tuple[int, int] = (0, 0)  # identifier and our port of the DNS question
        self._dns_tries = 0

    @property
    def deadline(self) -> Deadline | None:
        mine = self._timers.next
        theirs = None if self._connection is None else self._connection.deadline
        if mine is None or theirs is None:
            return mine or theirs
        return min(mine, theirs)

    def start(self, network: Network, now: float) -> list[ErrandEffect]:
        self._network = network
        self._started_at = now
        try:
            return self._connect(IPv4Address(self._url.host), now)
        except ValueError:
            pass
        if not network.dns:
            return self._fail(f"{self._url.host}: the server gave us no DNS server")
        identifier, port = self._random(0, 1 << 16), self._random(_PORT_FIRST, _PORTS)
        self._question = (identifier, port)
        return self._ask(now)

    def receive(self, packet: Ipv4Packet, now: float) -> list[ErrandEffect]:
        if packet.protocol == IpProtocol.TCP and self._connection is not None:
            return self._translate(self._connection.receive(packet, now), now)
        if packet.protocol == IpProtocol.UDP and self._connection is None and not self._over:
            return self._on_answer(packet, now)
        return []

    def expire(self, now: float) -> list[ErrandEffect]:
        if "dns" in self._timers.pop_expired(now):
            if self._dns_tries < _DNS_TRIES:
                return self._ask(now)
            return self._fail(f"{self._url.host}: the tunnel's DNS servers do not answer")
        if self._connection is not None:
            return self._translate(self._connection.expire(now), now)
        return []

    def close(self, now: float) -> list[ErrandEffect]:
        self._timers.clear_all()
        self._over = True
        if self._connection is None:
            return []
        return self._translate(self._connection.abort("", now), now)

    def _random(self, first: int, count: int) -> int:
        return first + int.from_bytes(self._entropy(4), "big") % count

    # --- the name

    def _ask(self, now: float) -> list[ErrandEffect]:
        assert self._network is not None
        identifier, port = self._question
        server = self._network.dns[self._dns_tries % len(self._network.dns)]
        self._dns_tries += 1
        self._timers.set("dns", now + _DNS_SECONDS)
        try:
            question = dns.build_question(identifier, self._url.host)
        except ValueError as error:
            return self._fail(str(error))
        source = (self._network.address, port)
        return [SendPacket(build_udp(source, (server, dns.PORT), question))]

    def _on_answer(self, packet: Ipv4Packet, now: float) -> list[ErrandEffect]:
        assert self._network is not None
        identifier, port = self._question
        try:
            source_port, destination_port, data = parse_udp(packet)
            if (source_port, destination_port) != (dns.PORT, port):
                return []
            if packet.source not in self._network.dns:
                return []
            address = dns.parse_answer(identifier, data)
        except ProtocolError:
            return []
        except dns.DnsError as error:
            return self._fail(f"{self._url.host}: {error}, says {packet.source}")
        if address is None:
            return []
        self._timers.clear("dns")
        self._facts["dns_seconds"] = now - self._started_at
        return self._connect(address, now)

    # --- the connection

    def _connect(self, address: IPv4Address, now: float) -> list[ErrandEffect]:
        assert self._network is not None
        self._facts["address"] = str(address)
        local = Endpoint(self._network.address, self._random(_PORT_FIRST, _PORTS))
        remote = Endpoint(address, self._url.port)
        self._connection = tcp.TcpConnection(local, remote, self._network.mtu, self._entropy)
        return self._translate(self._connection.open(now), now)

    def _translate(self, effects: list[tcp.TcpEffect], now: float) -> list[ErrandEffect]:
        assert self._connection is not None
        out: list[ErrandEffect] = []
        for effect in effects:
            match effect:
                case tcp.SendPacket():
                    out.append(SendPacket(effect.packet))
                case tcp.Connected():
                    self._facts["connect_seconds"] = effect.seconds
                    sending = self._connection.send(build_get(self._url), now)
                    out += self._translate(sending, now)
                case tcp.Received():
                    out += self._on_data(effect.data, now)
                case tcp.PeerFinished():
                    out += self._on_finished(now)
                case tcp.Closed():
                    if not self._over:
                        where = f"{self._facts['address']}:{self._url.port}"
                        out += self._fail(f"{where}: {effect.detail or 'closed without an answer'}")
                case _:
                    assert_never(effect)
        return out

    def _on_data(self, data: bytes, now: float) -> list[ErrandEffect]:
        self._facts.setdefault("first_octet_seconds", now - self._started_at)
        if self._over:
            return []
        try:
            self._response.feed(data)
        except HttpError as error:
            return self._fail(str(error))
        return self._conclude(now) if self._response.done else []

    def _on_finished(self, now: float) -> list[ErrandEffect]:
        assert self._connection is not None
        out: list[ErrandEffect] = []
        if not self._over:
            try:
                self._response.finish()
            except HttpError as error:
                out += self._fail(str(error))
            else:
                out += self._conclude(now)
        return out + self._translate(self._connection.close(now), now)

    def _conclude(self, now: float) -> list[ErrandEffect]:
        response, seconds = self._response, now - self._started_at
        if response.status >= 400:
            return self._fail(f"{response.status} {response.phrase}")
        assert self._connection is not None
        self._over = True
        self._facts |= {
            "status": response.status,
            "octets": response.octets,
            "mbit_per_second": response.octets * 8 / 1e6 / seconds if seconds else 0.0,
        }
        return [
            *self._translate(self._connection.close(now), now),
            ErrandDone(seconds, self._facts),
        ]

    def _fail(self, detail: str) -> list[ErrandEffect]:
        self._over = True
        self._timers.clear_all()
        return [ErrandFailed(Reason.HTTP_FAILED, detail)]
