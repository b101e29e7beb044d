"""What the operator decides about a PPP link, and the words for authentication methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ferrule.core.secret import Secret
from ferrule.ppp.frame import Protocol

# Value of LCP option 3 (RFC 1661 6.2; RFC 1994 3; RFC 2433 3; RFC 2759 3).
METHODS: Final[Mapping[str, bytes]] = {
    "mschapv2": Protocol.CHAP.to_bytes(2) + b"\x81",
    "mschapv1": Protocol.CHAP.to_bytes(2) + b"\x80",
    "chap": Protocol.CHAP.to_bytes(2) + b"\x05",
    "pap": Protocol.PAP.to_bytes(2),
}


@dataclass(frozen=True, slots=True)
class PppPolicy:
    """Of one link. `auth` is in order of preference; as a client: what we are ready to do.

    `mru` is what we ask the peer to keep to, `mtu_max` what we send at most whatever the peer
    takes; both count the PPP information field, so the inner IP packet. Times are seconds.
    """

    auth: tuple[str, ...] = ("mschapv2", "pap")
    mru: int = 1400
    mtu_max: int = 1400
    echo_seconds: float = 30.0
    echo_failures: int = 4  # unanswered echoes after which the link is dead
    name: str = "ferrule"  # ours, in CHAP challenges
    lcp_seconds: float = 30.0  # from the start to LCP Opened
    auth_seconds: float = 60.0  # each attempt, the wait for its verdict included
    ipcp_seconds: float = 30.0  # from authentication to IPCP Opened, the wait for addresses too
    retries: int = 2  # wrong passwords forgiven on one link; MS-CHAP only
    # QUIRK(linux before 5.1): pppd agrees to PFC, but the kernel's L2TP cannot undo it. Not
    # compressing is always legal, and three octets a packet are not worth a dead session.
    compress_header: bool = False

    def __post_init__(self) -> None:
        if not self.auth:
            raise ValueError("ppp.auth is empty: a link without authentication is not offered")
        if unknown := [method for method in self.auth if method not in METHODS]:
            raise ValueError(f"unknown authentication method {', '.join(unknown)}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are, as a client. The password is UTF-8."""

    username: str
    password: Secret
