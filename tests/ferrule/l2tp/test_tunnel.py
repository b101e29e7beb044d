"""The state table of a control connection, every cell of it, and what each role says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.core.tables import Row, Verdict
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
from ferrule.l2tp.messages import (
    Cdn,
    Hello,
    Iccn,
    Icrq,
    Message,
    MessageType,
    Ocrq,
    Scccn,
    Sccrp,
    Sccrq,
    Sli,
    StopCcn,
    Wen,
)
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.l2tp.result_codes import ResultCode
from ferrule.l2tp.tunnel import SETUP_SECONDS, TUNNEL_TABLE, Tunnel
from ferrule.l2tp.tunnel_states import Role, TunnelState, TunnelTrigger
from support.l2tp import Peer, entropy_of, header_of, message_of, only, raw_avp, raw_body, sent

S, T = TunnelState, TunnelTrigger
SECRET = Secret(b"tunnel secret")
REQUEST = Sccrq(77, b"peer", vendor_name=b"Maker", receive_window_size=8)
REPLY = Sccrp(77, b"peer", vendor_name=b"Maker", receive_window_size=8)


class Bench:
    """A tunnel and a peer that says what the test tells it to."""

    def __init__(self, role: Role, **policy: object) -> None:
        self.policy = L2tpPolicy(**policy)  # type: ignore[arg-type]
        self.tunnel = Tunnel(
            TunnelId(11), role, self.policy, entropy_of(5 if role is Role.LAC else 6), 100.0
        )
        self.peer = Peer(tunnel=11)
        self.effects: list[L2tpEffect] = []

    def do(self, effects: list[L2tpEffect]) -> list[str]:
        self.effects = effects
        return self.peer.take(effects)

    def say(self, message: Message, now: float = 101.0, session: int = 0) -> list[str]:
        return self.deliver(self.peer.say(message, session=session), now)

    def raw(self, body: bytes, now: float = 101.0, session: int = 0) -> list[str]:
        return self.deliver(self.peer.raw(body, session=session), now)

    def deliver(self, octets: bytes, now: float = 101.0) -> list[str]:
        return self.do(self.tunnel.receive(header_of(octets), octets[12:], now))

    def last(self, secret: Secret | None = None) -> Message:
        """The last message that was not a ZLB."""
        return message_of([m for m in sent(self.effects) if len(m) > 12][-1], secret)


def lns(**policy: object) -> Bench:
    bench = Bench(Role.LNS, **policy)
    assert bench.say(REQUEST, 100.0) == ["SCCRP"]
    return bench


def up(role: Role = Role.LNS, **policy: object) -> Bench:
    """An established tunnel without calls; the last message of ours is acknowledged."""
    if role is Role.LNS:
        bench = lns(**policy)
        assert bench.say(Scccn()) == ["ZLB"]
    else:
        bench = Bench(Role.LAC, **policy)
        bench.do(bench.tunnel.open(100.0))
        assert bench.say(REPLY, 100.5) == ["SCCCN"]
        bench.deliver(bench.peer.zlb())
    return bench


def in_state(state: TunnelState) -> Bench:
    makers: dict[TunnelState, Callable[[], Bench]] = {
        S.IDLE: lambda: Bench(Role.LNS),
        S.WAIT_CTL_CONN: lns,
        S.ESTABLISHED: up,
    }
    if state in makers:
        return makers[state]()
    if state is S.WAIT_CTL_REPLY:
        bench = Bench(Role.LAC)
        bench.do(bench.tunnel.open(100.0))
        return bench
    bench = up()
    if state is S.LINGERING:
        bench.say(StopCcn(77, ResultCode(1)))
        return bench
    bench.do(bench.tunnel.close(Reason.ADMIN_KICK, "", 102.0))
    bench.peer.nr -= 1  # it does not acknowledge our StopCCN
    if state is S.GONE:
        bench.tunnel.replace("", 102.0)
    return bench


MESSAGES: dict[TunnelTrigger, Message] = {
    T.SCCRQ: REQUEST,
    T.SCCRP: REPLY,
    T.SCCCN: Scccn(),
    T.STOPCCN: StopCcn(77, ResultCode(6, 0, "bye")),
    T.HELLO: Hello(),
    T.CALL: Icrq(9),
}


def pull(bench: Bench, trigger: TunnelTrigger, now: float = 103.0) -> None:
    tunnel = bench.tunnel
    if trigger in MESSAGES:
        bench.say(MESSAGES[trigger], now)
    elif trigger is T.FAULT:
        bench.raw(raw_body(MessageType.HELLO, raw_avp(99, b"")), now)
    elif trigger is T.OPEN:
        bench.do(tunnel.open(now))
    elif trigger is T.CLOSE:
        bench.do(tunnel.close(Reason.SERVER_SHUTDOWN, "why", now))
    elif trigger is T.REPLACED:
        bench.do(tunnel.replace("anew", now))
    else:
        bench.do(tunnel._run(trigger, None, now))


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("trigger", list(T))
def test_every_cell(state: TunnelState, trigger: TunnelTrigger) -> None:
    bench = in_state(state)
    assert bench.tunnel.state is state
    live = bench.tunnel.live
    cell = TUNNEL_TABLE.lookup(state, trigger)
    pull(bench, trigger)
    after = bench.tunnel.state
    told = [effect for effect in bench.effects if not isinstance(effect, SendL2tp)]
    if cell is Verdict.IGNORED:
        assert told == []
        assert after is state
    elif isinstance(cell, Verdict):
        assert [e.reason for e in told if isinstance(e, L2tpDropped)] == [Reason.L2TP_UNEXPECTED]
        assert len(told) == 1
        assert after is state
    else:
        assert isinstance(cell, Row)
        assert cell.next in (None, after)
        downs = [effect for effect in told if isinstance(effect, TunnelDown)]
        assert bool(downs) == (live and not bench.tunnel.live)
        assert len(downs) <= 1
    if after is S.GONE:
        assert bench.tunnel.deadline is None
    elif after is not S.IDLE:
        assert bench.tunnel.deadline is not None


# --- set-up ----------------------------------------------------------------------------------


def test_lns() -> None:
    bench = lns(host_name="gw", vendor="Ferrule", receive_window=20)
    reply = bench.last()
    assert isinstance(reply, Sccrp)
    assert (reply.assigned_tunnel_id, reply.host_name, reply.vendor_name) == (
        11,
        b"gw",
        b"Ferrule",
    )
    assert (reply.receive_window_size, reply.framing_capabilities) == (20, 3)
    assert reply.challenge is reply.challenge_response is None
    assert header_of(sent(bench.effects)[0]) == (77, 0, 0, 1)
    assert bench.say(Scccn(), 100.5) == ["ZLB"]
    assert bench.effects[0] == TunnelUp(TunnelId(11), TunnelId(77), "peer", "Maker", 0.5)
    assert bench.tunnel.channel.peer_window == 8


def test_lac() -> None:
    bench = Bench(Role.LAC)
    assert bench.do(bench.tunnel.open(100.0)) == ["SCCRQ"]
    request = bench.last()
    assert isinstance(request, Sccrq)
    assert request.assigned_tunnel_id == 11
    assert request.tie_breaker is request.challenge is None
    assert header_of(sent(bench.effects)[0]) == (0, 0, 0, 0)
    assert bench.say(REPLY, 100.25) == ["SCCCN"]  # which carries the acknowledgement
    assert header_of(sent(bench.effects)[0]) == (77, 0, 1, 1)
    found = only(bench.effects, TunnelUp)
    assert found == TunnelUp(TunnelId(11), TunnelId(77), "peer", "Maker", 0.25)


def test_nothing_in_a_set_up_waits() -> None:
    """Every message is answered by the receive call that brought it."""
    bench = Bench(Role.LNS)
    assert bench.say(REQUEST) == ["SCCRP"]
    assert bench.say(Scccn()) == ["ZLB"]
    assert bench.say(Icrq(9)) == ["ICRP"]
    assert header_of(sent(bench.effects)[0])[:2] == (77, 9)
    reply = only(bench.effects, SendL2tp).message
    session = message_of(reply).assigned_session_id  # type: ignore[union-attr]
    assert bench.say(Iccn(), session=session) == ["ZLB"]
    assert only(bench.effects, SessionUp).peer_session == 9


def test_a_burst_is_answered_in_order() -> None:
    """SCCCN and ICRQ on the heels of SCCRQ, and re-ordered: both answered by one call."""
    bench = lns()
    late = bench.peer.say(Scccn())
    assert bench.say(Icrq(9), session=0) == []
    assert bench.deliver(late) == ["ICRP"]
    assert isinstance(bench.effects[0], TunnelUp)


def test_names_are_cut_to_fit() -> None:
    bench = Bench(Role.LNS, host_name="h" * 5000, vendor="\N{SNOWMAN}" * 900)
    assert bench.say(Sccrq(77, b"\x00\x07" + b"p" * 900)) == ["SCCRP"]
    assert bench.tunnel.peer_host_name.startswith("??p")
    assert len(bench.tunnel.peer_host_name) == 64


@pytest.mark.parametrize(
    ("request_", "reason", "result"),
    [
        (Sccrq(77, b"p", protocol_version=0x0200), Reason.L2TP_VERSION, (5, 0x0100)),
        (Sccrq(77, b"p", challenge=b"c"), Reason.L2TP_TUNNEL_AUTH, (4, 0)),
    ],
)
def test_refused_requests(request_: Sccrq, reason: Reason, result: tuple[int, int]) -> None:
    bench = Bench(Role.LNS)
    assert bench.say(request_) == ["STOPCCN"]
    stop = bench.last()
    assert isinstance(stop, StopCcn)
    assert stop.assigned_tunnel_id == 11
    assert stop.result_code is not None
    assert (stop.result_code.result, stop.result_code.error) == result
    assert header_of(sent(bench.effects)[0]).tunnel == 77
    assert only(bench.effects, TunnelDown).reason is reason
    bench.deliver(bench.peer.zlb(), 110.0)
    assert bench.tunnel.state is S.LINGERING


def test_another_revision_is_welcome() -> None:
    assert Bench(Role.LNS).say(Sccrq(77, b"p", protocol_version=0x0101)) == ["SCCRP"]


def test_version_of_the_reply() -> None:
    bench = in_state(S.WAIT_CTL_REPLY)
    assert bench.say(Sccrp(77, b"p", protocol_version=0x0300)) == ["STOPCCN"]
    assert only(bench.effects, TunnelDown).reason is Reason.L2TP_VERSION
    assert header_of(sent(bench.effects)[0]).tunnel == 77


# --- tunnel authentication -------------------------------------------------------------------


def test_both_sides_prove_themselves() -> None:
    lac = Bench(Role.LAC, tunnel_secret=SECRET)
    lac.do(lac.tunnel.open(100.0))
    request = lac.last()
    other = Bench(Role.LNS, tunnel_secret=SECRET)
    assert other.say(request) == ["SCCRP"]
    reply = other.last()
    assert isinstance(request, Sccrq)
    assert isinstance(reply, Sccrp)
    assert reply.challenge is not None
    assert request.challenge not in (None, reply.challenge)
    assert lac.say(reply) == ["SCCCN"]
    assert only(lac.effects, TunnelUp)
    assert other.say(lac.last()) == ["ZLB"]
    assert only(other.effects, TunnelUp)


def test_response_of_rfc_1994() -> None:
    """MD5(2 | secret | challenge), computed with coreutils' md5sum."""
    bench = Bench(Role.LNS, tunnel_secret=Secret(b"secret"))
    bench.say(Sccrq(77, b"p", challenge=b"\x00\x01\x02\x03"))
    reply = bench.last()
    assert isinstance(reply, Sccrp)
    assert reply.challenge_response is not None
    assert reply.challenge_response.hex() == "d02992ae13d7c7aaab3ea3cfe3936e97"


