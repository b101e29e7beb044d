"""The state table of a call, every cell of it."""

from __future__ import annotations

import pytest

from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, Verdict
from ferrule.l2tp.avp import AvpFault
from ferrule.l2tp.effects import L2tpDropped, SessionDown, SessionUp
from ferrule.l2tp.messages import (
    Cdn,
    Iccn,
    Icrp,
    Icrq,
    Message,
    MessageType,
    Occn,
    Ocrp,
    Ocrq,
    Sli,
    Wen,
)
from ferrule.l2tp.result_codes import Closes, ResultCode, code_for
from ferrule.l2tp.session import (
    SESSION_TABLE,
    SETUP_SECONDS,
    TRIGGERS,
    Say,
    Session,
    SessionOutput,
    SessionState,
    SessionTrigger,
)

S, T = SessionState, SessionTrigger
FAULT = AvpFault(Reason.L2TP_MANDATORY_AVP, "unknown AVP 99 of vendor 0")
MESSAGES: dict[SessionTrigger, list[tuple[MessageType, Message | AvpFault]]] = {
    T.ICRQ: [(MessageType.ICRQ, Icrq(9))],
    T.ICRP: [(MessageType.ICRP, Icrp(9))],
    T.ICCN: [(MessageType.ICCN, Iccn())],
    T.CDN: [(MessageType.CDN, Cdn())],
    T.OUTGOING: [
        (MessageType.OCRQ, Ocrq(9)),
        (MessageType.OCRP, Ocrp()),
        (MessageType.OCCN, Occn()),
    ],
    T.NEWS: [(MessageType.WEN, Wen()), (MessageType.SLI, Sli())],
    T.FAULT: [(MessageType.ICCN, FAULT)],
}


def session(state: SessionState) -> Session:
    """A session that came to `state` in the usual way."""
    made = Session(TunnelId(1), SessionId(2), TunnelId(3), 4, since=100.0)
    if state in (S.WAIT_REPLY, S.CLEARED):
        made.open(100.0)
    if state in (S.WAIT_CONNECT, S.ESTABLISHED):
        made.receive(MessageType.ICRQ, Icrq(9), 100.0)
    if state is S.ESTABLISHED:
        made.receive(MessageType.ICCN, Iccn(), 101.0)
    if state is S.CLEARED:
        made.close(Reason.ADMIN_KICK, "", 101.0)
    assert made.state is state
    return made


def pull(made: Session, trigger: SessionTrigger, now: float = 102.0) -> list[SessionOutput]:
    if trigger is T.OPEN:
        return made.open(now)
    if trigger is T.CLOSE:
        return made.close(Reason.ADMIN_KICK, "why", now)
    if trigger is T.TUNNEL_DOWN:
        return made.lose_tunnel(Reason.L2TP_TIMEOUT, "gone", now)
    if trigger is T.SETUP_OVER:
        made.setup_until = now
        return made.expire(now)
    return made.receive(*MESSAGES[trigger][0], now)


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("trigger", list(T))
def test_every_cell(state: SessionState, trigger: SessionTrigger) -> None:
    made = session(state)
    cell = SESSION_TABLE.lookup(state, trigger)
    outputs = pull(made, trigger)
    if cell is Verdict.IGNORED:
        assert outputs == []
        assert made.state is state
    elif isinstance(cell, Verdict):
        assert [o.reason for o in outputs if isinstance(o, L2tpDropped)] == [Reason.L2TP_UNEXPECTED]
        assert len(outputs) == 1
        assert made.state is state
    else:
        assert isinstance(cell, Row)
        assert made.state is cell.next
        downs = [o for o in outputs if isinstance(o, SessionDown)]
        assert bool(downs) == (made.state is S.CLEARED)
        if made.state in (S.ESTABLISHED, S.CLEARED):
            assert made.deadline is None


def test_every_session_message_has_a_trigger() -> None:
    triggers = {kind: trigger for trigger, all_ in MESSAGES.items() for kind, _ in all_}
    del triggers[MessageType.ICCN]
    assert triggers | {MessageType.ICCN: T.ICCN} == TRIGGERS


