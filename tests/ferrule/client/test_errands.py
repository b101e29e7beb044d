"""Ping and fetch, in virtual time, against a host at the other end of a tunnel."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from ferrule.client.errands import (
    Errand,
    ErrandDone,
    ErrandEffect,
    ErrandFailed,
    Fetch,
    Network,
    Ping,
    SendPacket,
)
from ferrule.client.http import parse_url
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import (
    IpProtocol,
    Ipv4Packet,
    build_ipv4,
    build_udp,
    parse_ipv4,
    parse_udp,
)
from ferrule.core.checksum import internet_checksum
from ferrule.core.reasons import Reason
from support.client import CLIENT, SERVER, TcpResponder, entropy_of

NAMESERVER = IPv4Address("192.0.2.53")
NETWORK = Network(CLIENT, IPv4Address("10.9.0.1"), (NAMESERVER,), (), 1400)
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + bytes(3000)


@dataclass
class World:
    """Answers pings, names and pages, each after 10 ms; `deaf` names what stays unanswered."""

    deaf: set[IpProtocol] = field(default_factory=set)
    page: bytes = PAGE
    name_answer: Callable[[bytes], bytes] | None = None
    prohibited: bool = False  # the router answers pings, with an error
    now: float = 0.0

    def __post_init__(self) -> None:
        self.web = TcpResponder(lambda got: self.page if b"\r\n\r\n" in got else None)
        self.queue: list[tuple[float, bytes]] = []
        self.sent: list[Ipv4Packet] = []

    def run(self, errand: Errand, network: Network = NETWORK) -> list[ErrandEffect]:
        """The effects of `errand` but for its packets, until it has nothing to do."""
        news = self._take(errand.start(network, self.now))
        while True:
            times = [at for at, _ in self.queue]
            if errand.deadline is not None:
                times.append(errand.deadline.at)
            if self.web.resend_at is not None:
                times.append(self.web.resend_at)
            if not times or self.now > 60:
                return news
            self.now = min(times)
            due = [packet for at, packet in self.queue if at <= self.now]
            self.queue = [(at, packet) for at, packet in self.queue if at > self.now]
            for packet in due:
                news += self._take(errand.receive(parse_ipv4(packet), self.now))
            self._later(self.web.expire(self.now))
            if errand.deadline is not None and errand.deadline.at <= self.now:
                news += self._take(errand.expire(self.now))

    def _take(self, effects: list[ErrandEffect]) -> list[ErrandEffect]:
        for effect in effects:
            if isinstance(effect, SendPacket):
                packet = parse_ipv4(effect.packet)
                self.sent.append(packet)
                if packet.protocol not in self.deaf:
                    self._later(self._reply(packet))
        return [e for e in effects if not isinstance(e, SendPacket)]

    def _later(self, packets: list[bytes]) -> None:
        self.queue += [(self.now + 0.01, packet) for packet in packets]

    def _reply(self, packet: Ipv4Packet) -> list[bytes]:
        if packet.protocol == IpProtocol.TCP:
            return self.web.receive(packet, self.now)
        if packet.protocol == IpProtocol.UDP:
            port, _, question = parse_udp(packet)
            assert self.name_answer is not None
            answer = self.name_answer(question)
            return [build_udp((packet.destination, 53), (packet.source, port), answer)]
        echo = parse_icmp(packet.payload)
        assert isinstance(echo, Echo)
        body = build_echo(Echo(True, echo.identifier, echo.sequence, echo.data))
        source = packet.destination
        if self.prohibited:
            raw = struct.pack("!BBHI", 3, 13, 0, 0) + build_ipv4(packet)[:28]
            body = raw[:2] + internet_checksum(raw).to_bytes(2, "big") + raw[4:]
            source = NETWORK.peer
        return [build_ipv4(Ipv4Packet(source, packet.source, IpProtocol.ICMP, body))]


def answer_with(address: str) -> Callable[[bytes], bytes]:
    def answer(question: bytes) -> bytes:
        head = question[:2] + bytes.fromhex("81800001000100000000")
        record = bytes.fromhex("c00c000100010000003c0004") + IPv4Address(address).packed
        return head + question[12:] + record

    return answer


def no_such_name(question: bytes) -> bytes:
    return question[:2] + bytes.fromhex("81830001000000000000") + question[12:]


def test_ping() -> None:
    (done,) = World().run(Ping(SERVER, entropy_of(1)))
    assert isinstance(done, ErrandDone)
    assert done.seconds == pytest.approx(0.01)
    assert done.facts["sent"] == done.facts["received"] == 3
    assert done.facts["rtt_min"] == pytest.approx(0.01)


def test_ping_without_an_answer_ends() -> None:
    world = World(deaf={IpProtocol.ICMP})
    (failed,) = world.run(Ping(SERVER, entropy_of(1)))
    assert failed == ErrandFailed(Reason.PING_NO_REPLY, f"8 sent to {SERVER}: silence")
    assert world.now == pytest.approx(8.0)


def test_ping_tells_what_a_router_says() -> None:
    world = World(prohibited=True)
    (failed,) = world.run(Ping(SERVER, entropy_of(1)))
    assert isinstance(failed, ErrandFailed)
    assert "communication administratively prohibited, says 10.9.0.1" in failed.detail


def test_fetch_by_address() -> None:
    world = World()
    (done,) = world.run(Fetch(parse_url(f"http://{SERVER}/x"), entropy_of(2)))
    assert isinstance(done, ErrandDone)
    assert (done.facts["status"], done.facts["octets"]) == (200, 3000)
    assert done.facts["connect_seconds"] == pytest.approx(0.02, abs=0.015)
    assert world.web.received.startswith(b"GET /x HTTP/1.1\r\n")
    assert world.web.finished  # closed with FIN, not left open


def test_fetch_by_name() -> None:
    world = World(name_answer=answer_with(str(SERVER)))
    (done,) = world.run(Fetch(parse_url("http://www.example/"), entropy_of(3)))
    assert isinstance(done, ErrandDone)
    assert done.facts["address"] == str(SERVER)
    assert done.facts["dns_seconds"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("world", "url", "network", "why"),
    [
        (World(name_answer=no_such_name), "http://nowhere.example/", NETWORK, "no such name"),
        (World(deaf={IpProtocol.UDP}), "http://www.example/", NETWORK, "do not answer"),
        (
            World(),
            "http://www.example/",
            Network(CLIENT, NETWORK.peer, (), (), 1400),
            "gave us no DNS server",
        ),
        (World(deaf={IpProtocol.TCP}), f"http://{SERVER}/", NETWORK, "no answer"),
        (
            World(page=b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            f"http://{SERVER}/",
            NETWORK,
            "503 Busy",
        ),
        (World(page=b"nonsense"), f"http://{SERVER}/", NETWORK, "ended within the head"),
        (World(page=b"no\r\n\r\n"), f"http://{SERVER}/", NETWORK, "not an HTTP response"),
    ],
)
def test_fetches_that_fail_say_why(world: World, url: str, network: Network, why: str) -> None:
    news = world.run(Fetch(parse_url(url), entropy_of(4)), network)
    (failed,) = [e for e in news if isinstance(e, ErrandFailed)]
    assert failed.reason is Reason.HTTP_FAILED
    assert why in failed.detail


def test_close_resets_what_is_open() -> None:
    world = World()
    fetch = Fetch(parse_url(f"http://{SERVER}/"), entropy_of(5))
    (syn,) = [e for e in fetch.start(NETWORK, 0.0) if isinstance(e, SendPacket)]
    (reply,) = world.web.receive(parse_ipv4(syn.packet), 0.0)
    fetch.receive(parse_ipv4(reply), 0.01)
    (reset,) = [e for e in fetch.close(0.02) if isinstance(e, SendPacket)]
    world.web.receive(parse_ipv4(reset.packet), 0.03)
    assert world.web.aborted
    assert fetch.deadline is None
    assert fetch.close(0.04) == []