@pytest.mark.parametrize("response", [None, bytes(16)])
def test_a_lac_that_does_not_know_the_secret(response: bytes | None) -> None:
    bench = lns(tunnel_secret=SECRET)
    assert bench.say(Scccn(response)) == ["STOPCCN"]
    assert only(bench.effects, TunnelDown).reason is Reason.L2TP_TUNNEL_AUTH
    stop = bench.last()
    assert isinstance(stop, StopCcn)
    assert stop.result_code is not None
    assert stop.result_code.result == 4
    assert "secret" not in only(bench.effects, TunnelDown).detail.replace("tunnel secrets", "")


@pytest.mark.parametrize("response", [None, bytes(16)])
def test_an_lns_that_does_not_know_the_secret(response: bytes | None) -> None:
    bench = Bench(Role.LAC, tunnel_secret=SECRET)
    bench.do(bench.tunnel.open(100.0))
    reply = Sccrp(77, b"p", challenge_response=response)
    assert bench.say(reply) == ["STOPCCN"]
    assert only(bench.effects, TunnelDown).reason is Reason.L2TP_TUNNEL_AUTH


def test_a_response_does_not_serve_in_another_message() -> None:
    """The message type is part of it: SCCRP's answer is no answer in SCCCN."""
    bench = lns(tunnel_secret=SECRET)
    ours = bench.last()
    assert isinstance(ours, Sccrp)
    mirror = Bench(Role.LNS, tunnel_secret=SECRET)
    mirror.say(Sccrq(78, b"m", challenge=ours.challenge))
    stolen = mirror.last()
    assert isinstance(stolen, Sccrp)
    assert bench.say(Scccn(stolen.challenge_response)) == ["STOPCCN"]


