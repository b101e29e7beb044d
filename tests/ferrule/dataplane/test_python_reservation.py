"""Sequence numbers are sent only as far as they are reserved, and more are asked for in time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ferrule.crypto.suites import EspSuite
from ferrule.dataplane.interface import (
    SEQUENCE_MAX,
    LifetimeReached,
    Punt,
    ReservationLow,
)
from ferrule.dataplane.records import SOFT_SEQUENCE
from support.dataplane import CBC_SHA1, GCM, INTERNET, Host, Rig, udp


def reserved(rig: Rig, first: int, last: int, suite: EspSuite = GCM) -> Host:
    """A host whose pair of SAs sends from `first` and may send up to `last`."""
    host = Host(rig, suite=suite)
    spec = host.sa_spec(host.spi, active=True, first_sequence=first, last_sequence=last)
    rig.plane.install_sa(spec)
    return host


def send(rig: Rig, host: Host, times: int = 1) -> list[int]:
    """The sequence numbers of what left."""
    for _ in range(times):
        rig.plane.send_l2tp(host.client, b"x")
    return [int.from_bytes(datagram[4:8], "big") for _, datagram in rig.take_sent()]


def low(host: Host, next_sequence: int, rate: float) -> ReservationLow:
    return ReservationLow(host.client, host.spi, next_sequence, rate)


# --- the limit

SENDS: dict[str, Callable[[Rig, Host], object]] = {
    "control": lambda rig, host: rig.plane.send_l2tp(host.client, b"x"),
    "PPP": lambda rig, host: rig.plane.send_ppp(host.client, host.tunnel, host.session, b"\xc0!"),
    "own IP": lambda rig, host: rig.plane.send_ip(
        host.client, host.tunnel, host.session, udp(INTERNET, host.address, b"x")
    ),
    "IP": lambda rig, host: rig.plane.transmit_ip(udp(INTERNET, host.address, b"x")),
    "fragments": lambda rig, host: rig.plane.transmit_ip(udp(INTERNET, host.address, bytes(2000))),
}


@pytest.mark.parametrize("suite", [GCM, CBC_SHA1], ids=str)
@pytest.mark.parametrize("deed", SENDS.values(), ids=SENDS.keys())
def test_nothing_leaves_beyond_it(deed: Callable[[Rig, Host], object], suite: EspSuite) -> None:
    rig = Rig()
    host = reserved(rig, 100, 104, suite)
    for _ in range(8):
        deed(rig, host)
    numbers = [int.from_bytes(datagram[4:8], "big") for _, datagram in rig.sent]
    assert numbers == [100, 101, 102, 103, 104]
    assert set(rig.drops) == {"sequence_unreserved"}
    rig.plane.reserve(host.spi, 106)
    for _ in range(8):
        deed(rig, host)
    numbers = [int.from_bytes(datagram[4:8], "big") for _, datagram in rig.sent]
    assert numbers == [100, 101, 102, 103, 104, 105, 106]


def test_what_was_refused_is_not_counted_as_sent() -> None:
    rig = Rig()
    host = reserved(rig, 5, 4)
    rig.plane.transmit_ip(udp(INTERNET, host.address, b"x"))
    counters = rig.plane.session_counters(host.client, host.tunnel, host.session)
    assert counters is not None
    assert (counters.packets_down, counters.octets_down) == (0, 0)
    assert rig.plane.counters().esp_out == 0


@pytest.mark.parametrize("lower", [0, 1, 50, 103, 104])
def test_what_is_reserved_stays_reserved(lower: int) -> None:
    rig = Rig()
    host = reserved(rig, 100, 104)
    rig.plane.reserve(host.spi, lower)
    assert send(rig, host, 8) == [100, 101, 102, 103, 104]
    assert rig.take() == [low(host, 103, 3.0)]  # and a limit that changes nothing asks nothing


def test_an_unknown_spi_is_ignored() -> None:
    rig = Rig()
    rig.plane.reserve(Host(rig).spi + 99, 5)  # type: ignore[arg-type]
    assert rig.punts == []


@pytest.mark.parametrize("last", [SEQUENCE_MAX, SEQUENCE_MAX + 1, 1 << 40])
def test_numbers_end_where_they_are_no_more(last: int) -> None:
    rig = Rig()
    host = reserved(rig, SEQUENCE_MAX - 1, SEQUENCE_MAX - 1)
    rig.plane.reserve(host.spi, last)
    assert send(rig, host, 4) == [SEQUENCE_MAX - 1, SEQUENCE_MAX]
    assert rig.drops == {"sequence_exhausted": 2}
    assert rig.take() == [LifetimeReached(host.client, host.spi)]


def test_an_sa_that_is_rekeyed_has_a_limit_of_its_own() -> None:
    rig = Rig()
    host = reserved(rig, 1, 2)
    second = host.install()
    rig.plane.install_sa(host.sa_spec(second, last_sequence=3))
    assert send(rig, host, 4) == [1, 2]
    rig.plane.activate_sa(second)
    rig.plane.reserve(host.spi, 1000)
    assert send(rig, host, 4) == [1, 2, 3]


# --- asking in time


@pytest.mark.parametrize(
    ("first", "last", "after"),
    [
        (1, 1, 1),
        (1, 2, 1),
        (1, 3, 2),
        (1, 10, 5),
        (1001, 1010, 5),
        (1001, 1011, 6),
    ],
)
def test_half_of_it_is_used(first: int, last: int, after: int) -> None:
    rig = Rig()
    host = reserved(rig, first, last)
    assert len(send(rig, host, after - 1)) == after - 1
    assert rig.take() == []
    send(rig, host)
    assert rig.take() == [low(host, first + after, float(after))]
    send(rig, host, 20)
    assert rig.take() == []


def test_each_reservation_asks_once() -> None:
    rig = Rig()
    host = reserved(rig, 1, 10)
    send(rig, host, 6)
    assert rig.take() == [low(host, 6, 5.0)]
    rig.clock.now += 2
    rig.plane.reserve(host.spi, 26)  # 7 to 26: half is sixteen
    send(rig, host, 9)
    assert rig.take() == []
    rig.clock.now += 2
    send(rig, host)
    assert rig.take() == [low(host, 17, 5.0)]


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0.0, 50.0), (0.25, 50.0), (1.0, 50.0), (2.0, 25.0), (100.0, 0.5)]
)
def test_the_rate_is_since_the_reservation(seconds: float, rate: float) -> None:
    rig = Rig()
    host = reserved(rig, 1, 100)
    send(rig, host, 49)
    rig.clock.now += seconds
    send(rig, host)
    assert rig.take() == [low(host, 51, rate)]


def test_one_that_begins_empty_asks_when_it_is_wanted() -> None:
    rig = Rig()
    host = reserved(rig, 501, 500)
    assert rig.take() == []
    assert send(rig, host, 3) == []
    assert rig.take() == [low(host, 501, 0.0)]
    rig.plane.reserve(host.spi, 600)
    assert send(rig, host, 2) == [501, 502]


def test_who_has_all_numbers_asks_for_none() -> None:
    rig = Rig()
    host = reserved(rig, SEQUENCE_MAX // 2, SEQUENCE_MAX)
    rig.plane.install_sa(host.sa_spec(host.spi, active=True, first_sequence=SOFT_SEQUENCE - 2))
    send(rig, host, 10)
    assert rig.take() == [LifetimeReached(host.client, host.spi)]


@pytest.mark.parametrize("gap", [-2, 0, 2])
def test_lifetime_and_reservation_are_two_things(gap: int) -> None:
    """Whichever comes first, each is told once."""
    rig = Rig()
    first = SOFT_SEQUENCE - 5
    host = reserved(rig, first, SOFT_SEQUENCE + 5 + 2 * gap)
    send(rig, host, 10 + gap)
    told: list[Punt] = rig.take()
    assert sorted(type(punt).__name__ for punt in told) == ["LifetimeReached", "ReservationLow"]
    rig.plane.reserve(host.spi, SOFT_SEQUENCE + 100)
    send(rig, host, 200)
    assert [type(punt) for punt in rig.take()] == [ReservationLow]


def test_the_octet_limit_does_not_ask_for_numbers() -> None:
    rig = Rig()
    host = Host(rig)
    spec = host.sa_spec(host.spi, active=True, last_sequence=1000, life_octets=10)
    rig.plane.install_sa(spec)
    send(rig, host, 3)
    assert rig.take() == [LifetimeReached(host.client, host.spi)]
    send(rig, host, 497)
    assert rig.take() == [low(host, 501, 500.0)]


def test_a_reservation_that_is_answered_at_once() -> None:
    """The sink may call back before the packet has left."""
    rig = Rig()
    host = reserved(rig, 1, 4)
    asked = []

    def sink(punt: Punt) -> None:
        asked.append(punt)
        if isinstance(punt, ReservationLow):
            rig.plane.reserve(host.spi, punt.next_sequence + 3)

    rig.plane._punt = sink
    assert send(rig, host, 20) == list(range(1, 21))
    assert [punt.next_sequence for punt in asked if isinstance(punt, ReservationLow)] == [
        *range(3, 22, 2)
    ]
