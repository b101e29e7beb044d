"""Tunnels that go to another process: what was said is said again, what was taken is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.channel import REPEAT_SECONDS, STALE_MAX, Channel
from ferrule.l2tp.effects import L2tpDropped, L2tpEffect, SessionUp, TunnelDown, TunnelUp
from ferrule.l2tp.endpoint import L2tpEndpoint
from ferrule.l2tp.header import ControlHeader, parse_control
from ferrule.l2tp.image import TunnelImage, session_image, session_of
from ferrule.l2tp.session import Session, SessionState
from ferrule.l2tp.tunnel_states import TunnelState
from support.l2tp import endpoint, names, only, sent

OFFSET = 5_000.0  # the other process's clock shows another time


def moved(end: L2tpEndpoint, now: float, **policy: object) -> tuple[L2tpEndpoint, list[bytes]]:
    """What goes on elsewhere, at `now` + OFFSET of its clock, and what it says first."""
    images = end.export(-OFFSET, now)
    other = endpoint(seed=9, **policy)
    return other, sent(other.restore(images, -2 * OFFSET, now + OFFSET))


def converse(
    lac: L2tpEndpoint, lns: L2tpEndpoint, messages: list[bytes], now: float, skew: float = 0.0
) -> list[L2tpEffect]:
    """Everything from the LAC and back until both are silent; what the LNS told."""
    told: list[L2tpEffect] = []
    while messages:
        answers: list[bytes] = []
        for message in messages:
            effects = lns.receive(message, now + skew)
            told += effects
            answers += sent(effects)
        messages = [m for answer in answers for m in sent(lac.receive(answer, now))]
    return told


def connected(**policy: object) -> tuple[L2tpEndpoint, L2tpEndpoint, TunnelId, SessionId]:
    lac, lns = endpoint(seed=1, **policy), endpoint(seed=2, **policy)
    told = converse(lac, lns, sent(lac.open_tunnel(0.0)), 0.0)
    up = only(told, TunnelUp)
    told = converse(lac, lns, sent(lac.open_session(up.peer_tunnel, 0.0)), 0.0)
    session = only(told, SessionUp)
    return lac, lns, session.peer_tunnel, session.peer_session


# --- endpoints


def test_a_tunnel_and_its_call_go_on() -> None:
    lac, lns, tunnel, _ = connected()
    other, said = moved(lns, 10.0)
    assert said == []
    assert other.sessions() == lns.sessions()
    told = converse(lac, other, sent(lac.open_session(tunnel, 10.0)), 10.0, OFFSET)
    assert only(told, SessionUp).seconds == 0.0
    (one,) = other.export(-OFFSET, 10.0)
    assert len(one.sessions) == 2
    assert one.peer_host_name == "ferrule"


def test_times_are_of_the_other_clock() -> None:
    _, lns, _, _ = connected()
    other, _ = moved(lns, 10.0)
    (before,), (after,) = lns._tunnels.values(), other._tunnels.values()
    assert after.since == before.since + OFFSET
    assert after.heard_at == before.heard_at + OFFSET
    assert lns.deadline is not None
    assert other.deadline is not None
    assert other.deadline.at == lns.deadline.at + OFFSET


def test_a_peer_long_silent_has_a_second_before_it_is_asked() -> None:
    _, lns, _, _ = connected()
    other, said = moved(lns, 500.0)
    assert said == []
    assert other.deadline is not None
    assert other.deadline.at == 501.0 + OFFSET
    assert names(sent(other.expire(501.0 + OFFSET))) == ["HELLO"]


def test_what_is_not_acknowledged_is_said_at_once() -> None:
    lac, lns, _, _ = connected()
    assert names(sent(lns.expire(60.0))) == ["HELLO"]
    other, said = moved(lns, 60.5)
    assert names(said) == ["HELLO"]
    converse(lac, other, [m for s in said for m in sent(lac.receive(s, 60.5))], 60.5, OFFSET)
    (tunnel,) = other._tunnels.values()
    assert tunnel.channel.idle


@pytest.mark.parametrize("messages", [1, 2])
def test_a_tunnel_that_is_half_made(messages: int) -> None:
    """With a challenge that is not answered yet."""
    secret = Secret(b"tunnel secret")
    lac, lns = endpoint(seed=1, tunnel_secret=secret), endpoint(seed=2, tunnel_secret=secret)
    (sccrq,) = sent(lac.open_tunnel(0.0))
    (sccrp,) = sent(lns.receive(sccrq, 0.0))
    other, said = moved(lns, 0.5, tunnel_secret=secret)
    assert names(said) == ["SCCRP"]
    if messages == 2:  # the answer to the first had been on its way
        scccn, *_ = sent(lac.receive(sccrp, 0.5))
        told = other.receive(scccn, 0.5 + OFFSET)
        assert only(told, TunnelUp).seconds == 0.5
        return
    again = other.receive(sccrq, 0.6 + OFFSET)  # the SCCRQ repeated makes no second tunnel
    assert len(other._tunnels) == 1
    assert names(sent(again)) == ["ZLB"]
    told = converse(lac, other, [m for s in said for m in sent(lac.receive(s, 0.6))], 0.6, OFFSET)
    assert only(told, TunnelUp)


def test_a_half_made_tunnel_is_given_up_in_time() -> None:
    lac, lns = endpoint(seed=1), endpoint(seed=2)
    (sccrq,) = sent(lac.open_tunnel(0.0))
    lns.receive(sccrq, 0.0)
    (before,) = lns._tunnels.values()
    other, _ = moved(lns, 1.0)
    (after,) = other._tunnels.values()
    assert before.state is after.state is TunnelState.WAIT_CTL_CONN
    told: list[L2tpEffect] = []
    while other.deadline is not None and other.deadline.at <= 61.0 + OFFSET:
        told += other.expire(other.deadline.at)
    assert only(told, TunnelDown).reason is Reason.L2TP_TIMEOUT


def test_an_old_request_is_not_carried() -> None:
    _, lns, _, _ = connected()
    assert lns.export(0.0, 1.0)[0].request
    assert lns.export(0.0, 100.0)[0].request == b""


def test_a_goodbye_goes_on() -> None:
    lac, lns, _, _ = connected()
    lns.close(Reason.ADMIN_KICK, 5.0)
    other, said = moved(lns, 5.5)
    assert names(said) == ["CDN"]
    answers = [m for s in said for m in sent(lac.receive(s, 5.5))]
    converse(lac, other, answers, 5.5, OFFSET)
    (tunnel,) = other._tunnels.values()
    assert tunnel.state is TunnelState.LINGERING
    again, said = moved(other, 6.0 + OFFSET)
    assert said == []
    (tunnel,) = again._tunnels.values()
    assert tunnel.state is TunnelState.LINGERING
    assert again.deadline is not None
    again.expire(again.deadline.at)
    assert not again._tunnels


def test_a_session_as_an_image() -> None:
    session = Session(TunnelId(1), SessionId(2), TunnelId(3), 4, 5.0, setup_until=65.0)
    session.state, session.peer_session = SessionState.WAIT_CONNECT, SessionId(9)
    image = session_image(session, 100.0)
    assert (image.since, image.setup_until) == (105.0, 165.0)
    assert session_of(image, TunnelId(1), TunnelId(3), 100.0) == session
    session.setup_until = None
    assert session_of(session_image(session, 7.0), TunnelId(1), TunnelId(3), 7.0) == session


def test_tunnels_that_are_gone_are_not_carried() -> None:
    _, lns, _, _ = connected()
    (tunnel,) = lns._tunnels.values()
    tunnel.state = TunnelState.GONE
    images: tuple[TunnelImage, ...] = lns.export(0.0, 0.0)
    assert images == ()


# --- channels that were restored from something older


def pair_of_channels() -> tuple[Channel, Channel]:
    """One that knows, and one that goes on from what the first was, before whatever comes."""
    old, new = Channel(16), Channel(16)
    old.peer_tunnel = 7
    for ns in range(3):
        old.receive(ControlHeader(1, 0, ns, 0), b"x", 0.0)
    old.send(0, b"ours", 0.0)
    old.receive(ControlHeader(1, 0, 3, 1), b"", 0.0)
    new.restore(old.export(), 1.0)
    return old, new


def bodies(end: Channel, ns: int, nr: int, now: float) -> list[bytes]:
    arrival = end.receive(ControlHeader(1, 0, ns, nr), f"{ns}".encode(), now)
    return [message.body for message in arrival.messages]


def test_nothing_is_lost_if_nothing_was_newer() -> None:
    _, new = pair_of_channels()
    assert bodies(new, 4, 1, 1.0) == []  # overtook its predecessor
    assert bodies(new, 4, 1, 1.1) == []  # and was doubled on the way
    assert bodies(new, 3, 1, 1.2) == [b"3", b"4"]
    assert bodies(new, 6, 1, 1.2) == []
    assert bodies(new, 6, 1, 9.0) == []  # from now on it waits for ever


def test_a_message_that_only_the_former_had_is_not_waited_for() -> None:
    """The peer was told that 3 and 4 had come, and repeats 5."""
    _, new = pair_of_channels()
    assert bodies(new, 5, 1, 1.0) == []
    assert bodies(new, 5, 1, 1.0 + REPEAT_SECONDS) == [b"5"]
    assert bodies(new, 6, 1, 2.0) == [b"6"]


def test_a_message_too_far_ahead_is_not_believed() -> None:
    _, new = pair_of_channels()
    far = 3 + STALE_MAX + 1
    assert bodies(new, far, 1, 1.0) == []
    assert bodies(new, far, 1, 9.0) == []


def test_what_bore_a_number_of_the_formers_goes_out_anew() -> None:
    """The former said two more messages that nobody had written down."""
    _, new = pair_of_channels()
    (first,) = new.send(0, b"new", 1.0)
    assert parse_control(first)[0].ns == 1  # which the peer has had, and drops
    arrival = new.receive(ControlHeader(1, 0, 3, 3), b"", 1.1)
    assert not arrival.acknowledged
    (again,) = new.flush(1.1)
    header, body = parse_control(again)
    assert (header.ns, body) == (3, b"new")
    assert new.receive(ControlHeader(1, 0, 3, 4), b"", 1.2).acknowledged
    assert new.idle
    assert new.next_ns == 4


def test_an_acknowledgement_of_what_was_never_said_is_not_believed_for_long() -> None:
    _, new = pair_of_channels()
    new.receive(ControlHeader(1, 0, 3, 1), b"", 1.0)
    new.send(0, b"new", 1.0)
    assert not new.receive(ControlHeader(1, 0, 3, 9), b"", 1.1).acknowledged
    assert new.next_ns == 2


def test_far_too_many_acknowledgements_are_not_believed() -> None:
    _, new = pair_of_channels()
    assert not new.receive(ControlHeader(1, 0, 3, 1 + STALE_MAX + 1), b"", 1.0).acknowledged
    assert new.next_ns == 1


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.integers(0xFFFC, 0x10003))
@settings(max_examples=200, deadline=None)
def test_two_channels_find_together(heard: int, said: int, queued: int, start: int) -> None:
    """The former heard `heard` and said `said` messages that the image does not know of; the heir
    has `queued` ones. Both have everything of the other after that, in order and once."""
    origin = start & 0xFFFF
    heir, peer = Channel(16), Channel(16)
    heir._ns = heir._nr = peer._ns = peer._nr = origin
    heir.peer_tunnel = peer.peer_tunnel = 1
    image = heir.export()
    peer._ns, peer._nr = (origin + heard) & 0xFFFF, (origin + said) & 0xFFFF
    heir = Channel(16)
    heir.restore(image, 0.0)
    got: dict[str, list[bytes]] = {"heir": [], "peer": []}
    wire = [("heir", m) for m in peer.send(0, b"first", 0.0)]
    sends = [b"%d" % number for number in range(queued)]
    now = 0.0
    for _ in range(200):
        if not wire:
            now += 0.25
            wire += [("heir", m) for m in peer.expire(now) or []]
            wire += [("peer", m) for m in heir.expire(now) or []]
        if sends and got["heir"]:
            wire += [("peer", m) for m in heir.send(0, sends.pop(0), now)]
        if not wire:
            continue
        to, message = wire.pop(0)
        end, back = (heir, "peer") if to == "heir" else (peer, "heir")
        header, body = parse_control(message)
        got[to] += [one.body for one in end.receive(header, body, now).messages]
        wire += [(back, m) for m in (*end.flush(now), *end.acknowledge())]
    assert got["heir"] == [b"first"]
    assert got["peer"] == [b"%d" % number for number in range(queued)]
    assert heir.idle
    assert peer.idle


def test_drops_are_told() -> None:
    lac, lns, _, _ = connected()
    other, _ = moved(lns, 1.0)
    told = other.receive(sent(lac.open_tunnel(1.0))[0], 1.0 + OFFSET)
    assert not [effect for effect in told if isinstance(effect, L2tpDropped)]
