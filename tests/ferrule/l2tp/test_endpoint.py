"""The set of tunnels with one remote host: which message belongs where, limits, restarts, ties."""

from __future__ import annotations

import pytest

from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.l2tp.channel import CYCLE_SECONDS
from ferrule.l2tp.effects import (
    L2tpDropped,
    L2tpEffect,
    SendL2tp,
    SessionDown,
    SessionUp,
    TunnelDown,
    TunnelUp,
)
from ferrule.l2tp.endpoint import ENDED_MAX, L2tpEndpoint
from ferrule.l2tp.header import ControlHeader, build_control
from ferrule.l2tp.identifiers import choose_id
from ferrule.l2tp.messages import (
    Cdn,
    Hello,
    Iccn,
    Icrq,
    MessageType,
    Scccn,
    Sccrq,
    StopCcn,
    build_message,
)
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.l2tp.result_codes import ResultCode
from support.l2tp import (
    Link,
    Peer,
    connected,
    endpoint,
    header_of,
    message_of,
    names,
    only,
    raw_avp,
    raw_body,
    reasons,
    sent,
)

REQUEST = Sccrq(77, b"peer", vendor_name=b"Maker")


def start(
    end: L2tpEndpoint, number: int = 77, now: float = 100.0
) -> tuple[Peer, bytes, list[L2tpEffect]]:
    """A peer's SCCRQ; returns the peer, its octets, and what came of it."""
    peer = Peer()
    octets = peer.say(Sccrq(number, b"peer"))
    effects = end.receive(octets, now)
    for message in sent(effects):
        found = message_of(message)
        peer.tunnel = found.assigned_tunnel_id or 0  # type: ignore[union-attr]
    peer.take(effects)
    return peer, octets, effects


def up(end: L2tpEndpoint, number: int = 77, now: float = 100.0) -> tuple[Peer, bytes]:
    """A tunnel with one call, which is connected."""
    peer, octets, _ = start(end, number, now)
    peer.take(end.receive(peer.say(Scccn()), now))
    effects = end.receive(peer.say(Icrq(9)), now)
    peer.take(effects)
    session: int = message_of(sent(effects)[0]).assigned_session_id  # type: ignore[union-attr, assignment]
    effects = end.receive(peer.say(Iccn(), session=session), now)
    assert only(effects, SessionUp)
    return peer, octets


def test_octets_that_are_no_message() -> None:
    end = endpoint()
    assert reasons(end.receive(b"", 1.0)) == [Reason.L2TP_MALFORMED]
    v3 = b"\xc8\x03\x00\x14" + bytes(16)
    assert reasons(end.receive(v3, 1.0)) == [Reason.L2TP_VERSION]
    assert end.deadline is None


@pytest.mark.parametrize("body", [b"", build_message(Hello()), build_message(Icrq(1)), b"\x80"])
@pytest.mark.parametrize("tunnel", [0, 1, 65535])
def test_messages_for_no_tunnel_get_no_answer(tunnel: int, body: bytes) -> None:
    end = endpoint()
    effects = end.receive(build_control(ControlHeader(tunnel, 0, 0, 0), body), 1.0)
    assert sent(effects) == []
    expected = Reason.L2TP_MALFORMED if (tunnel, body) == (0, b"\x80") else None
    assert reasons(effects) == [expected or Reason.L2TP_UNKNOWN_TUNNEL]
    assert end.deadline is None


