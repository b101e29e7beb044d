from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.effects import (
    Addresses,
    AskAddress,
    LinkDown,
    NetworkDown,
    NetworkUp,
    NoAddress,
    PppDropped,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Code, Packet
from ferrule.ppp.policy import PppPolicy
from support.ppp import DNS, LEASED, LOCAL, WINS, Peer, answer_to, frame_of, only, sent

IPCP = Protocol.IPCP
ADDRESS, DNS1, WINS1, DNS2, WINS2 = 3, 129, 130, 131, 132
ZERO = bytes(4)


def authenticated(policy: PppPolicy | None = None) -> tuple[Peer, Packet]:
    """A peer and the link's first IPCP Configure-Request."""
    peer = Peer(policy)
    ((_, request),) = [item for item in sent(peer.authenticate()) if item[0] == IPCP]
    return peer, request


def verified(policy: PppPolicy | None = None) -> tuple[Peer, list]:
    """A peer whose address is being asked for, and the effects that do."""
    peer = Peer(policy)
    (verify,) = peer.respond(sent(peer.open_lcp())[-1][1])
    reply = answer_to(verify)
    assert reply is not None
    return peer, peer.link.answer(reply, 0.0)


def ack(peer: Peer, request: Packet) -> list:
    return peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, request.identifier, request.data))


def test_our_request_goes_out_with_the_answer() -> None:
    _, request = authenticated()
    assert (request.code, request.data) == (Code.CONFIGURE_REQUEST, b"\x03\x06" + LOCAL.packed)


def test_windows_asks_for_everything() -> None:
    peer, request = authenticated()
    wanted = [(kind, ZERO) for kind in (ADDRESS, DNS1, WINS1, DNS2, WINS2)]
    ((_, reject),) = sent(peer.send(IPCP, Code.CONFIGURE_REQUEST, *wanted))
    assert (reject.code, reject.data) == (Code.CONFIGURE_REJECT, b"\x84\x06" + ZERO)
    ((_, nak),) = sent(peer.send(IPCP, Code.CONFIGURE_REQUEST, *wanted[:4]))
    assert nak.code == Code.CONFIGURE_NAK
    assert nak.data == b"".join(
        bytes((kind, 6)) + address.packed
        for kind, address in ((3, LEASED), (129, DNS[0]), (130, WINS[0]), (131, DNS[1]))
    )
    ack(peer, request)
    effects = peer.give(frame_of(IPCP, Code.CONFIGURE_REQUEST, 99, nak.data))
    assert sent(effects) == [(IPCP, Packet(Code.CONFIGURE_ACK, 99, nak.data))]
    (up,) = only(effects, NetworkUp)
    assert isinstance(up, NetworkUp)
    assert (up.local, up.peer, up.dns, up.wins) == (LOCAL, LEASED, DNS, WINS)


def test_a_request_that_comes_before_the_address_waits_for_it() -> None:
    peer, asked = verified()
    (ask,) = only(asked, AskAddress)
    assert isinstance(ask, AskAddress)
    assert (ask.username, ask.requested) == ("alice", IPv4Address(0))
    assert peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, ZERO), (2, b"\x00\x2d\x0f\x01")) == []
    assert peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, ZERO)) == []
    assert peer.send(IPCP, Code.TERMINATE_ACK) == []
    effects = peer.link.answer(Addresses(ask.ask, LOCAL, LEASED), 1.0)
    assert [(protocol, packet.code) for protocol, packet in sent(effects)] == [
        (IPCP, Code.CONFIGURE_REQUEST),
        (IPCP, Code.CONFIGURE_NAK),
    ]


def test_a_malformed_request_before_the_address_is_dropped() -> None:
    peer, _ = verified()
    effects = peer.give(frame_of(IPCP, Code.CONFIGURE_REQUEST, 1, b"\x03\x09"))
    assert [type(effect) for effect in effects] == [PppDropped]


def test_no_address() -> None:
    peer, asked = verified()
    (ask,) = only(asked, AskAddress)
    assert peer.link.answer(NoAddress(ask.ask + 1, Reason.POOL_EXHAUSTED), 1.0) == []
    effects = peer.link.answer(NoAddress(ask.ask, Reason.POOL_EXHAUSTED), 1.0)
    assert sent(effects)[0][1].code == Code.TERMINATE_REQUEST
    assert only(effects, LinkDown) == [LinkDown(Reason.POOL_EXHAUSTED, "no address")]


