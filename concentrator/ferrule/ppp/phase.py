"""The words of the phase table: phases of a link (RFC 1661 3.2 to 3.7) and kinds of frames."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from ferrule.ppp.frame import Protocol


class Phase(Enum):
    """OVER: `LinkDown` was said."""

    DEAD = "dead"
    ESTABLISH = "establish"
    AUTHENTICATE = "authenticate"
    NETWORK = "network"
    TERMINATE = "terminate"  # authentication failed; the peer may read why, and close
    OVER = "over"


class Arrival(Enum):
    """What a frame is for."""

    LCP = "LCP"
    PAP = "PAP"
    CHAP = "CHAP"
    IPCP = "IPCP"
    CCP = "CCP"
    IP = "IP"
    OTHER = "other"


ARRIVALS: Final[Mapping[int, Arrival]] = {
    Protocol.LCP: Arrival.LCP,
    Protocol.PAP: Arrival.PAP,
    Protocol.CHAP: Arrival.CHAP,
    Protocol.IPCP: Arrival.IPCP,
    Protocol.CCP: Arrival.CCP,
    Protocol.IP: Arrival.IP,
}