# --- calls -----------------------------------------------------------------------------------


def call(bench: Bench, peer_session: int = 9) -> int:
    """A connected call; returns our id of it."""
    assert bench.say(Icrq(peer_session)) == ["ICRP"]
    reply = bench.last()
    session: int = reply.assigned_session_id  # type: ignore[union-attr, assignment]
    assert bench.say(Iccn(), session=session) == ["ZLB"]
    return session


def refused_call(bench: Bench) -> tuple[int, int | None]:
    """Result and error of the CDN that was sent last."""
    goodbye = bench.last()
    assert isinstance(goodbye, Cdn)
    assert goodbye.result_code is not None
    return goodbye.result_code.result, goodbye.result_code.error


def test_dial_out_is_refused() -> None:
    bench = up()
    assert bench.say(Ocrq(9)) == ["CDN"]
    assert header_of(sent(bench.effects)[0]).session == 9
    assert refused_call(bench) == (5, 0)
    assert only(bench.effects, L2tpDropped).reason is Reason.L2TP_DIAL_OUT
    assert bench.tunnel.state is S.ESTABLISHED


def test_a_call_to_a_lac_is_refused() -> None:
    bench = up(Role.LAC)
    assert bench.say(Icrq(9)) == ["CDN"]
    assert only(bench.effects, L2tpDropped).reason is Reason.L2TP_UNEXPECTED


