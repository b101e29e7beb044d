"""The phases of a link: every (phase, arrival) pair, and real clients' conversations."""

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
    PeerIdentified,
    PppDropped,
)
from ferrule.ppp.frame import Protocol, build_frame
from ferrule.ppp.link import Link
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.phases import DISPATCH, Arrival, Phase
from ferrule.ppp.policy import PppPolicy
from support.ppp import (
    LEASED,
    LOCAL,
    Peer,
    entropy_of,
    frame_of,
    make_line,
    only,
    options_frame,
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


def test_an_empty_configure_request_is_fine() -> None:
    assert len(only(Peer().connect(), NetworkUp)) == 1


@pytest.mark.parametrize("header", [b"\xff\x03\xc0\x21", b"\xc0\x21"])
def test_frames_with_and_without_address_and_control(header: bytes) -> None:
    peer = Peer()
    packet = options_frame(LCP, Code.CONFIGURE_REQUEST, 1)[4:]
    assert len(sent(peer.give(header + packet))) == 1


def test_the_mru_is_the_smaller_one() -> None:
    for asked, limit, mru in ((1400, 1300, 1300), (1200, 1300, 1200), (None, 1300, 1300)):
        peer = Peer(PppPolicy(mtu_max=limit))
        options = [] if asked is None else [(1, asked.to_bytes(2))]
        challenge = sent(peer.open_lcp(*options))[-1][1]
        asks = peer.answer_all(peer.respond(challenge))
        request = next(packet for protocol, packet in sent(asks) if protocol == IPCP)
        peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, request.identifier, request.data))
        (up,) = only(peer.send(IPCP, Code.CONFIGURE_REQUEST, (3, LEASED.packed)), NetworkUp)
        assert isinstance(up, NetworkUp)
        assert up.mru == mru


@pytest.mark.parametrize("allowed", [False, True])
def test_header_compression_is_used_only_when_allowed(allowed: bool) -> None:
    peer = Peer(PppPolicy(compress_header=allowed))
    challenge = sent(peer.open_lcp((7, b""), (8, b"")))[-1][1]
    asks = peer.answer_all(peer.respond(challenge))
    request = next(packet for protocol, packet in sent(asks) if protocol == IPCP)
    peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, request.identifier, request.data))
    (up,) = only(peer.send(IPCP, Code.CONFIGURE_REQUEST, (3, LEASED.packed)), NetworkUp)
    assert isinstance(up, NetworkUp)
    assert (up.compress_protocol, up.compress_address) == (allowed, allowed)


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


# --- conversations of real clients ------------------------------------------------------------


def test_windows() -> None:
    """Callback, MRRU and endpoint discriminator; Identification; CCP, IPV6CP and IPCP at once."""
    peer = Peer()
    wanted = [(1, b"\x05\x78"), (5, b"WINM"), (7, b""), (8, b""), (13, b"\x06")]
    wanted += [(17, b"\x06\x4e"), (19, b"\x01" + bytes(20)), (23, b"\x00\x01")]
    ((_, reject),) = sent(peer.send(LCP, Code.CONFIGURE_REQUEST, *wanted))
    assert reject.code == Code.CONFIGURE_REJECT
    assert [reject.data[0], len(reject.data)] == [13, 3 + 4 + 23 + 4]
    effects = peer.send(LCP, Code.CONFIGURE_REQUEST, *wanted[:4])
    assert [packet.code for _, packet in sent(effects)] == [Code.CONFIGURE_ACK]
    challenge = sent(peer.ack_lcp())[-1][1]
    for text in (b"MSRASV5.20", b"MSRAS-0-DESKTOP", bytes(16)):
        (identified,) = peer.give(frame_of(LCP, Code.IDENTIFICATION, 3, b"WINM" + text))
        assert isinstance(identified, PeerIdentified)
    effects = peer.answer_all(peer.respond(challenge, "DESKTOP\\alice"))
    request = next(packet for protocol, packet in sent(effects) if protocol == IPCP)
    ((_, rejected),) = sent(peer.give(options_frame(0x8057, 1, 5, (1, b"interfac"))))
    assert (rejected.code, rejected.data[:2]) == (Code.PROTOCOL_REJECT, b"\x80\x57")
    ((_, rejected),) = sent(peer.give(options_frame(CCP, 1, 6, (18, b"\x01\x00\x00\x01"))))
    assert rejected.code == Code.CONFIGURE_REJECT
    kinds = (3, 129, 130, 131, 132)
    ((_, reject),) = sent(peer.send(IPCP, Code.CONFIGURE_REQUEST, *[(k, ZERO) for k in kinds]))
    assert (reject.code, reject.data) == (Code.CONFIGURE_REJECT, b"\x84\x06" + ZERO)
    peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, request.identifier, request.data))
    ((_, nak),) = sent(peer.send(IPCP, 1, *[(kind, ZERO) for kind in kinds[:4]]))
    effects = peer.give(frame_of(IPCP, 1, 77, nak.data))
    assert len(only(effects, NetworkUp)) == 1


