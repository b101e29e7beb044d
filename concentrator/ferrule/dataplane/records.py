"""The rows of the Python plane's tables: clients, their IPsec SAs, links and bound sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from ferrule.core.ids import ClientId, Path, SessionId, TunnelId
from ferrule.dataplane.interface import LinkSpec, SaSpec, SessionCounters, SessionSpec
from ferrule.dataplane.policy import CompiledPolicy, TokenBucket
from ferrule.esp.packet import LAST_SEQUENCE, EspOpener, EspSealer
from ferrule.l2tp.header import build_data
from ferrule.ppp.frame import Protocol, frame_header

L2TP_PORT = 1701
SOFT_SEQUENCE = 0xF0000000  # ask for a rekey while a sixteenth of the numbers is left
SOFT_OCTETS_SHARE = 0.8


@dataclass(slots=True, eq=False)
class Client:
    """One remote host. `outbound` is the last activated of its SAs, or None."""

    id: ClientId
    path: Path
    punts: TokenBucket
    peer_port: int = L2TP_PORT  # of the inner UDP, as the last packet had it
    short_tags: bool = False  # QUIRK(android): its last SHA2-256 SA had tags of 96 bits
    sas: dict[int, Sa] = field(default_factory=dict)
    activated: list[Sa] = field(default_factory=list)
    outbound: Sa | None = None
    links: dict[int, Link] = field(default_factory=dict)  # by tunnel << 16 | session


@dataclass(slots=True, eq=False)
class Sa:
    """One pair of IPsec SAs; octets are those of the ESP payload. `mark` is the lower of
    `soft_sequence` and `low_sequence`, the one that the packet path looks at."""

    client: Client
    spec: SaSpec
    opener: EspOpener
    sealer: EspSealer
    soft_octets: float = inf
    soft_sequence: float = SOFT_SEQUENCE
    low_sequence: float = inf  # once the next is beyond it, more must be reserved
    mark: float = SOFT_SEQUENCE
    reserved_from: int = 1
    reserved_at: float = 0.0
    octets_in: int = 0
    octets_out: int = 0
    fresh: bool = True  # the first packet, or the length of the peer's tags, is still awaited
    seen: bool = False
    was_active: bool = False

    def on_reserved(self, now: float) -> None:
        """The sealer's limit is new: watch for the half of what may be sent."""
        start, last = self.sealer.sequence, self.sealer.last_sequence
        self.reserved_from, self.reserved_at = start, now
        self.low_sequence = inf if last >= LAST_SEQUENCE else (start + last) // 2
        self.mark = min(self.soft_sequence, self.low_sequence)

    def on_low(self, now: float) -> float:
        """Stop watching. What was sent a second since `on_reserved`; less than one second counts
        as one."""
        self.low_sequence, self.mark = inf, self.soft_sequence
        return (self.sealer.sequence - self.reserved_from) / max(now - self.reserved_at, 1.0)

    def on_soft_limit(self) -> None:
        """A rekey is asked for: stop watching."""
        self.soft_octets = self.soft_sequence = inf
        self.mark = self.low_sequence


@dataclass(slots=True, eq=False)
class Link:
    """One L2TP session: how to wrap its PPP frames, what it counted, its binding."""

    client: Client
    tunnel: TunnelId
    session: SessionId
    spec: LinkSpec
    ns: int = 0
    counters: SessionCounters = field(default_factory=SessionCounters)
    bound: Session | None = None

    def header(self) -> bytes:
        """The L2TP data header of the next frame (RFC 2661 3.1, 5.4)."""
        spec = self.spec
        if not spec.sequencing:
            return build_data(spec.peer_tunnel, spec.peer_session)
        ns = self.ns
        self.ns = (ns + 1) & 0xFFFF
        return build_data(spec.peer_tunnel, spec.peer_session, ns)


@dataclass(slots=True, eq=False)
class Session:
    """A link whose IPCP is open. `ppp` goes before an IPv4 packet (RFC 1661 6.5, 6.6)."""

    link: Link
    spec: SessionSpec
    policy: CompiledPolicy
    ppp: bytes


def link_key(tunnel: int, session: int) -> int:
    return tunnel << 16 | session


def ppp_header(spec: SessionSpec) -> bytes:
    """Address and control unless ACFC, the protocol IPv4 in two octets or, with PFC, in one."""
    return frame_header(
        Protocol.IP,
        compress_protocol=spec.compress_protocol,
        compress_address=spec.compress_address,
    )