@pytest.mark.parametrize("options", [[], [(DNS1, DNS[0].packed)]], ids=["empty", "no address"])
def test_a_peer_that_names_no_address_is_asked_to(options: list[tuple[int, bytes]]) -> None:
    peer, _ = authenticated()
    ((_, nak),) = sent(peer.send(IPCP, Code.CONFIGURE_REQUEST, *options))
    assert (nak.code, nak.data) == (Code.CONFIGURE_NAK, b"\x03\x06" + LEASED.packed)


def test_a_peer_that_insists_on_its_own_address_is_left() -> None:
    peer, request = authenticated()
    ack(peer, request)
    for _ in range(5):
        ((_, nak),) = sent(peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, b"\x0a\x00\x00\x09")))
        assert nak.code == Code.CONFIGURE_NAK
    effects = peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, b"\x0a\x00\x00\x09"))
    (down,) = only(effects, LinkDown)
    assert isinstance(down, LinkDown)
    assert down.reason is Reason.IPCP_NO_CONVERGENCE


def test_a_peer_that_insists_on_its_own_dns_goes_without() -> None:
    peer, request = authenticated()
    ack(peer, request)
    wanted = [(ADDRESS, LEASED.packed), (DNS1, b"\x08\x08\x08\x08")]
    codes = [sent(peer.send(IPCP, Code.CONFIGURE_REQUEST, *wanted))[0][1].code for _ in range(6)]
    assert codes == [Code.CONFIGURE_NAK] * 5 + [Code.CONFIGURE_REJECT]
    assert len(only(peer.send(IPCP, Code.CONFIGURE_REQUEST, wanted[0]), NetworkUp)) == 1


def test_renegotiation_while_up() -> None:
    peer = Peer()
    peer.connect()
    effects = peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, ZERO))
    assert only(effects, NetworkDown) == [NetworkDown(Reason.PPP_RENEGOTIATED)]
    codes = [packet.code for _, packet in sent(effects)]
    assert codes == [Code.CONFIGURE_REQUEST, Code.CONFIGURE_NAK]
    ack(peer, sent(effects)[0][1])
    effects = peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, LEASED.packed))
    assert len(only(effects, NetworkUp)) == 1
    assert not only(effects, AskAddress)  # the lease is still the same


def test_renegotiation_without_end_ends() -> None:
    peer = Peer()
    peer.connect()
    downs = 0
    for _ in range(100):
        effects = peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, LEASED.packed))
        downs += len(only(effects, NetworkDown))
        if only(effects, LinkDown):
            break
        ack(peer, next(p for _, p in sent(effects) if p.code == Code.CONFIGURE_REQUEST))
    assert only(effects, LinkDown)
    assert downs == 16


def test_the_peer_closes_ipcp_alone() -> None:
    peer = Peer()
    peer.connect()
    effects = peer.give(frame_of(IPCP, Code.TERMINATE_REQUEST, 50))
    assert only(effects, NetworkDown) == [NetworkDown(Reason.PEER_CLOSED)]
    assert sent(effects) == [(IPCP, Packet(Code.TERMINATE_ACK, 50, b""))]
    assert len(only(peer.link.expire(1.0), LinkDown)) == 1


def test_a_silent_peer_times_out() -> None:
    peer, _ = authenticated(PppPolicy(ipcp_seconds=30, echo_seconds=0))
    requests = 1
    while peer.link.deadline is not None:
        now = peer.link.deadline.at
        effects = peer.link.expire(now)
        requests += sum(protocol == IPCP for protocol, _ in sent(effects))
    assert requests == 10
    assert only(effects, LinkDown) == [LinkDown(Reason.IPCP_TIMEOUT, "no IPCP packet came")]


def test_success_is_said_again_while_the_peer_is_silent() -> None:
    """pppd never repeats its response: a lost Success would otherwise end the connect."""
    peer, request = authenticated()
    effects = peer.link.expire(1.0)
    assert [protocol for protocol, _ in sent(effects)] == [Protocol.CHAP, IPCP]
    assert sent(effects)[0][1].code == 3
    peer.send(IPCP, Code.CONFIGURE_REQUEST, (ADDRESS, ZERO))
    assert [protocol for protocol, _ in sent(peer.link.expire(3.0))] == [IPCP]
    ack(peer, request)


def test_nobody_answers_the_question() -> None:
    peer, _ = verified(PppPolicy(ipcp_seconds=5))
    assert only(peer.link.expire(5.0), LinkDown) == [
        LinkDown(Reason.IPCP_TIMEOUT, "no address was found in time")
    ]