def test_macos() -> None:
    """ACSP and IPV6CP right after authentication, before IPCP."""
    peer = Peer()
    challenge = sent(peer.open_lcp((2, ZERO), (5, b"MACM"), (7, b""), (8, b"")))[-1][1]
    effects = peer.answer_all(peer.respond(challenge))
    for protocol in (Protocol.ACSP, Protocol.IPV6CP):
        ((_, packet),) = sent(peer.give(options_frame(protocol, 1, 1, (1, bytes(16)))))
        assert (packet.code, packet.data[:2]) == (Code.PROTOCOL_REJECT, protocol.to_bytes(2))
    request = next(packet for protocol, packet in sent(effects) if protocol == IPCP)
    peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, request.identifier, request.data))
    ((_, nak),) = sent(peer.send(IPCP, 1, (3, ZERO), (129, ZERO), (131, ZERO)))
    assert len(only(peer.give(frame_of(IPCP, 1, 9, nak.data)), NetworkUp)) == 1


def test_pppd_rejects_what_it_does_not_know() -> None:
    """A peer that takes neither ACCM, PFC nor ACFC still connects."""
    peer = Peer()
    data = b"\x02\x06" + ZERO + b"\x07\x02\x08\x02"
    peer.give(frame_of(LCP, Code.CONFIGURE_REJECT, peer.request.identifier, data))
    assert peer.request.data[:4] == b"\x01\x04\x05\x78"
    assert b"\x03\x05\xc2\x23\x81" in peer.request.data
    assert len(only(peer.connect(), NetworkUp)) == 1


# --- both ends of ours ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mschapv2", "mschapv1", "chap", "pap"])
def test_both_roles_meet(method: str) -> None:
    line = make_line((method,))
    line.start()
    line.run(10.0, line.is_settled)
    (ours,) = only(line.said["server"], NetworkUp)
    (theirs,) = only(line.said["client"], NetworkUp)
    assert isinstance(ours, NetworkUp)
    assert isinstance(theirs, NetworkUp)
    assert (ours.local, ours.peer) == (theirs.peer, theirs.local) == (LOCAL, LEASED)
    assert theirs.dns == ours.dns
    assert line.now < 0.2  # 20 ms each way, 10 ms a question: nothing waits for a timer


def test_nothing_waits_for_a_timer_when_nothing_is_lost() -> None:
    line = make_line(("mschapv2", "pap"), ("pap",))
    line.start()
    line.run(0.95, line.is_settled)
    assert line.is_settled()


@pytest.mark.parametrize("method", ["mschapv2", "mschapv1", "chap", "pap"])
def test_a_wrong_password_is_learned_at_once(method: str) -> None:
    line = make_line((method,), password="wrong")
    line.start()
    line.run(10.0, line.is_settled)
    for name in ("server", "client"):
        down = line.down(name)
        assert down is not None
        assert down.reason is Reason.WRONG_PASSWORD
    assert line.now < 0.2


def test_no_common_method() -> None:
    line = make_line(("mschapv2", "chap"), ("pap",))
    line.start()
    line.run(10.0, line.is_settled)
    down = line.down("server")
    assert down is not None
    assert down.reason is Reason.NO_AUTH_METHOD


def test_close_is_seen_by_the_other_side() -> None:
    for closing, other in (("server", "client"), ("client", "server")):
        line = make_line()
        line.start()
        line.run(10.0, line.is_settled)
        end = line.server if closing == "server" else line.client
        line.feed(closing, end.close(Reason.SERVER_SHUTDOWN, line.now))
        line.run(line.now + 1.0)
        down = line.down(other)
        assert down is not None
        assert down.reason is Reason.PEER_CLOSED


def test_a_quiet_link_stays_up_on_echoes() -> None:
    line = make_line()
    line.start()
    line.run(10.0, line.is_settled)
    said = len(line.said["server"])
    line.run(3600.0)
    assert line.is_up("server")
    assert line.is_up("client")
    assert not only(line.said["server"][said:], PppDropped)
    assert len(line.said["server"]) - said < 130  # one of the two asks every 30 s