def test_more_calls_than_allowed() -> None:
    bench = up(sessions_max=2)
    call(bench, 1)
    first = call(bench, 2)
    assert bench.say(Icrq(3)) == ["CDN"]
    assert refused_call(bench) == (4, 0)
    assert only(bench.effects, L2tpDropped).reason is Reason.L2TP_LIMIT
    assert bench.say(Cdn(ResultCode(1), 2), session=first) == ["ZLB"]
    call(bench, 4)


def test_an_unknown_mandatory_avp_closes_what_it_belongs_to() -> None:
    bench = up()
    session = call(bench)
    bad = raw_avp(99, b"")
    # of a call that is not taken yet: that call
    assert bench.raw(raw_body(MessageType.ICRQ, raw_avp(14, b"\0\x08"), bad)) == ["CDN"]
    assert refused_call(bench) == (2, 8)
    assert header_of(sent(bench.effects)[0]).session == 8
    # of a call: the call
    assert bench.raw(raw_body(MessageType.SLI, bad), session=session) == ["CDN"]
    assert refused_call(bench) == (2, 8)
    assert only(bench.effects, SessionDown).reason is Reason.L2TP_MANDATORY_AVP
    assert bench.tunnel.state is S.ESTABLISHED
    # of the tunnel: the tunnel
    assert bench.raw(raw_body(MessageType.HELLO, bad)) == ["STOPCCN"]
    stop = bench.last()
    assert isinstance(stop, StopCcn)
    assert stop.result_code is not None
    assert (stop.result_code.result, stop.result_code.error) == (2, 8)
    assert only(bench.effects, TunnelDown).reason is Reason.L2TP_MANDATORY_AVP


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (raw_body(99), Reason.L2TP_MANDATORY_AVP),
        (b"\x80", Reason.L2TP_MALFORMED),
        (raw_avp(7, b"x"), Reason.L2TP_MALFORMED),
        (raw_body(MessageType.HELLO) + b"\x80", Reason.L2TP_MALFORMED),
        (raw_body(MessageType.ICRQ), Reason.L2TP_MISSING_AVP),  # a call that cannot be named
    ],
)
def test_messages_that_close_the_tunnel(body: bytes, reason: Reason) -> None:
    bench = up()
    call(bench)
    assert bench.raw(body) == ["STOPCCN"]
    assert only(bench.effects, SessionDown).reason is reason
    assert only(bench.effects, TunnelDown).reason is reason


