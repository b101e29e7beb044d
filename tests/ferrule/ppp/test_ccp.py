from __future__ import annotations

import pytest

from ferrule.core.reasons import Reason
from ferrule.ppp.ccp import Refusal, refuse
from ferrule.ppp.effects import NetworkUp, PppDropped
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Code, Packet
from support.ppp import Peer, frame_of, only, sent

MPPE = bytes.fromhex("1206010000e1")


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (Packet(1, 5, MPPE), Packet(4, 5, MPPE)),
        (Packet(1, 6, b""), Refusal.PROTOCOL),
        (Packet(5, 7, b""), Packet(6, 7, b"")),
        (Packet(2, 8, MPPE), Refusal.NOTHING),
        (Packet(14, 9, b""), Refusal.NOTHING),
    ],
)
def test_answers(packet: Packet, answer: Packet | Refusal) -> None:
    assert refuse(packet) == answer


def test_mikrotik_runs_ccp_beside_ipcp() -> None:
    """CCP before, between and after IPCP's packets delays nothing."""
    peer = Peer()
    asked = sent(peer.authenticate())
    ipcp = next(packet for protocol, packet in asked if protocol == Protocol.IPCP)
    rejected = peer.give(frame_of(Protocol.CCP, Code.CONFIGURE_REQUEST, 1, MPPE))
    assert sent(rejected) == [(Protocol.CCP, Packet(Code.CONFIGURE_REJECT, 1, MPPE))]
    peer.give(frame_of(Protocol.IPCP, Code.CONFIGURE_ACK, ipcp.identifier, ipcp.data))
    empty = peer.give(frame_of(Protocol.CCP, Code.CONFIGURE_REQUEST, 2))
    protocol, packet = sent(empty)[0]
    assert (protocol, packet.code, packet.data[:2]) == (Protocol.LCP, 8, b"\x80\xfd")
    assert only(empty, PppDropped) == [PppDropped(Reason.PPP_UNKNOWN_PROTOCOL, "0x80fd")]
    up = peer.send(Protocol.IPCP, Code.CONFIGURE_REQUEST, (3, bytes((10, 9, 0, 7))))
    assert len(only(up, NetworkUp)) == 1


def test_a_flood_is_not_answered_frame_by_frame() -> None:
    peer = Peer()
    peer.connect()
    replies = [
        sent(peer.give(frame_of(Protocol.CCP, Code.CONFIGURE_REQUEST, at % 256, MPPE)))
        for at in range(1000)
    ]
    assert sum(map(len, replies)) == 16
