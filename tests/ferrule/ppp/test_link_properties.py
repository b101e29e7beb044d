"""Whatever comes in: no exception leaves a link, and after LinkDown it is silent."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.credentials import Accepted, Denied
from ferrule.core.reasons import Reason
from ferrule.ppp.effects import (
    Addresses,
    LinkDown,
    NetworkDown,
    NetworkUp,
    NoAddress,
    PppAnswer,
    PppEffect,
    SendPpp,
    Verified,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.link import Link, PeerLink
from ferrule.ppp.packet import Option, build_options
from ferrule.ppp.phase import Phase
from ferrule.ppp.policy import METHODS, PppPolicy
from support.ppp import (
    DNS,
    LEASED,
    LOCAL,
    Peer,
    answer_to,
    credentials,
    entropy_of,
    frame_of,
    frames,
    make_line,
)

OPTION = st.one_of(
    st.builds(Option, st.sampled_from((1, 2, 3, 5, 7, 8, 129, 131)), st.binary(max_size=6)),
    st.builds(Option, st.integers(0, 255), st.binary(max_size=12)),
    st.sampled_from([Option(3, value) for value in METHODS.values()]),
    st.sampled_from([Option(3, LEASED.packed), Option(3, bytes(4)), Option(5, b"abcd")]),
)
DATA = st.one_of(st.binary(max_size=60), st.lists(OPTION, max_size=5).map(build_options))
FRAME = st.one_of(
    st.binary(max_size=40),
    st.builds(
        frame_of,
        st.sampled_from([*Protocol, 0x0031]),
        st.integers(0, 14),
        st.integers(0, 8),
        DATA,
    ),
)
ANSWER = st.one_of(
    st.builds(Verified, st.integers(0, 4), st.just(Accepted("alice", "S=" + "A" * 40))),
    st.builds(Verified, st.integers(0, 4), st.builds(Denied, st.sampled_from(Reason))),
    st.builds(Addresses, st.integers(0, 4), st.just(LOCAL), st.just(LEASED), st.just(DNS)),
    st.builds(NoAddress, st.integers(0, 4), st.just(Reason.POOL_EXHAUSTED)),
)


class Watch:
    """Checks what must hold for every sequence of effects."""

    def __init__(self, link: Link | PeerLink) -> None:
        self.link = link
        self.up = self.over = False

    def see(self, effects: list[PppEffect]) -> None:
        if self.over:
            assert effects == []
        for effect in effects:
            if isinstance(effect, NetworkUp):
                assert not self.up
                self.up = True
            elif isinstance(effect, NetworkDown):
                assert self.up
                self.up = False
            elif isinstance(effect, LinkDown):
                assert effect is effects[-1]
                self.over = True
            elif isinstance(effect, SendPpp):
                assert effect.frame[:2] == b"\xff\x03"
                assert len(effect.frame) <= 1504
        assert self.over == (self.link.phase is Phase.OVER)
        assert (self.link.deadline is None) <= (self.over or self.link.phase is Phase.DEAD)


@settings(max_examples=400, deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.one_of(FRAME, ANSWER, st.floats(0.1, 40), st.sampled_from(["connect", "close"])),
        max_size=25,
    ),
    st.integers(0, 3),
)
def test_any_sequence(
    server: bool, steps: list[bytes | PppAnswer | float | str], seed: int
) -> None:
    policy = PppPolicy(auth=("mschapv2", "chap", "pap"))
    link: Link | PeerLink = (
        Link(policy, entropy_of(seed))
        if server
        else PeerLink(policy, credentials(), entropy_of(seed))
    )
    watch = Watch(link)
    watch.see(link.start(0.0))
    now = 0.0
    for step in steps:
        if isinstance(step, bytes):
            watch.see(link.receive(step, now))
        elif isinstance(step, float):
            now += step
            watch.see(link.expire(now))
        elif step == "close":
            watch.see(link.close(Reason.ADMIN_KICK, now))
        elif not isinstance(step, str):
            watch.see(link.answer(step, now))


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAME, min_size=1, max_size=25))
def test_any_frames_on_a_connected_link(received: list[bytes]) -> None:
    peer = Peer()
    peer.connect()
    watch = Watch(peer.link)
    watch.up = True
    for frame in received:
        effects = peer.link.receive(frame, 1.0)
        watch.see(effects)
        assert len(frames(effects)) <= 3


def mutate(rng: random.Random, frame: bytes) -> bytes:
    octets = bytearray(frame)
    match rng.randrange(5):
        case 0:
            octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        case 1:
            del octets[rng.randrange(len(octets)) :]
        case 2:
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        case 3:
            at = rng.randrange(len(octets))
            octets[at:at] = rng.randbytes(rng.randrange(1, 9))
        case 4:
            at = rng.randrange(len(octets))
            del octets[at : at + rng.randrange(1, 5)]
    return bytes(octets)


@pytest.mark.parametrize("auth", [("mschapv2",), ("pap",), ("chap",)])
@pytest.mark.parametrize("victim", ["server", "client"])
def test_mutated_conversations(auth: tuple[str, ...], victim: str) -> None:
    """A real conversation with every frame's mutants thrown in before the frame itself."""
    for seed in range(120):
        rng = random.Random(seed)
        line = make_line(auth, seed=seed)
        ends: dict[str, Link | PeerLink] = {"server": line.server, "client": line.client}
        watches = {name: Watch(end) for name, end in ends.items()}
        queue: list[tuple[str, bytes | PppAnswer]] = []

        def take(name: str, effects: list[PppEffect]) -> None:
            watches[name].see(effects)  # noqa: B023
            other = "client" if name == "server" else "server"
            for effect in effects:
                if isinstance(effect, SendPpp):
                    queue.append((other, effect.frame))  # noqa: B023
                elif (reply := answer_to(effect)) is not None:
                    queue.append((name, reply))  # noqa: B023

        take("server", line.server.start(0.0))
        take("client", line.client.start(0.0))
        for _ in range(80):
            if not queue:
                break
            name, what = queue.pop(0)
            if isinstance(what, bytes):
                for _ in range(3 if name == victim else 0):
                    take(name, ends[name].receive(mutate(rng, what), 0.1))
                take(name, ends[name].receive(what, 0.1))
            else:
                take(name, ends[name].answer(what, 0.1))