def test_whole_life_over_a_link() -> None:
    link = connected()
    lac = link.effects("lac", SessionUp)[0]
    lns = link.effects("lns", SessionUp)[0]
    assert (lac.tunnel, lac.session) == (lns.peer_tunnel, lns.peer_session)
    assert (lns.tunnel, lns.session) == (lac.peer_tunnel, lac.peer_session)
    (view,) = link.lns.sessions()
    assert view.established
    assert (view.tunnel, view.session) == (lns.tunnel, lns.session)
    assert link.messages == 8  # SCCRQ SCCRP SCCCN ICRQ ZLB ICRP ICCN ZLB
    link.run("lac", link.lac.close(Reason.PEER_CLOSED, link.now))
    link.until(0.1)
    assert [d.reason for d in link.effects("lns", SessionDown)] == [Reason.PEER_CLOSED]
    assert [d.reason for d in link.effects("lns", TunnelDown)] == [Reason.PEER_CLOSED]
    assert link.lns.sessions() == ()
    link.until(CYCLE_SECONDS + 1)
    assert link.lac.deadline is None
    assert link.lns.deadline is None


def test_sequencing_is_agreed() -> None:
    link = Link(endpoint(1, sequencing=True), endpoint(2))
    link.connect()
    link.until(5, link.drive)
    link.until(1)
    assert link.effects("lac", SessionUp)[0].sequencing
    assert link.effects("lns", SessionUp)[0].sequencing
    assert link.lns.sessions()[0].sequencing


def test_idle_for_hours() -> None:
    link = connected()
    link.until(7200)
    assert not link.effects("lac", TunnelDown)
    assert not link.effects("lns", TunnelDown)
    assert link.messages < 600


def test_close_without_tunnels() -> None:
    assert endpoint().close(Reason.SERVER_SHUTDOWN, 1.0) == []
    assert endpoint().expire(1.0) == []


def test_the_goodbye_of_a_tunnel_from_before_a_restart_is_acknowledged() -> None:
    """xl2tpd dials again only then; its message tells all that the answer needs."""
    body = build_message(StopCcn(77, ResultCode(1)))
    effects = endpoint().receive(build_control(ControlHeader(4711, 0, 0xFFFF, 3), body), 100.0)
    (answer,) = sent(effects)
    assert header_of(answer) == ControlHeader(77, 0, ns=3, nr=0)
    assert reasons(effects) == [Reason.L2TP_UNKNOWN_TUNNEL]


@pytest.mark.parametrize(
    "message",
    [Hello(), Cdn(ResultCode(1), 5), StopCcn(0, ResultCode(1)), StopCcn(None, ResultCode(1))],
)
def test_nothing_else_for_an_unknown_tunnel_is_answered(message: Hello | Cdn | StopCcn) -> None:
    octets = build_control(ControlHeader(4711, 0, 0, 0), build_message(message))
    assert sent(endpoint().receive(octets, 100.0)) == []


def test_calls_on_unknown_ids() -> None:
    end = endpoint()
    unknown = TunnelId(5)
    assert reasons(end.open_session(unknown, 1.0)) == [Reason.L2TP_UNKNOWN_TUNNEL]
    effects = end.close_session(unknown, SessionId(6), Reason.ADMIN_KICK, 1.0)
    assert reasons(effects) == [Reason.L2TP_UNKNOWN_TUNNEL]


def test_close_session_ends_the_tunnel_of_an_lns() -> None:
    link = connected()
    (view,) = link.lns.sessions()
    effects = link.lns.close_session(view.tunnel, view.session, Reason.ADMIN_KICK, link.now)
    assert names(sent(effects)) == ["CDN", "STOPCCN"]
    link.run("lns", effects)
    link.until(1)
    assert link.effects("lac", SessionDown)[0].detail == (
        "CDN result 3 (administrative) error 0: an operator ended the session"
    )
    assert link.effects("lac", TunnelDown)


# --- repetitions and restarts ----------------------------------------------------------------


def test_a_repeated_request_belongs_to_the_same_tunnel() -> None:
    end = endpoint()
    peer, octets, first = start(end)
    again = end.receive(octets, 101.0)
    assert reasons(again) == [Reason.L2TP_WINDOW]
    assert names(sent(again)) == ["ZLB"]
    assert header_of(sent(again)[0]) == (77, 0, 1, 1)
    assert names(sent(end.expire(101.0))) == ["SCCRP"]
    assert only(end.receive(peer.say(Scccn()), 101.1), TunnelUp).tunnel == peer.tunnel
    assert first