@pytest.mark.parametrize(("kind", "message"), MESSAGES[T.NEWS])
def test_news_is_ignored(kind: MessageType, message: Message) -> None:
    assert session(S.ESTABLISHED).receive(kind, message, 1.0) == []


@pytest.mark.parametrize(("kind", "message"), MESSAGES[T.OUTGOING])
def test_outgoing_calls_end_the_session(kind: MessageType, message: Message) -> None:
    said, down = session(S.ESTABLISHED).receive(kind, message, 1.0)
    assert isinstance(said, Say)
    assert isinstance(down, SessionDown)
    assert down.reason is Reason.L2TP_UNEXPECTED


def test_lns() -> None:
    made = Session(TunnelId(1), SessionId(2), TunnelId(3), 0, since=100.0)
    assert made.receive(MessageType.ICRQ, Icrq(9), 100.0) == [Say(9, Icrp(2))]
    assert made.deadline is not None
    assert made.deadline.at == 100.0 + SETUP_SECONDS
    up = made.receive(MessageType.ICCN, Iccn(sequencing_required=True), 100.5)
    assert up == [SessionUp(TunnelId(1), SessionId(2), TunnelId(3), SessionId(9), True, 0.5)]


@pytest.mark.parametrize("wants", [False, True])
def test_lac(wants: bool) -> None:
    made = Session(TunnelId(1), SessionId(2), TunnelId(3), 41, since=100.0, wants_sequencing=wants)
    assert made.open(100.0) == [Say(0, Icrq(2, 41))]
    connected, up = made.receive(MessageType.ICRP, Icrp(9), 100.25)
    assert isinstance(connected, Say)
    assert connected.session == 9
    assert connected.message == Iccn(100_000_000, 1, sequencing_required=wants)
    assert up == SessionUp(TunnelId(1), SessionId(2), TunnelId(3), SessionId(9), wants, 0.25)


def test_goodbye_of_ours() -> None:
    said, down = session(S.ESTABLISHED).close(Reason.IDLE_TIMEOUT, "", 1.0)
    code = code_for(Closes.SESSION, Reason.IDLE_TIMEOUT)
    assert said == Say(9, Cdn(code, 2))
    assert isinstance(down, SessionDown)
    assert down.reason is Reason.IDLE_TIMEOUT
    assert down.detail == (
        "we sent CDN result 3 (administrative) error 0: no traffic for ppp.idleTimeout"
    )


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (S.WAIT_REPLY, Reason.L2TP_REFUSED),
        (S.WAIT_CONNECT, Reason.PEER_CLOSED),
        (S.ESTABLISHED, Reason.PEER_CLOSED),
    ],
)
def test_goodbye_of_the_peer(state: SessionState, reason: Reason) -> None:
    goodbye = Cdn(ResultCode(3, 0, "message"), 9, b"\0\x10\xc2\x23\x01")
    (down,) = session(state).receive(MessageType.CDN, goodbye, 1.0)
    assert isinstance(down, SessionDown)
    assert down.reason is reason
    assert down.detail == (
        "CDN result 3 (administrative) error 0: message; PPP cause 16 (authentication failed)"
    )


def test_a_call_that_is_not_connected_in_time() -> None:
    made = session(S.WAIT_CONNECT)
    assert made.expire(100.0 + SETUP_SECONDS - 0.1) == []
    said, down = made.expire(100.0 + SETUP_SECONDS)
    assert isinstance(said, Say)
    assert isinstance(said.message, Cdn)
    assert said.message.result_code is not None
    assert said.message.result_code.result == 10  # not established in the time allotted
    assert isinstance(down, SessionDown)
    assert down.reason is Reason.L2TP_TIMEOUT


def test_before_the_reply_our_goodbye_names_our_id() -> None:
    said, _ = session(S.WAIT_REPLY).close(Reason.ADMIN_KICK, "", 1.0)
    assert isinstance(said, Say)
    assert said.session == 0
    assert isinstance(said.message, Cdn)
    assert said.message.assigned_session_id == 2
