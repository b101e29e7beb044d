"""Real clients' conversations with a link, and both ends of ours together."""

from __future__ import annotations

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.effects import (
    NetworkUp,
    PeerIdentified,
    PppDropped,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Code
from ferrule.ppp.policy import PppPolicy
from support.ppp import (
    LEASED,
    LOCAL,
    Peer,
    frame_of,
    make_line,
    only,
    options_frame,
    sent,
)

LCP, IPCP, CCP, CHAP = Protocol.LCP, Protocol.IPCP, Protocol.CCP, Protocol.CHAP
ZERO = bytes(4)


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
