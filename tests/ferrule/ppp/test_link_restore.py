"""A link that goes to another process when its IPCP is open, and the peer that notices nothing."""

from __future__ import annotations

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.effects import (
    AskVerify,
    LinkDown,
    NetworkDown,
    NetworkUp,
    PppDropped,
    SendPpp,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.link import Link
from ferrule.ppp.packet import Code
from ferrule.ppp.phases import Phase
from ferrule.ppp.policy import PppPolicy
from support.ppp import LEASED, LOCAL, Peer, entropy_of, frame_of, make_line, only, sent

LCP, IPCP, CHAP = Protocol.LCP, Protocol.IPCP, Protocol.CHAP
LATER = 3_000.0  # how far the other process's clock is ahead


def moved(link: Link, now: float, policy: PppPolicy | None = None) -> tuple[Link, NetworkUp]:
    image = link.export(0.0)
    assert image is not None
    heir = Link(policy or PppPolicy(), entropy_of(99))
    return heir, heir.restore(image, -LATER, now)


@pytest.mark.parametrize("method", ["mschapv2", "chap", "pap"])
def test_both_ends_go_on(method: str) -> None:
    line = make_line((method,))
    line.start()
    line.run(5.0)
    before = next(e for e in line.said["server"] if isinstance(e, NetworkUp))
    line.server, after = moved(line.server, line.now)
    assert (after.local, after.peer, after.dns, after.wins) == (
        before.local,
        before.peer,
        before.dns,
        before.wins,
    )
    assert (after.mru, after.compress_protocol) == (before.mru, before.compress_protocol)
    said = len(line.said["server"])
    line.run(600.0)  # echoes both ways
    assert line.is_up("client")
    assert line.down("server") is None
    later = line.said["server"][said:]
    assert len(later) > 10
    assert all(isinstance(effect, SendPpp) for effect in later)


def test_a_link_that_is_not_open_is_not_carried() -> None:
    peer = Peer()
    assert peer.link.export(0.0) is None
    peer.authenticate()
    assert peer.link.export(0.0) is None


def test_what_was_agreed_is_kept() -> None:
    peer = Peer(PppPolicy(compress_header=True))
    challenge = sent(peer.open_lcp((1, (1300).to_bytes(2)), (5, b"peer"), (7, b""), (8, b"")))[-1][
        1
    ]
    asked = next(p for kind, p in sent(peer.answer_all(peer.respond(challenge))) if kind == IPCP)
    peer.give(frame_of(IPCP, Code.CONFIGURE_ACK, asked.identifier, asked.data))
    peer.send(IPCP, Code.CONFIGURE_REQUEST, (3, LEASED.packed))
    image = peer.link.export(100.0)
    assert image is not None
    assert (image.started, image.peer_mru, image.method) == (100.0, 1300, "mschapv2")
    heir, up = moved(peer.link, 50.0, PppPolicy(compress_header=True))
    assert (up.mru, up.compress_protocol, up.compress_address) == (1300, True, True)
    assert heir.phase is Phase.NETWORK
    assert heir.export(-LATER) == peer.link.export(0.0)


def test_a_configure_request_that_comes_again_is_acknowledged_again() -> None:
    """Our last Ack got lost, or was never sent."""
    peer = Peer()
    (effect,) = [e for e in peer.connect() if isinstance(e, SendPpp)]
    again = frame_of(IPCP, Code.CONFIGURE_REQUEST, peer.identifier, b"\x03\x06" + LEASED.packed)
    peer.link, _ = moved(peer.link, 0.0)
    assert peer.give(again) == [effect]


def test_a_peer_that_wants_to_negotiate_anew_may() -> None:
    peer = Peer()
    peer.connect()
    peer.link, _ = moved(peer.link, 0.0)
    effects = peer.send(LCP, Code.CONFIGURE_REQUEST, (5, b"anew"))
    assert only(effects, NetworkDown)
    challenge = next(packet for kind, packet in sent(peer.ack_lcp()) if kind == CHAP)
    assert only(peer.respond(challenge), AskVerify)


def test_a_late_proof_is_dropped() -> None:
    """The authenticator stayed behind: who speaks IPCP has had its verdict."""
    peer = Peer()
    peer.connect()
    peer.link, _ = moved(peer.link, 0.0)
    effects = peer.give(frame_of(CHAP, 2, 1, bytes(60)))
    assert [type(effect) for effect in effects] == [PppDropped]


def test_our_own_request_is_the_same_after_a_renegotiation_of_ipcp() -> None:
    peer = Peer()
    peer.connect()
    peer.link, _ = moved(peer.link, 0.0)
    effects = peer.send(IPCP, Code.CONFIGURE_REQUEST, (3, bytes(4)))
    assert only(effects, NetworkDown)
    asked = next(packet for kind, packet in sent(effects) if kind == IPCP)
    assert asked.data == b"\x03\x06" + LOCAL.packed


def test_the_identifiers_go_on() -> None:
    peer = Peer()
    peer.connect()
    image = peer.link.export(0.0)
    assert image is not None
    peer.link, _ = moved(peer.link, 0.0)
    effects = peer.link.expire(30.0)
    ((kind, echo),) = sent(effects)
    assert (kind, echo.code, echo.identifier) == (
        LCP,
        Code.ECHO_REQUEST,
        image.lcp.identifier + 1,
    )
    assert echo.data == image.magic


def test_a_peer_that_is_gone_is_found_out() -> None:
    peer = Peer()
    peer.connect()
    peer.link, _ = moved(peer.link, 0.0)
    effects = []
    while peer.link.deadline is not None:
        effects += peer.link.expire(peer.link.deadline.at)
    (down,) = only(effects, LinkDown)
    assert isinstance(down, LinkDown)
    assert down.reason is Reason.LCP_ECHO_TIMEOUT


def test_goodbye_by_either() -> None:
    for code in (None, Code.TERMINATE_REQUEST):
        peer = Peer()
        peer.connect()
        peer.link, _ = moved(peer.link, 0.0)
        if code is None:
            effects = peer.link.close(Reason.ADMIN_KICK, 1.0)
            expected = Code.TERMINATE_REQUEST
        else:
            effects = peer.give(frame_of(LCP, code, 9))
            expected = Code.TERMINATE_ACK
        assert sent(effects)[0][1].code == expected
        assert only(effects, LinkDown)
