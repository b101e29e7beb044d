"""What a PPP link asks of the outside: a closed union, matched with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeAlias

from ferrule.core.credentials import Proof, Verdict
from ferrule.core.reasons import Reason


@dataclass(slots=True)
class SendPpp:
    """Send one PPP frame, header (FF 03 and protocol as negotiated) included."""

    frame: bytes


@dataclass(slots=True)
class AskVerify:
    """Question: is this proof good? Answer it with `Verified(ask, verdict)`."""

    ask: int
    proof: Proof


@dataclass(slots=True)
class AskAddress:
    """Question: which addresses does `username` get? `requested` is what the peer would like
    (0.0.0.0: anything). Answer with `Addresses(...)` or `NoAddress(reason)`."""

    ask: int
    username: str
    requested: IPv4Address


@dataclass(slots=True)
class Authenticated:
    """The peer proved who it is (server role), or we did (client role)."""

    username: str
    method: str  # "pap", "chap", "mschapv1", "mschapv2"
    seconds: float  # from the start of LCP to now


@dataclass(slots=True)
class AuthenticationFailed:
    """One failed attempt; a LinkDown follows unless a retry is allowed."""

    username: str
    method: str
    reason: Reason
    detail: str = ""  # as a client: the server's message


@dataclass(slots=True)
class PeerIdentified:
    """LCP Identification (RFC 1570): names the client's software."""

    text: str


@dataclass(slots=True)
class NetworkUp:
    """IPCP is open: data may flow. Addresses from our side: `local` ours, `peer` the peer's.

    `mru` is the largest PPP payload that the peer takes; `accm` never matters over L2TP.
    `compress_protocol` / `compress_address`: the peer takes PFC / ACFC on what we send."""

    local: IPv4Address
    peer: IPv4Address
    dns: tuple[IPv4Address, ...]
    wins: tuple[IPv4Address, ...]
    mru: int
    compress_protocol: bool
    compress_address: bool
    seconds: float  # from the start of LCP to now


@dataclass(slots=True)
class NetworkDown:
    """IPCP left the open state while LCP stays."""

    reason: Reason


@dataclass(slots=True)
class LinkDown:
    """The link is over. The last frames (Terminate-Request or -Ack) were sent before this."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class PppDropped:
    """A frame was dropped or rejected: counted, logged at DEBUG."""

    reason: Reason
    detail: str


PppEffect: TypeAlias = (
    SendPpp
    | AskVerify
    | AskAddress
    | Authenticated
    | AuthenticationFailed
    | PeerIdentified
    | NetworkUp
    | NetworkDown
    | LinkDown
    | PppDropped
)


# Answers


@dataclass(slots=True)
class Verified:
    ask: int
    verdict: Verdict


@dataclass(slots=True)
class Addresses:
    """What the peer gets. Empty dns/wins: those options are rejected."""

    ask: int
    local: IPv4Address
    peer: IPv4Address
    dns: tuple[IPv4Address, ...] = field(default=())
    wins: tuple[IPv4Address, ...] = field(default=())


@dataclass(slots=True)
class NoAddress:
    ask: int
    reason: Reason


PppAnswer: TypeAlias = Verified | Addresses | NoAddress
