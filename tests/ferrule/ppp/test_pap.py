from __future__ import annotations

import pytest

from ferrule.core.credentials import Accepted, Denied, PapProof
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.auth import Failed, Passed
from ferrule.ppp.effects import (
    AskAddress,
    AskVerify,
    Authenticated,
    AuthenticationFailed,
    LinkDown,
    PppDropped,
    Verified,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.pap import PapSupplicant, build_request, parse_request
from ferrule.ppp.policy import PppPolicy
from support.ppp import PASSWORD, USERNAME, Peer, credentials, frame_of, only, sent

PAP = Protocol.PAP
REQUEST = build_request(USERNAME.encode(), PASSWORD.encode())


def test_request_on_the_wire() -> None:
    assert build_request(b"bob", b"pw") == b"\x03bob\x02pw"
    proof = parse_request(b"\x03bob\x02pwtrailing")
    assert (proof.username, proof.password.reveal()) == ("bob", b"pw")
    assert parse_request(b"\x00\x00").username == ""


@pytest.mark.parametrize("data", [b"", b"\x03bo", b"\x03bob", b"\x03bob\x02p"])
def test_malformed_requests(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_request(data)


@pytest.fixture
def peer() -> Peer:
    peer = Peer(PppPolicy(auth=("pap",)))
    peer.open_lcp()
    return peer


def test_accepted(peer: Peer) -> None:
    (ask,) = peer.give(frame_of(PAP, 1, 9, REQUEST))
    assert isinstance(ask, AskVerify)
    assert isinstance(ask.proof, PapProof)
    assert PASSWORD not in repr(ask)
    effects = peer.link.answer(Verified(ask.ask, Accepted("alice")), 0.5)
    assert sent(effects) == [(PAP, Packet(2, 9, b"\x07Welcome"))]
    assert only(effects, Authenticated) == [Authenticated("alice", "pap", 0.5)]
    assert len(only(effects, AskAddress)) == 1


def test_the_ack_is_said_again_to_one_who_did_not_hear_it(peer: Peer) -> None:
    (ask,) = peer.give(frame_of(PAP, 1, 9, REQUEST))
    peer.link.answer(Verified(ask.ask, Accepted("alice")), 0.5)
    again = peer.give(frame_of(PAP, 1, 10, REQUEST))
    assert sent(again) == [(PAP, Packet(2, 10, b"\x07Welcome"))]
    assert len(again) == 1


def test_a_repeated_request_asks_once(peer: Peer) -> None:
    assert len(only(peer.give(frame_of(PAP, 1, 9, REQUEST)), AskVerify)) == 1
    assert [type(e) for e in peer.give(frame_of(PAP, 1, 10, REQUEST))] == [PppDropped]


def test_denied(peer: Peer) -> None:
    (ask,) = peer.give(frame_of(PAP, 1, 9, REQUEST))
    effects = peer.link.answer(Verified(ask.ask, Denied(Reason.USER_DISABLED)), 0.5)
    assert sent(effects) == [(PAP, Packet(3, 9, b"\x17The account is disabled"))]
    assert only(effects, AuthenticationFailed) == [
        AuthenticationFailed("alice", "pap", Reason.USER_DISABLED, "")
    ]
    assert not only(effects, LinkDown)
    assert only(peer.link.expire(1.5), LinkDown) == [LinkDown(Reason.USER_DISABLED, "")]


@pytest.mark.parametrize("code", [0, 2, 3, 4])
def test_other_codes_are_dropped(peer: Peer, code: int) -> None:
    assert [type(e) for e in peer.give(frame_of(PAP, code, 1, REQUEST))] == [PppDropped]


def test_pap_is_not_taken_when_mschapv2_was_agreed() -> None:
    peer = Peer(PppPolicy(auth=("mschapv2", "pap")))
    peer.open_lcp()
    assert [type(e) for e in peer.give(frame_of(PAP, 1, 1, REQUEST))] == [PppDropped]


def test_android_naks_down_to_pap() -> None:
    peer = Peer(PppPolicy(auth=("mschapv2", "pap")))
    peer.send(Protocol.LCP, Code.CONFIGURE_REQUEST, (1, b"\x05\x78"), (5, b"abcd"))
    first = peer.request
    nak = frame_of(Protocol.LCP, Code.CONFIGURE_NAK, first.identifier, b"\x03\x04\xc0\x23")
    peer.give(nak)
    assert b"\x03\x04\xc0\x23" in peer.request.data
    assert not only(peer.ack_lcp(), LinkDown)
    assert len(only(peer.give(frame_of(PAP, 1, 1, REQUEST)), AskVerify)) == 1


# --- as a client ------------------------------------------------------------------------------


def supplicant() -> tuple[PapSupplicant, Packet, Deadlines]:
    deadlines = Deadlines()
    machine = PapSupplicant(credentials(), deadlines)
    (request,) = machine.start(0.0)
    assert isinstance(request, Packet)
    return machine, request, deadlines


def test_the_client_repeats_itself_until_there_is_a_verdict() -> None:
    machine, request, deadlines = supplicant()
    assert request == Packet(1, 1, REQUEST)
    assert deadlines.get("auth-restart") == 2.0
    assert machine.expire(2.0) == [Packet(1, 2, REQUEST)]
    assert machine.receive(Packet(2, 2, b"\x00"), 2.1) == [Passed("alice")]
    assert deadlines.next is None
    assert machine.expire(9.0) == []


def test_the_client_is_told_why() -> None:
    machine, _, _ = supplicant()
    failed = Failed("alice", Reason.WRONG_PASSWORD, "go away", True)
    assert machine.receive(Packet(3, 1, b"\x07go away"), 1.0) == [failed]


@pytest.mark.parametrize("packet", [Packet(2, 9, b""), Packet(1, 1, b""), Packet(7, 1, b"")])
def test_the_client_drops_what_is_no_verdict(packet: Packet) -> None:
    machine, _, _ = supplicant()
    with pytest.raises(ProtocolError):
        machine.receive(packet, 1.0)
