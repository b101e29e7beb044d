"""What is carried of a PPP link when its client goes to another process: plain data.

Only of a link whose IPCP is open. Any other begins anew with LCP, which the peer answers in
whatever state it is (RFC 1661 4.1). Who the peer is was proved before IPCP, so nothing of the
authentication is left here. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(slots=True)
class AgreedImage:
    """One negotiation that is open: our last identifier, and the Configure-Request of the peer that
    we acknowledged, since it may come again."""

    identifier: int
    request_identifier: int
    request: bytes


@dataclass(slots=True)
class LinkImage:
    started: float
    mru: int
    magic: bytes
    peer_mru: int
    peer_magic: int
    peer_pfc: bool
    peer_acfc: bool
    method: str
    lcp: AgreedImage
    local: IPv4Address
    peer: IPv4Address
    dns: tuple[IPv4Address, ...]
    wins: tuple[IPv4Address, ...]
    ipcp: AgreedImage
