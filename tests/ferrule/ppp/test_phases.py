"""The phases of a link: every (phase, arrival) pair, time-outs, renegotiation."""

from __future__ import annotations

import pickle

import pytest

from ferrule.core.reasons import Reason
from ferrule.core.tables import Verdict
from ferrule.ppp.effects import (
    AskVerify,
    LinkDown,
    NetworkDown,
    NetworkUp,
    PppDropped,
)
from ferrule.ppp.frame import Protocol, build_frame
from ferrule.ppp.link import Link
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.phase import Arrival, Phase
from ferrule.ppp.phases import DISPATCH
from ferrule.ppp.policy import PppPolicy
from support.ppp import (
    LEASED,
    Peer,
    entropy_of,
    frame_of,
    only,
    sent,
)

LCP, IPCP, CCP, CHAP = Protocol.LCP, Protocol.IPCP, Protocol.CCP, Protocol.CHAP
ZERO = bytes(4)

NUMBERS = {
    Arrival.LCP: Protocol.LCP,
    Arrival.PAP: Protocol.PAP,
    Arrival.CHAP: Protocol.CHAP,
    Arrival.IPCP: Protocol.IPCP,
    Arrival.CCP: Protocol.CCP,
    Arrival.IP: Protocol.IP,
    Arrival.OTHER: Protocol.ACSP,
}


def peer_in(phase: Phase) -> Peer:
    peer = Peer()
    match phase:
        case Phase.DEAD:
            peer.link = Link(PppPolicy(), entropy_of(1))
        case Phase.ESTABLISH:
            pass
        case Phase.AUTHENTICATE:
            peer.open_lcp()
        case Phase.NETWORK:
            peer.connect()
        case Phase.TERMINATE:
            peer = Peer(PppPolicy(retries=0), password="wrong")
            peer.answer_all(peer.respond(sent(peer.open_lcp())[-1][1]))
        case Phase.OVER:
            peer.link.close(Reason.ADMIN_KICK, 0.0)
    assert peer.link.phase is phase
    return peer


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.name)
@pytest.mark.parametrize("arrival", list(Arrival), ids=lambda arrival: arrival.name)
def test_every_pair(phase: Phase, arrival: Arrival) -> None:
    """What is refused is dropped without a word; the rest is handled; nothing raises."""
    peer = peer_in(phase)
    effects = peer.give(frame_of(NUMBERS[arrival], 99, 1, b"data"))
    if phase is Phase.OVER:
        assert effects == []
    elif isinstance(DISPATCH.lookup(phase, arrival), Verdict):
        (dropped,) = effects
        assert isinstance(dropped, PppDropped)
        assert dropped.reason is Reason.PPP_PHASE
    else:
        assert peer.link.phase is phase
        assert not only(effects, LinkDown)


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.name)
def test_close_in_every_phase(phase: Phase) -> None:
    peer = peer_in(phase)
    effects = peer.link.close(Reason.ADMIN_KICK, 5.0)
    if phase is Phase.OVER:
        assert effects == []
        return
    assert effects[-1] == LinkDown(Reason.ADMIN_KICK, "")
    codes = [packet.code for _, packet in sent(effects)]
    assert codes == ([] if phase is Phase.DEAD else [Code.TERMINATE_REQUEST])
    assert peer.link.deadline is None
    assert peer.link.close(Reason.ADMIN_KICK, 6.0) == []
    assert peer.link.start(6.0) == []
    assert peer.link.expire(1e9) == []


@pytest.mark.parametrize(
    "phase", [Phase.ESTABLISH, Phase.AUTHENTICATE, Phase.NETWORK], ids=lambda phase: phase.name
)
def test_the_peer_may_terminate_in_every_phase(phase: Phase) -> None:
    peer = peer_in(phase)
    effects = peer.give(frame_of(LCP, Code.TERMINATE_REQUEST, 9, b"User request"))
    assert sent(effects) == [(LCP, Packet(Code.TERMINATE_ACK, 9, b""))]
    assert effects[1:] == [LinkDown(Reason.PEER_CLOSED, "User request")]
    assert peer.link.phase is Phase.OVER


