"""CCP (RFC 1962) as one that never compresses: every algorithm is rejected, at once and for good.

It has no automaton and no timer, so that it can never hold up IPCP.
QUIRK(mikrotik, windows): they start CCP (MPPE, MPPC) together with IPCP and go on without it.
"""

from __future__ import annotations

from enum import Enum

from ferrule.ppp.packet import Code, Packet


class Refusal(Enum):
    """Answers that are not a CCP packet."""

    PROTOCOL = "reject the protocol"
    NOTHING = "nothing to say"


def refuse(packet: Packet) -> Packet | Refusal:
    """What answers a CCP packet of the peer.

    A Configure-Request with options gets all of them back as a Configure-Reject; an empty one has
    nothing left to reject, so the protocol itself is.
    """
    match packet.code:
        case Code.CONFIGURE_REQUEST if packet.data:
            return Packet(Code.CONFIGURE_REJECT, packet.identifier, packet.data)
        case Code.CONFIGURE_REQUEST:
            return Refusal.PROTOCOL
        case Code.TERMINATE_REQUEST:
            return Packet(Code.TERMINATE_ACK, packet.identifier, b"")
        case _:
            return Refusal.NOTHING