def test_an_unknown_message_without_m_bit_is_ignored() -> None:
    bench = up()
    assert bench.raw(raw_body(99, m=False)) == ["ZLB"]
    assert bench.tunnel.state is S.ESTABLISHED


@pytest.mark.parametrize("message", [Wen(), Sli()])
def test_news_of_a_call(message: Message) -> None:
    bench = up()
    session = call(bench)
    assert bench.say(message, session=session) == ["ZLB"]
    assert [e for e in bench.effects if not isinstance(e, SendL2tp)] == []


@pytest.mark.parametrize("message", [Wen(), Iccn(), Cdn(ResultCode(1), 3)])
def test_messages_for_no_call(message: Message) -> None:
    bench = up()
    assert bench.say(message, session=3) == ["ZLB"]
    assert only(bench.effects, L2tpDropped).reason is Reason.L2TP_UNKNOWN_SESSION


def test_a_goodbye_with_a_fault_is_a_goodbye() -> None:
    bench = up()
    session = call(bench)
    body = raw_body(MessageType.CDN, raw_avp(1, b"\0\x03"), raw_avp(99, b""))
    assert bench.raw(body, session=session) == ["ZLB"]
    down = only(bench.effects, SessionDown)
    assert (down.reason, down.detail) == (Reason.PEER_CLOSED, "CDN result 3 (administrative)")
    assert bench.raw(raw_body(MessageType.STOPCCN, raw_avp(99, b""))) == ["ZLB"]
    assert only(bench.effects, TunnelDown).detail == "StopCCN without a result code"


def test_a_peer_that_gives_up_before_it_knows_our_session_id() -> None:
    bench = up()
    assert bench.say(Icrq(9)) == ["ICRP"]
    assert bench.say(Cdn(ResultCode(2, 6), 9), session=0) == ["ZLB"]
    assert only(bench.effects, SessionDown).reason is Reason.PEER_CLOSED


def test_a_session_id_that_the_peer_uses_again() -> None:
    bench = up()
    former = call(bench)
    assert bench.say(Icrq(9)) == ["ICRP"]
    down = only(bench.effects, SessionDown)
    assert (down.session, down.reason) == (former, Reason.REPLACED_SESSION)
    assert len(bench.tunnel.calls.sessions) == 1


def test_teardown_as_clients_do_it() -> None:
    bench = up()
    session = call(bench)
    bench.say(Sli(), session=session)
    assert bench.say(Cdn(ResultCode(1), 9), session=session) == ["ZLB"]
    assert only(bench.effects, SessionDown).reason is Reason.PEER_CLOSED
    assert bench.say(StopCcn(77, ResultCode(1))) == ["ZLB"]
    assert only(bench.effects, TunnelDown).reason is Reason.PEER_CLOSED


def test_the_last_call_takes_the_tunnel_along() -> None:
    bench = up()
    first, second = call(bench, 1), call(bench, 2)
    effects = bench.tunnel.close_session(SessionId(first), Reason.ADMIN_KICK, 103.0)
    assert bench.do(effects) == ["CDN"]
    effects = bench.tunnel.close_session(SessionId(second), Reason.ADMIN_KICK, 103.0)
    assert bench.do(effects) == ["CDN", "STOPCCN"]
    downs = [e for e in effects if isinstance(e, SessionDown | TunnelDown)]
    assert [type(e) for e in downs] == [SessionDown, TunnelDown]
    missing = bench.tunnel.close_session(SessionId(second), Reason.ADMIN_KICK, 103.0)
    assert only(missing, L2tpDropped).reason is Reason.L2TP_UNKNOWN_SESSION


def test_calls_of_a_lac() -> None:
    bench = up(Role.LAC, sessions_max=1)
    assert bench.do(bench.tunnel.open_session(102.0)) == ["ICRQ"]
    request = bench.last()
    assert isinstance(request, Icrq)
    assert request.call_serial_number == 1
    assert only(bench.tunnel.open_session(102.0), L2tpDropped).reason is Reason.L2TP_LIMIT
    waiting = in_state(S.WAIT_CTL_REPLY).tunnel.open_session(102.0)
    assert only(waiting, L2tpDropped).reason is Reason.L2TP_UNEXPECTED
    as_lns = up().tunnel.open_session(102.0)
    assert only(as_lns, L2tpDropped).reason is Reason.L2TP_UNEXPECTED


