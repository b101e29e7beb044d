"""Whatever comes in: no exception, bounded state, an end. Over bad links: never stuck."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.avp import AvpType, parse_avps
from ferrule.l2tp.effects import L2tpEffect, SendL2tp, SessionDown, SessionUp, TunnelDown, TunnelUp
from ferrule.l2tp.endpoint import ENDED_MAX, L2tpEndpoint
from ferrule.l2tp.header import ControlHeader, build_control, parse_control, parse_data
from ferrule.l2tp.hidden import hide, unhide
from ferrule.l2tp.messages import MessageType, read_message
from ferrule.l2tp.result_codes import parse_result_code
from support.l2tp import Link, Weather, connected, endpoint, raw_avp, raw_body, sent

octets = st.binary(max_size=80)
u16 = st.integers(0, 0xFFFF)
SECRET = Secret(b"secret")


@st.composite
def an_avp(draw: st.DrawFn) -> bytes:
    number = draw(st.sampled_from([*AvpType, 20, 47, 99, 65535]))
    lengths = {9: 2, 14: 2, 2: 2, 10: 2, 3: 4, 15: 4, 24: 4, 19: 4, 13: 16}
    size = lengths.get(number)
    value = draw(
        st.one_of(octets, st.binary(min_size=size, max_size=size)) if size is not None else octets
    )
    flags = draw(st.sampled_from([0, 0, 0, 0x4000, 0x0400]))
    vendor = draw(st.sampled_from([0, 0, 0, 0, 311]))
    return raw_avp(number, value, m=draw(st.booleans()), flags=flags, vendor=vendor)


@st.composite
def a_body(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 9)) == 0:
        return draw(octets)
    kind = draw(st.sampled_from([*MessageType, 0, 99]))
    avps = draw(st.lists(an_avp(), max_size=6))
    return raw_body(kind, *avps, m=draw(st.booleans()))


@given(st.binary(max_size=120))
@settings(max_examples=400, deadline=None)
def test_parsers_raise_nothing_else(message: bytes) -> None:
    for parse in (parse_control, parse_data, parse_result_code):
        with contextlib.suppress(ProtocolError):
            parse(message)


@given(a_body(), st.sampled_from([None, SECRET]))
@settings(max_examples=400, deadline=None)
def test_bodies(body: bytes, secret: Secret | None) -> None:
    try:
        parsed = read_message(parse_avps(body, secret))
    except ProtocolError:
        return  # without a Message Type
    assert parsed.fault is not None or parsed.message is not None or parsed.kind is None


@given(u16, st.binary(max_size=300), st.binary(max_size=40), st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_hide_and_unhide(number: int, value: bytes, secret: bytes, vector: bytes) -> None:
    hidden = hide(number, value, Secret(secret), vector)
    assert unhide(number, hidden, Secret(secret), vector) == value


def bounded(end: L2tpEndpoint) -> None:
    live = [t for t in end._tunnels.values() if t.live]
    assert len(live) <= 4
    assert len(end._tunnels) <= 4 + ENDED_MAX
    assert set(end._requests) <= set(end._tunnels)
    for tunnel in end._tunnels.values():
        assert tunnel.deadline is not None, tunnel.state
        assert len(tunnel.calls.sessions) <= 8
        assert len(tunnel.channel._early) <= 16
        assert len(tunnel.channel._in_flight) + len(tunnel.channel._waiting) <= 32 + 10


class Books:
    """Ups and downs must match: each tunnel and session ends once, sessions before tunnels."""

    def __init__(self) -> None:
        self.tunnels: set[int] = set()
        self.sessions: set[tuple[int, int]] = set()

    def enter(self, effects: list[L2tpEffect]) -> None:
        for effect in effects:
            match effect:
                case TunnelUp():
                    assert effect.tunnel not in self.tunnels
                    self.tunnels.add(effect.tunnel)
                case SessionUp():
                    assert effect.tunnel in self.tunnels
                    assert (effect.tunnel, effect.session) not in self.sessions
                    self.sessions.add((effect.tunnel, effect.session))
                case SessionDown():
                    self.sessions.discard((effect.tunnel, effect.session))
                case TunnelDown():
                    self.tunnels.discard(effect.tunnel)
                    assert not [s for s in self.sessions if s[0] == effect.tunnel]
                case _:
                    pass


def run_down(end: L2tpEndpoint, books: Books) -> None:
    """Nobody answers any more: everything must come to its end."""
    for _ in range(3000):
        deadline = end.deadline
        if deadline is None:
            break
        books.enter(end.expire(deadline.at))
        after = end.deadline
        assert after is None or after.at > deadline.at
    assert end.deadline is None
    assert end._tunnels == end._requests == {}
    assert not books.tunnels
    assert not books.sessions


@given(st.lists(st.tuples(u16, u16, u16, u16, a_body()), max_size=30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_messages(
    messages: list[tuple[int, int, int, int, bytes]], authenticates: bool
) -> None:
    """Half of them with ids and numbers that fit, so that they get in deep."""
    end = endpoint(3, tunnel_secret=SECRET if authenticates else None)
    books, now = Books(), 100.0
    chance = random.Random(len(messages))
    for tunnel, session, ns, nr, body in messages:
        known = list(end._tunnels.values())
        if known and chance.random() < 0.8:
            target = chance.choice(known)
            tunnel = int(target.tunnel)
            ns = (target.channel._nr + ns % 3) & 0xFFFF
            nr = (target.channel.next_ns - nr % 3) & 0xFFFF
            session = chance.choice([0, *target.calls.sessions])
        elif chance.random() < 0.8:
            tunnel = ns = 0
        now += 0.01
        books.enter(end.receive(build_control(ControlHeader(tunnel, session, ns, nr), body), now))
        bounded(end)
    run_down(end, books)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutated_life(data: st.DataObject) -> None:
    """An honest exchange, of which one message is damaged on its way."""
    link = Link(endpoint(1), endpoint(2))
    books = Books()
    victim = data.draw(st.integers(0, 7))
    seed = data.draw(st.integers(0, 1 << 30))
    chance = random.Random(seed)
    link.connect()
    for count in range(40):
        if not link._flights:
            break
        at, _, side, message = link._flights.pop(0)
        link.now = at
        if count == victim:
            damaged = bytearray(message)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            if chance.random() < 0.2:
                damaged = damaged[: chance.randrange(len(damaged))]
            message = bytes(damaged)
        effects = link.end(side).receive(message, link.now)
        if side == "lns":
            books.enter(effects)
        link.run(side, effects)
        link._flights.sort()
        link.drive()
        bounded(link.lns)
        bounded(link.lac)
    run_down(link.lns, books)


SEEDS = 200
WEATHERS = [
    Weather(),
    Weather(loss=0.1),
    Weather(loss=0.3, repeat=0.1, jitter=0.05),
    Weather(repeat=0.5, jitter=0.5),
    Weather(loss=0.2, repeat=0.3, delay=0.4, jitter=1.5),
    Weather(loss=0.5, repeat=0.2, jitter=0.2),
    Weather(loss=0.8),
    Weather(loss=1.0),
]


@pytest.mark.parametrize("weather", WEATHERS, ids=str)
def test_over_a_bad_link(weather: Weather) -> None:
    """Connected or refused, never stuck; and afterwards nothing is left."""
    outcomes = []
    for seed in range(SEEDS):
        policy: dict[str, object] = {"hello_seconds": 20.0}
        if seed % 3 == 0:
            policy |= {"tunnel_secret": SECRET, "hide_avps": seed % 2 == 0}
        link = Link(endpoint(seed, **policy), endpoint(seed + 1000, **policy), weather, seed)
        link.connect()
        assert link.until(200, link.drive), f"seed {seed}: stuck"
        up = bool(link.effects("lac", SessionUp))
        outcomes.append(up)
        if up and weather.loss == 0:
            assert link.until(5, lambda link=link: bool(link.effects("lns", SessionUp)))
        link.until(30)
        link.run("lac", link.lac.close(Reason.PEER_CLOSED, link.now))
        assert link.lac.sessions() == ()
        link.until(300)
        assert link.lac.deadline is None, f"seed {seed}"
        assert link.lns.deadline is None, f"seed {seed}"
        for side in ("lac", "lns"):
            books = Books()
            books.enter([effect for _, by, effect in link.told if by == side])
            assert not books.tunnels
            assert not books.sessions
    if weather.loss <= 0.2:
        assert all(outcomes)
    if weather.loss <= 0.3:
        assert sum(outcomes) >= 0.95 * SEEDS
    if weather.loss == 1.0:
        assert not any(outcomes)


def test_set_up_times_in_fair_weather_are_round_trips() -> None:
    link = Link(endpoint(1), endpoint(2), Weather(delay=0.5))
    link.connect()
    link.until(20, link.drive)
    (up,) = link.effects("lac", TunnelUp)
    (session,) = link.effects("lac", SessionUp)
    assert up.seconds == pytest.approx(1.0)
    assert session.seconds == pytest.approx(1.0)


def test_a_lost_message_costs_one_wait() -> None:
    """Each of the messages of a set-up lost once: a second more, not more than that."""
    for victim in range(8):
        link = Link(endpoint(1), endpoint(2))
        link.connect()
        sent_count = 0
        while not (link.effects("lns", SessionUp) and link.effects("lac", SessionUp)):
            at = link.next_event()
            assert at is not None
            if link._flights and link._flights[0][0] == at and sent_count == victim:
                link._flights.pop(0)
                link._flights.sort()
                sent_count += 1
                continue
            sent_count += bool(link._flights and link._flights[0][0] == at)
            link.step()
            link.drive()
            assert link.now < 1003, f"message {victim}"


def test_many_sessions_and_ends() -> None:
    """Calls come and go over one tunnel; nothing stays behind."""
    link = connected(sessions_max=8)
    tunnel = link.effects("lac", TunnelUp)[0].tunnel
    for _ in range(200):
        link.run("lac", link.lac.open_session(tunnel, link.now))
        link.until(0.2)
        for view in link.lac.sessions():
            effects = link.lac.close_session(
                TunnelId(view.tunnel), view.session, Reason.PEER_CLOSED, link.now
            )
            link.run("lac", effects)
        link.until(0.2)
    assert link.lac.sessions() == link.lns.sessions() == ()
    assert len(link.effects("lns", SessionUp)) == 201
    (end,) = link.lns._tunnels.values()
    assert not end.calls.sessions
    assert end.channel.idle
    assert [e for e in link.lns.expire(link.now) if isinstance(e, SendL2tp)] == sent([])