def test_start_is_once() -> None:
    link = Link(PppPolicy(), entropy_of(1))
    ((protocol, request),) = sent(link.start(3.0))
    assert (protocol, request.code) == (LCP, Code.CONFIGURE_REQUEST)
    assert link.start(3.0) == []
    assert link.deadline is not None
    assert link.deadline.at == 4.0


def test_a_peer_that_never_speaks() -> None:
    link = Link(PppPolicy(lcp_seconds=30), entropy_of(1))
    requests = len(sent(link.start(0.0)))
    while link.deadline is not None:
        now = link.deadline.at
        effects = link.expire(now)
        requests += len([p for _, p in sent(effects) if p.code == Code.CONFIGURE_REQUEST])
    assert requests == 10
    assert only(effects, LinkDown) == [LinkDown(Reason.LCP_TIMEOUT, "no LCP packet came")]
    assert now == 27.0  # 1 + 2 + 8 * 3 s: the restart timer, before lcp_seconds


def test_a_peer_that_never_agrees() -> None:
    peer = Peer(PppPolicy(lcp_seconds=10))
    peer.send(LCP, Code.CONFIGURE_REQUEST)
    for second in range(1, 10):
        peer.link.expire(float(second))
    (down,) = only(peer.link.expire(10.0), LinkDown)
    assert isinstance(down, LinkDown)
    assert down.reason is Reason.LCP_NO_CONVERGENCE


def test_lcp_renegotiation_starts_everything_anew() -> None:
    peer = Peer()
    peer.connect()
    peer.now = 100.0
    effects = peer.send(LCP, Code.CONFIGURE_REQUEST, (5, b"newm"))
    assert only(effects, NetworkDown) == [NetworkDown(Reason.PPP_RENEGOTIATED)]
    assert peer.link.phase is Phase.ESTABLISH
    assert [p.code for _, p in sent(effects)] == [Code.CONFIGURE_REQUEST, Code.CONFIGURE_ACK]
    assert [type(e) for e in peer.send(IPCP, Code.CONFIGURE_REQUEST)] == [PppDropped]
    challenge = sent(peer.ack_lcp())[-1][1]
    asks = peer.answer_all(peer.respond(challenge))
    request = next(packet for protocol, packet in sent(asks) if protocol == IPCP)
    peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, request.identifier, request.data))
    (up,) = only(peer.send(IPCP, Code.CONFIGURE_REQUEST, (3, LEASED.packed)), NetworkUp)
    assert isinstance(up, NetworkUp)
    assert up.seconds == 0.0  # of this start, not of the first


def test_lcp_renegotiation_while_a_question_is_open() -> None:
    peer = Peer()
    (ask,) = peer.respond(sent(peer.open_lcp())[-1][1])
    peer.send(LCP, Code.CONFIGURE_REQUEST, (5, b"newm"))
    assert peer.answer_all([ask]) == []
    assert len(only(peer.respond(sent(peer.ack_lcp())[-1][1]), AskVerify)) == 1


def test_lcp_renegotiation_without_end_ends() -> None:
    peer = Peer()
    peer.open_lcp()
    for _ in range(100):
        effects = peer.send(LCP, Code.CONFIGURE_REQUEST)
        if only(effects, LinkDown):
            break
        peer.ack_lcp()
    (down,) = only(effects, LinkDown)
    assert isinstance(down, LinkDown)
    assert down.reason is Reason.LCP_NO_CONVERGENCE


def test_protocol_rejects_are_rationed() -> None:
    peer = Peer()
    peer.connect()
    answers = [peer.give(build_frame(Protocol.ACSP, b"\x01")) for _ in range(500)]
    assert sum(len(sent(effects)) for effects in answers) == 16
    assert all(only(effects, PppDropped) for effects in answers)


def test_a_link_is_plain_data() -> None:
    """But for `entropy`, which is given at birth: so it can be check-pointed in any state."""
    for phase in Phase:
        peer = peer_in(phase)
        link = peer.link
        link._entropy = link._lcp.options._entropy = None  # type: ignore[assignment]
        if link._auth is not None and hasattr(link._auth, "_entropy"):
            link._auth._entropy = None
        assert pickle.loads(pickle.dumps(link)).phase is phase
