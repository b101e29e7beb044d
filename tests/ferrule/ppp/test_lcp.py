from __future__ import annotations

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.effects import LinkDown, PeerIdentified, PppDropped, SendPpp
from ferrule.ppp.frame import Protocol
from ferrule.ppp.lcp import readable
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.policy import PppPolicy
from support.ppp import Peer, frame_of, only, sent

LCP = Protocol.LCP
MAGIC = b"\x0a\x0b\x0c\x0d"


@pytest.fixture
def peer() -> Peer:
    peer = Peer(PppPolicy(echo_seconds=30, echo_failures=4, mtu_max=1500))
    peer.open_lcp((1, b"\x01\x00"), (5, MAGIC))
    return peer


def magic_of(peer: Peer) -> bytes:
    data = peer.request.data
    return data[data.index(b"\x05\x06") + 2 :][:4]


def test_an_echo_gets_our_magic_number_and_its_own_data_back(peer: Peer) -> None:
    reply = sent(peer.give(frame_of(LCP, Code.ECHO_REQUEST, 77, MAGIC + b"data")))
    assert reply == [(LCP, Packet(Code.ECHO_REPLY, 77, magic_of(peer) + b"data"))]


def test_an_echo_before_lcp_is_open_is_dropped() -> None:
    effects = Peer().give(frame_of(LCP, Code.ECHO_REQUEST, 1, MAGIC))
    assert [type(effect) for effect in effects] == [PppDropped]


def test_an_echo_too_short_for_a_magic_number_is_malformed(peer: Peer) -> None:
    effects = peer.give(frame_of(LCP, Code.ECHO_REQUEST, 1, b"abc"))
    assert only(effects, PppDropped)[0].reason is Reason.PPP_MALFORMED
    assert not sent(effects)


def test_our_own_echoes_coming_back_are_a_loop(peer: Peer) -> None:
    looped = frame_of(LCP, Code.ECHO_REQUEST, 1, magic_of(peer))
    assert not only(peer.give(looped) + peer.give(looped), LinkDown)
    assert only(peer.give(looped), LinkDown)[0].reason is Reason.LCP_LOOPED


def echoes(effects: list) -> list[Packet]:
    return [packet for _, packet in sent(effects) if packet.code == Code.ECHO_REQUEST]


def test_silence_is_looked_into_and_then_ends_the_link() -> None:
    peer = Peer(PppPolicy(echo_seconds=30, echo_failures=4))
    peer.connect()
    times = []
    while peer.link.deadline is not None:
        now = peer.link.deadline.at
        effects = peer.link.expire(now)
        times += [now for _ in echoes(effects)]
        down = only(effects, LinkDown)
    assert times == [30.0, 60.0, 90.0, 120.0]
    assert down == [LinkDown(Reason.LCP_ECHO_TIMEOUT, "4 echoes unanswered")]


def test_an_answer_starts_the_count_again() -> None:
    peer = Peer(PppPolicy(echo_seconds=30, echo_failures=2))
    peer.connect()
    for round_ in range(1, 50):
        peer.now = 30.0 * round_
        for packet in echoes(peer.link.expire(peer.now)):
            assert peer.give(frame_of(LCP, Code.ECHO_REPLY, packet.identifier, MAGIC)) == []
    assert peer.link.deadline is not None


def test_data_counts_as_life_also_when_told_late() -> None:
    peer = Peer(PppPolicy(echo_seconds=30))
    peer.connect()
    peer.link.heard(25.0)
    assert peer.link.expire(30.0) == []
    assert peer.link.deadline is not None
    assert peer.link.deadline.at == 55.0
    assert len(echoes(peer.link.expire(55.0))) == 1
    peer.link.heard(50.0)
    assert len(echoes(peer.link.expire(85.0))) == 1
    peer.link.heard(100.0)
    assert not echoes(peer.link.expire(115.0))


def test_no_echo_when_switched_off() -> None:
    peer = Peer(PppPolicy(echo_seconds=0))
    peer.connect()
    assert peer.link.deadline is None


def test_identification_names_the_software(peer: Peer) -> None:
    frame = frame_of(LCP, Code.IDENTIFICATION, 2, MAGIC + b"MSRASV5.20\x00\xff")
    assert peer.give(frame) == [PeerIdentified("MSRASV5.20??")]
    effects = [effect for _ in range(20) for effect in peer.give(frame)]
    assert len(only(effects, PeerIdentified)) == 7
    assert len(only(effects, PppDropped)) == 13


def test_identification_is_heard_before_lcp_is_open() -> None:
    frame = frame_of(LCP, Code.IDENTIFICATION, 2, bytes(4) + b"early")
    assert Peer().give(frame) == [PeerIdentified("early")]


def test_readable_is_bounded() -> None:
    assert readable(b"a" * 1000) == "a" * 128


@pytest.mark.parametrize("code", [Code.DISCARD_REQUEST, Code.TIME_REMAINING, Code.ECHO_REPLY])
def test_what_needs_no_answer(peer: Peer, code: Code) -> None:
    assert peer.give(frame_of(LCP, code, 1, MAGIC + bytes(4))) == []


def test_unknown_codes_are_rejected(peer: Peer) -> None:
    ((protocol, packet),) = sent(peer.give(frame_of(LCP, 99, 1, b"what")))
    assert (protocol, packet.code, packet.data) == (LCP, Code.CODE_REJECT, b"c\x01\x00\x08what")


def test_a_protocol_reject_keeps_to_the_peers_mru() -> None:
    peer = Peer()
    peer.open_lcp((1, b"\x00\x80"))
    challenge = sent(peer.link.expire(2.0))[0][1]
    peer.answer_all(peer.respond(challenge))
    ((_, packet),) = sent(peer.give(b"\xff\x03\x82\x35" + bytes(1000)))
    assert (packet.code, packet.data[:2]) == (Code.PROTOCOL_REJECT, b"\x82\x35")
    assert len(packet.data) + 4 == 128


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        (Protocol.LCP, Reason.LCP_NO_CONVERGENCE),
        (Protocol.IPCP, Reason.IPCP_NO_CONVERGENCE),
        (Protocol.CHAP, Reason.NO_AUTH_METHOD),
    ],
)
def test_protocols_that_a_peer_cannot_reject(
    peer: Peer, protocol: Protocol, reason: Reason
) -> None:
    data = protocol.to_bytes(2) + b"\x01\x01\x00\x04"
    effects = peer.give(frame_of(LCP, Code.PROTOCOL_REJECT, 1, data))
    assert [type(effect) for effect in effects] == [SendPpp, LinkDown]
    assert sent(effects)[0][1].code == Code.TERMINATE_REQUEST
    assert only(effects, LinkDown)[0].reason is reason


def test_other_protocol_rejects_are_lived_with(peer: Peer) -> None:
    for data in (b"\x80\xfd\x01", b"\x00\x57", b"\x00"):
        effects = peer.give(frame_of(LCP, Code.PROTOCOL_REJECT, 1, data))
        assert [type(effect) for effect in effects] == [PppDropped]


def test_a_protocol_reject_before_lcp_is_open_is_dropped() -> None:
    effects = Peer().give(frame_of(LCP, Code.PROTOCOL_REJECT, 1, b"\xc0\x21"))
    assert [type(effect) for effect in effects] == [PppDropped]