def test_a_late_repetition_does_not_end_an_established_tunnel() -> None:
    end = endpoint()
    _, octets = up(end)
    assert reasons(end.receive(octets, 100.0 + CYCLE_SECONDS - 0.1)) == [Reason.L2TP_WINDOW]
    assert len(end.sessions()) == 1


def test_a_restarted_peer_that_uses_its_ids_again() -> None:
    """QUIRK(mikrotik): the same octets, long after."""
    end = endpoint()
    peer, octets = up(end)
    effects = end.receive(octets, 100.0 + CYCLE_SECONDS)
    downs = [e for e in effects if isinstance(e, SessionDown | TunnelDown)]
    assert [(type(e), e.reason) for e in downs] == [
        (SessionDown, Reason.REPLACED_SESSION),
        (TunnelDown, Reason.REPLACED_SESSION),
    ]
    assert names(sent(effects)) == ["SCCRP"]  # and nothing to the former tunnel
    assert message_of(sent(effects)[0]).assigned_tunnel_id != peer.tunnel  # type: ignore[union-attr]
    assert reasons(end.receive(peer.say(Hello()), 140.0)) == [Reason.L2TP_UNKNOWN_TUNNEL]


def test_a_restarted_peer_whose_request_differs() -> None:
    end = endpoint()
    up(end)
    effects = end.receive(Peer().say(Sccrq(77, b"peer", firmware_revision=2)), 101.0)
    assert names(sent(effects)) == ["SCCRP"]
    assert only(effects, TunnelDown).reason is Reason.REPLACED_SESSION


def test_a_peer_that_comes_back_after_its_goodbye() -> None:
    """With the same octets, while the former tunnel still acknowledges."""
    end = endpoint()
    peer, octets = up(end)
    goodbye = peer.say(StopCcn(77, ResultCode(1)))
    end.receive(goodbye, 102.0)
    effects = end.receive(octets, 103.0)
    assert names(sent(effects)) == ["SCCRP"]
    assert not [e for e in effects if isinstance(e, TunnelDown)]
    late = end.receive(goodbye, 104.0)
    assert names(sent(late)) == ["ZLB"]
    assert header_of(sent(late)[0])[:3] == (77, 0, 2)


def test_a_refused_peer_that_repeats_its_request() -> None:
    end = endpoint()
    request = Peer().say(Sccrq(77, b"p", challenge=b"c"))
    assert names(sent(end.receive(request, 100.0))) == ["STOPCCN"]
    again = end.receive(request, 101.0)
    assert names(sent(again)) == ["ZLB"]
    assert names(sent(end.expire(101.0))) == ["STOPCCN"]


def test_two_tunnels_of_one_peer() -> None:
    end = endpoint()
    up(end, 1)
    up(end, 2)
    assert len({view.tunnel for view in end.sessions()}) == 2
    assert [view.peer_tunnel for view in end.sessions()] == [1, 2]


def test_a_peer_that_gives_up_before_it_knows_our_id() -> None:
    end = endpoint()
    peer, _, _ = start(end)
    peer.tunnel = 0
    effects = end.receive(peer.say(StopCcn(77, ResultCode(1))), 100.5)
    assert only(effects, TunnelDown).reason is Reason.PEER_CLOSED
    assert names(sent(effects)) == ["ZLB"]
    stranger = Peer().say(StopCcn(78, ResultCode(1)))
    assert reasons(end.receive(stranger, 100.5)) == [Reason.L2TP_UNKNOWN_TUNNEL]
    nameless = Peer().say(StopCcn(None, ResultCode(1)))
    assert reasons(end.receive(nameless, 100.5)) == [Reason.L2TP_UNKNOWN_TUNNEL]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (raw_body(1), Reason.L2TP_MISSING_AVP),
        (raw_body(1, raw_avp(9, b"\0\0")), Reason.L2TP_MISSING_AVP),
        (raw_body(1, raw_avp(9, bytes(16), flags=0x4000)), Reason.L2TP_HIDDEN_AVP),
    ],
)
def test_requests_that_cannot_be_answered(body: bytes, reason: Reason) -> None:
    end = endpoint()
    effects = end.receive(Peer().raw(body), 100.0)
    assert sent(effects) == []
    assert reasons(effects) == [reason]
    assert end.deadline is None


