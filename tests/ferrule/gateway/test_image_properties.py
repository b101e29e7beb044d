"""Clients that are moved again and again, at any moment, over bad networks; and hostile images."""

from __future__ import annotations

import contextlib
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.gateway.image import build_image, parse_image
from support.pair import FAST_PHASE2, Pair, Seat, SecondCall, Weather, user

WEATHERS = (
    Weather(),
    Weather(loss=0.05, delay=(0.005, 0.05)),
    Weather(loss=0.1, duplication=0.2, delay=(0.01, 0.3)),
)
# When, after the move before, and whether the gateway is killed or lets go in good order.
MOVES = st.lists(st.tuples(st.floats(0.0, 90.0), st.booleans()), min_size=1, max_size=6)


def esp_numbers(sent: list[bytes]) -> list[bytes]:
    """SPI and sequence number of each ESP packet."""
    return [data[:8] for data in sent if len(data) > 8 and any(data[:4])]


@given(
    seed=st.integers(0, 1 << 16),
    weather=st.sampled_from(WEATHERS),
    suite=st.sampled_from(FAST_PHASE2),
    nat=st.booleans(),
    second=st.booleans(),
    moves=MOVES,
    goodbye=st.sampled_from(["client", "gateway"]),
)
@settings(max_examples=25, deadline=None)
def test_a_life_with_many_moves(
    seed: int,
    weather: Weather,
    suite: object,
    nat: bool,
    second: bool,
    moves: list[tuple[float, bool]],
    goodbye: str,
) -> None:
    """Nothing ends, no sequence number comes twice, and at last nothing is left."""
    pair = Pair(seed, clustered=True, users=[user(max_sessions=0)])
    seat = Seat(
        pair,
        nat="198.51.100.1" if nat else "",
        offer_phase2=(suite,),
        offer_ike_seconds=150,
        offer_esp_seconds=100,
    ).connect()
    other = SecondCall(seat) if second else None
    pair.loop.run(2.0)
    assert other is None or other.address is not None
    pair.network.weather = weather
    sent: list[bytes] = []
    for seconds, killed in moves:
        pair.gateway.sent = sent
        seat.ping()
        pair.loop.run(seconds)
        pair.move(killed=killed)
    pair.gateway.sent = sent
    pair.loop.run(60.0)
    pair.network.weather = Weather()
    pair.loop.run(5.0)
    assert seat.ended is None
    assert seat.ping(tries=3)
    assert other is None or other.address is not None
    assert pair.gateway.record.ends == []
    numbers = esp_numbers(sent)
    assert len(set(numbers)) == len(numbers)
    if goodbye == "client":
        pair.act(seat.host, lambda host: host.close(Reason.PEER_CLOSED))
    else:
        gateway = pair.gateway.gateway
        pair.gateway.driver.command(lambda now: gateway.close(Reason.SERVER_SHUTDOWN, now))
    pair.loop.run(60.0)
    assert pair.gateway.rows == 0
    assert pair.gateway.gateway.ike.sas() == []
    assert len(pair.gateway.record.ends) == 1 + second


@given(
    seed=st.integers(0, 1 << 16),
    at=st.floats(0.0, 1.5),
    killed=st.booleans(),
    method=st.sampled_from(["mschapv2", "chap", "pap"]),
    delay=st.sampled_from([0.002, 0.02, 0.08]),
)
@settings(max_examples=50, deadline=None)
def test_a_set_up_that_is_moved(
    seed: int, at: float, killed: bool, method: str, delay: float
) -> None:
    """Once there is a client it gets through; before, it has to begin anew, and nothing is left."""
    pair = Pair(seed, Weather(delay=(delay, delay)), clustered=True)
    seat = Seat(pair, auth=(method,))
    pair.loop.run(at)
    known = bool(pair.gateway.gateway.clients)
    assert len(pair.gateway.images) == known
    pair.move(killed=killed)
    pair.loop.run(90.0)
    if known:
        assert seat.connected is not None
        assert seat.ended is None
        assert seat.ping()
    else:
        assert pair.gateway.rows == (0 if seat.connected is None else 6)


# --- octets ------------------------------------------------------------------------------------


def a_good_image() -> bytes:
    pair = Pair(clustered=True)
    seat = Seat(pair).connect()
    assert seat.ping()
    (client,) = pair.gateway.gateway.clients.values()
    return pair.gateway.image(client)


GOOD = a_good_image()


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_octets(octets: bytes) -> None:
    with contextlib.suppress(Malformed):
        parse_image(octets)


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=3)
)
@settings(max_examples=200, deadline=None)
def test_an_image_that_was_good_once(changes: list[tuple[int, int]]) -> None:
    """Whatever is read can be written, and adopted; and what comes of it ends in time."""
    octets = bytearray(GOOD)
    for at, value in changes:
        octets[at] = value
    try:
        image = parse_image(bytes(octets))
    except Malformed:
        return
    assert build_image(parse_image(build_image(image))) == build_image(image)
    pair = Pair(clustered=True)
    pair.gateway.adopt([bytes(octets)])
    assert len(pair.gateway.gateway.clients) <= 1
    pair.loop.run(20.0)
    gateway = pair.gateway.gateway
    pair.gateway.driver.command(lambda now: gateway.close(Reason.SERVER_SHUTDOWN, now))


def test_any_one_octet_that_is_another() -> None:
    rng = random.Random(1)
    for at in range(len(GOOD)):
        octets = bytearray(GOOD)
        octets[at] ^= 1 << rng.randrange(8)
        with contextlib.suppress(Malformed):
            parse_image(bytes(octets))