# --- the end ---------------------------------------------------------------------------------


def test_close_says_goodbye_to_each() -> None:
    bench = up()
    for peer_session in (1, 2):
        call(bench, peer_session)
    bench.do(bench.tunnel.close(Reason.SERVER_SHUTDOWN, "", 103.0))
    said = sent(bench.effects)
    while len(said) < 3:  # the window opens as the peer acknowledges
        bench.deliver(bench.peer.zlb(), 103.1)
        said += sent(bench.effects)
    assert [type(message_of(m)) for m in said] == [Cdn, Cdn, StopCcn]
    stop = message_of(said[-1])
    assert isinstance(stop, StopCcn)
    assert stop.result_code is not None
    assert stop.result_code.result == 6  # is being shut down


@pytest.mark.parametrize(
    ("state", "result", "reason"),
    [
        (S.WAIT_CTL_REPLY, 1, Reason.L2TP_REFUSED),
        (S.WAIT_CTL_REPLY, 2, Reason.L2TP_REFUSED),
        (S.WAIT_CTL_REPLY, 4, Reason.L2TP_TUNNEL_AUTH),
        (S.WAIT_CTL_CONN, 1, Reason.PEER_CLOSED),
        (S.WAIT_CTL_CONN, 2, Reason.L2TP_REFUSED),
        (S.WAIT_CTL_CONN, 4, Reason.L2TP_TUNNEL_AUTH),
        (S.ESTABLISHED, 6, Reason.PEER_CLOSED),
    ],
)
def test_goodbye_of_the_peer(state: TunnelState, result: int, reason: Reason) -> None:
    bench = in_state(state)
    assert bench.say(StopCcn(77, ResultCode(result, 0, "text"))) == ["ZLB"]
    assert header_of(sent(bench.effects)[-1]).tunnel == 77  # known from StopCCN if not before
    down = only(bench.effects, TunnelDown)
    assert down.reason is reason
    assert down.detail.startswith(f"StopCCN result {result} ")
    assert down.detail.endswith(": text")


def test_a_late_duplicate_of_the_goodbye_is_acknowledged_for_a_full_cycle() -> None:
    bench = up()
    goodbye = bench.peer.say(StopCcn(77, ResultCode(1)))
    assert bench.deliver(goodbye, 200.0) == ["ZLB"]
    deadline = bench.tunnel.deadline
    assert deadline is not None
    assert deadline.at == 200.0 + CYCLE_SECONDS
    for now in (201.0, 203.0, 207.0, 215.0, 223.0):
        assert bench.deliver(goodbye, now) == ["ZLB"]
        assert only(bench.effects, L2tpDropped).reason is Reason.L2TP_WINDOW
    assert bench.tunnel.expire(200.0 + CYCLE_SECONDS) == []
    assert bench.tunnel.state is S.GONE


def test_our_goodbye_is_repeated_until_it_is_acknowledged() -> None:
    bench = up()
    bench.do(bench.tunnel.close(Reason.ADMIN_KICK, "", 200.0))
    assert only(bench.effects, TunnelDown).reason is Reason.ADMIN_KICK
    for now in (201.0, 203.0):
        assert bench.do(bench.tunnel.expire(now)) == ["STOPCCN"]
    bench.deliver(bench.peer.zlb(), 204.0)
    assert bench.effects == []
    assert bench.tunnel.state is S.LINGERING


def test_our_goodbye_that_nobody_hears_ends() -> None:
    bench = up()
    bench.do(bench.tunnel.close(Reason.ADMIN_KICK, "", 200.0))
    repeated = 0
    while (deadline := bench.tunnel.deadline) is not None:
        repeated += len(bench.do(bench.tunnel.expire(deadline.at)))
        assert [e for e in bench.effects if not isinstance(e, SendL2tp)] == []
    assert repeated == 5
    assert bench.tunnel.state is S.GONE


def test_a_peer_that_goes_silent() -> None:
    bench = up()
    call(bench)
    assert bench.say(Icrq(10)) == ["ICRP"]  # never acknowledged
    told: list[L2tpEffect] = []
    while (deadline := bench.tunnel.deadline) is not None:
        told += bench.tunnel.expire(deadline.at)
    assert deadline is None
    downs = [e for e in told if isinstance(e, SessionDown | TunnelDown)]
    assert [e.reason for e in downs] == [Reason.L2TP_TIMEOUT] * 3
    assert isinstance(downs[-1], TunnelDown)


