"""A host: its plane and its initiator joined; two of them never share anything."""

from __future__ import annotations

import pytest

from ferrule.client import effects as c
from ferrule.client.host import Host
from ferrule.client.initiator import Life
from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.ppp import lcp
from ferrule.ppp.packet import Code
from support.client import entropy_of
from support.pair import Pair, Seat, client_settings


def test_what_it_sends_before_an_answer() -> None:
    sent: list[tuple[Path, bytes]] = []
    news: list[c.News] = []
    path = Path(Address("192.0.2.1", 500), Address("10.0.0.2", 40500), False)
    host = Host(
        client_settings(),
        path,
        entropy=entropy_of(3),
        clock=lambda: 5.0,
        transmit=lambda way, data: sent.append((way, data)),
        deliver=lambda _: None,
        notify=news.append,
    )
    host.start()
    ((way, message),) = sent
    assert way == path
    assert message[8:16] == bytes(8)  # no responder cookie yet
    assert (message[16], message[17], message[18]) == (1, 0x10, 2)  # SA, version 1.0, Main Mode
    host.send_ip(b"\x45" + bytes(19))  # no tunnel yet: dropped, counted
    assert len(sent) == 1
    assert sum(host.counters().drops.values()) == 1
    assert not host.heard
    assert host.deadline is not None
    host.close(Reason.PEER_CLOSED)
    assert news == [c.Closed()]
    assert host.life is Life.CLOSED
    assert host.deadline is None


def test_the_plane_is_empty_after_the_end() -> None:
    pair = Pair()
    host = pair.host()
    assert pair.loop.run(5, lambda: host.life is Life.UP)
    assert host._plane._sas
    pair.act(host, lambda one: one.close(Reason.PEER_CLOSED))
    assert pair.loop.run(5, lambda: host.life is Life.CLOSED)
    assert not host._plane._sas
    assert not host._plane._clients
    assert not host._plane._by_address


def test_what_comes_after_the_end_is_ignored() -> None:
    pair = Pair()
    sent: list[bytes] = []
    host = pair.host()
    assert pair.loop.run(5, lambda: host.life is Life.UP)
    pair.act(host, lambda one: one.close(Reason.PEER_CLOSED))
    assert pair.loop.run(5, lambda: host.life is Life.CLOSED)
    host._plane._transmit = lambda _, data: sent.append(data)
    path = Path(Address("192.0.2.1", 4500), Address("10.0.0.2", 44500), True)
    host.receive_datagram(path, bytes(4) + bytes(40))
    host.receive_datagram(path, b"\x12\x34\x56\x78" + bytes(60))
    host.expire()
    assert sent == []


def test_a_server_that_sends_data_is_alive_whatever_becomes_of_echoes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(lcp._HANDLERS, Code.ECHO_REQUEST, lambda link, packet: [])
    pair = Pair()
    seat = Seat(pair).connect()
    for _ in range(30):
        assert seat.ping(), seat.ended
        pair.loop.run(20)