def test_a_request_with_a_fault_is_refused() -> None:
    end = endpoint()
    body = build_message(REQUEST) + raw_avp(99, b"")
    effects = end.receive(Peer().raw(body), 100.0)
    (stop,) = sent(effects)
    assert header_of(stop).tunnel == 77
    refusal = message_of(stop)
    assert isinstance(refusal, StopCcn)
    assert refusal.result_code is not None
    assert (refusal.result_code.result, refusal.result_code.error) == (2, 8)
    assert reasons(effects) == [Reason.L2TP_MANDATORY_AVP]


def test_a_request_that_is_not_the_first_message() -> None:
    end = endpoint()
    assert reasons(end.receive(Peer(ns=4).say(REQUEST), 100.0)) == [Reason.L2TP_WINDOW]


# --- limits ----------------------------------------------------------------------------------


def test_more_tunnels_than_allowed() -> None:
    end = endpoint(tunnels_max=2)
    up(end, 1)
    up(end, 2)
    _, _, effects = start(end, 3)
    (stop,) = sent(effects)
    refusal = message_of(stop)
    assert isinstance(refusal, StopCcn)
    assert refusal.result_code is not None
    assert (refusal.result_code.result, refusal.result_code.error) == (2, 4)
    assert header_of(stop) == (3, 0, 0, 1)
    assert reasons(effects) == [Reason.L2TP_LIMIT]
    assert len(end.sessions()) == 2
    assert reasons(end.open_tunnel(101.0)) == [Reason.L2TP_LIMIT]


def test_what_is_over_does_not_count() -> None:
    end = endpoint(tunnels_max=1)
    for number in range(1, 20):
        peer, _ = up(end, number)
        end.receive(peer.say(StopCcn(number, ResultCode(1))), 100.0)
    assert len(end._tunnels) == len(end._requests) == ENDED_MAX


def test_a_flood_of_requests_is_bounded() -> None:
    end = endpoint()
    out = 0
    inwards = 0
    for number in range(1, 3000):
        octets = Peer().say(Sccrq(number, b"p"))
        inwards += len(octets)
        out += sum(len(m) for m in sent(end.receive(octets, 100.0)))
    assert len(end._tunnels) == 4 + ENDED_MAX
    assert out < 3 * inwards
    for _ in range(200):
        deadline = end.deadline
        if deadline is None:
            break
        end.expire(deadline.at)
    assert end.deadline is None
    assert end._tunnels == end._requests == {}


# --- ties ------------------------------------------------------------------------------------


def tie(ours: bytes | None, theirs: bytes | None) -> tuple[L2tpEndpoint, list[L2tpEffect]]:
    """Both sides sent SCCRQ; returns what came of theirs."""
    chosen = iter([b"\x00\x21", ours or b""])
    policy = L2tpPolicy(tie_breaker=ours is not None)
    later = endpoint(9)._entropy
    end = L2tpEndpoint(policy, lambda octets: next(chosen, None) or later(octets))
    end.open_tunnel(100.0)
    return end, end.receive(Peer().say(Sccrq(77, b"p", tie_breaker=theirs)), 100.1)


LOW, HIGH = bytes(7) + b"\x01", b"\x01" + bytes(7)