@pytest.mark.parametrize("state", [S.WAIT_CTL_CONN, S.WAIT_CTL_REPLY])
def test_a_set_up_that_stops_half_way(state: TunnelState) -> None:
    """The peer acknowledges, and says nothing more."""
    bench = in_state(state)
    bench.deliver(bench.peer.zlb(), 100.1)
    deadline = bench.tunnel.deadline
    assert deadline == (100.0 + SETUP_SECONDS, "tunnel set-up")
    assert bench.do(bench.tunnel.expire(deadline.at)) == ["STOPCCN"]
    assert only(bench.effects, TunnelDown).reason is Reason.L2TP_TIMEOUT


# --- Hello -----------------------------------------------------------------------------------


def test_hello_after_silence() -> None:
    bench = up(hello_seconds=60.0)
    assert bench.tunnel.deadline == (161.0, "hello")
    assert bench.do(bench.tunnel.expire(161.0)) == ["HELLO"]
    bench.deliver(bench.peer.zlb(), 161.1)
    assert bench.tunnel.deadline is not None
    assert bench.tunnel.deadline.name == "hello"


def test_any_sign_of_life_puts_hello_off() -> None:
    bench = up(hello_seconds=60.0)
    bench.tunnel.heard_at = 150.0
    assert bench.do(bench.tunnel.expire(161.0)) == []
    assert bench.tunnel.deadline == (210.0, "hello")


def test_hello_of_the_peer_is_acknowledged() -> None:
    assert up().say(Hello()) == ["ZLB"]


def test_a_peer_that_ignores_hello_and_is_silent_is_dead() -> None:
    bench = up(hello_seconds=60.0)
    bench.do(bench.tunnel.expire(161.0))
    for now in (162.0, 164.0, 168.0, 176.0, 184.0):
        assert bench.do(bench.tunnel.expire(now)) == ["HELLO"]
    bench.do(bench.tunnel.expire(192.0))
    assert only(bench.effects, TunnelDown).reason is Reason.L2TP_TIMEOUT


def test_a_peer_that_ignores_hello_but_sends_data_lives() -> None:
    """QUIRK(android)."""
    bench = up(hello_seconds=60.0)
    session = call(bench)
    now = 101.0
    for _ in range(500):
        deadline = bench.tunnel.deadline
        assert deadline is not None
        now = deadline.at
        if int(now) % 3:
            bench.tunnel.heard_at = now - 0.5
        bench.do(bench.tunnel.expire(now))
        assert not [e for e in bench.effects if isinstance(e, TunnelDown)]
    assert now > 1000
    # It still hears our goodbye, though the Hello before it was never acknowledged.
    effects = bench.tunnel.close_session(SessionId(session), Reason.ADMIN_KICK, now)
    assert [type(message_of(m)) for m in sent(effects)] == [Cdn, StopCcn]


def test_hello_waits_while_something_else_is_unacknowledged() -> None:
    bench = up(hello_seconds=0.5)
    bench.say(Icrq(9), 101.0)  # ICRP is in flight
    assert bench.do(bench.tunnel.expire(101.6)) == []


# --- hidden AVPs -----------------------------------------------------------------------------


def test_hidden_avps_both_ways() -> None:
    lac = Bench(Role.LAC, tunnel_secret=SECRET, hide_avps=True)
    other = Bench(Role.LNS, tunnel_secret=SECRET, hide_avps=True)
    lac.do(lac.tunnel.open(100.0))
    (octets,) = sent(lac.effects)
    assert other.deliver(octets) == ["SCCRP"]
    (octets,) = sent(other.effects)
    assert lac.deliver(octets) == ["SCCCN"]
    (octets,) = sent(lac.effects)
    assert other.deliver(octets) == ["ZLB"]
    assert only(other.effects, TunnelUp).peer_tunnel == 11


def test_hidden_with_another_secret() -> None:
    lac = Bench(Role.LAC, tunnel_secret=Secret(b"another"), hide_avps=True)
    lac.do(lac.tunnel.open(100.0))
    other = Bench(Role.LNS, tunnel_secret=SECRET)
    assert other.deliver(sent(lac.effects)[0]) == ["STOPCCN"]
    assert only(other.effects, TunnelDown).reason is Reason.L2TP_HIDDEN_AVP