@pytest.mark.parametrize(("ours", "theirs"), [(LOW, HIGH), (HIGH, None)])
def test_our_tunnel_wins(ours: bytes, theirs: bytes | None) -> None:
    end, effects = tie(ours, theirs)
    assert sent(effects) == []
    assert reasons(effects) == [Reason.L2TP_REFUSED]
    assert end.deadline is not None  # SCCRQ is still on its way


@pytest.mark.parametrize(("ours", "theirs"), [(HIGH, LOW), (None, HIGH)])
def test_their_tunnel_wins(ours: bytes | None, theirs: bytes) -> None:
    _, effects = tie(ours, theirs)
    down = only(effects, TunnelDown)
    assert (down.tunnel, down.reason) == (0x21, Reason.REPLACED_SESSION)
    assert names(sent(effects)) == ["SCCRP"]


def test_equal_tie_breakers() -> None:
    end, effects = tie(LOW, LOW)
    assert only(effects, TunnelDown).tunnel == 0x21
    assert sent(effects) == []
    assert end.deadline is None


def test_without_tie_breakers_there_are_two_tunnels() -> None:
    end, effects = tie(None, None)
    assert names(sent(effects)) == ["SCCRP"]
    assert len(end._tunnels) == 2


def test_both_ends_open_at_once() -> None:
    link = Link(endpoint(1, tie_breaker=True), endpoint(2, tie_breaker=True))
    link.run("lac", link.lac.open_tunnel(link.now))
    link.run("lns", link.lns.open_tunnel(link.now))
    link.until(10)
    ups = [link.effects(side, TunnelUp) for side in ("lac", "lns")]
    assert [len(found) for found in ups] == [1, 1]
    assert ups[0][0].tunnel == ups[1][0].peer_tunnel
    assert len(link.lac._tunnels) == len(link.lns._tunnels) == 1


# --- ids, life, secrets ----------------------------------------------------------------------


def test_ids() -> None:
    taken = {5: None, 6: None}
    octets = iter([b"\0\0", b"\0\5", b"\0\6", b"\0\7"])
    assert choose_id(lambda _: next(octets), taken) == 7
    assert choose_id(lambda _: b"\0\5", taken) == 7
    assert choose_id(lambda _: b"\0\0", {1: None}) == 2
    assert choose_id(lambda _: b"\xff\xff", {0xFFFF: None}) == 1


def test_heard_puts_hello_off() -> None:
    end = endpoint(hello_seconds=60.0)
    up(end)
    end.heard(150.0)
    assert end.expire(160.0) == []
    assert end.deadline == (210.0, "hello")


def test_secrets_do_not_show() -> None:
    secret = Secret(b"very secret")
    policy = L2tpPolicy(tunnel_secret=secret)
    assert "very" not in repr(policy)
    link = connected(tunnel_secret=secret)
    assert "very" not in repr(link.told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"receive_window": 0},
        {"receive_window": 5000},
        {"hello_seconds": 0.0},
        {"tunnels_max": 0},
        {"sessions_max": 0},
    ],
)
def test_policies_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"receive_window|above 0"):
        L2tpPolicy(**wrong)  # type: ignore[arg-type]


def test_the_message_types_that_open_nothing() -> None:
    end = endpoint()
    for kind in MessageType:
        if kind not in (MessageType.SCCRQ, MessageType.STOPCCN):
            effects = end.receive(Peer().raw(raw_body(kind)), 1.0)
            assert reasons(effects) == [Reason.L2TP_UNKNOWN_TUNNEL]
    assert end._tunnels == {}


def test_an_error_in_one_tunnel_leaves_the_other() -> None:
    end = endpoint()
    first, _ = up(end, 1)
    up(end, 2)
    end.receive(first.raw(raw_body(99)), 101.0)
    assert [view.peer_tunnel for view in end.sessions()] == [2]
    assert only(end.receive(first.say(Cdn()), 102.0), SendL2tp)  # still acknowledges
    assert not [e for e in end.expire(102.0) if isinstance(e, L2tpDropped)]
