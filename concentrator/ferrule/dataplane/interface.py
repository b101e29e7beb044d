"""What a data plane is: tables that the control plane writes, and punts that it reads.

The Python plane (`python.py`) defines what is right. A native plane keeps the same tables, gives
the same octets, drops and counters, and hands up the same punts in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Final, Protocol, TypeAlias

from ferrule.core.ids import ClientId, Path, SessionId, Spi, TunnelId
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite

SEQUENCE_MAX: Final = 0xFFFFFFFF

# --- what the control plane writes ---------------------------------------------------------


@dataclass(slots=True)
class SaSpec:
    """One pair of IPsec SAs. Several may stand for a client; the last activated one sends."""

    client: ClientId
    inbound_spi: Spi
    outbound_spi: Spi
    suite: EspSuite
    inbound_key: Secret
    outbound_key: Secret
    life_octets: int  # 0: no limit; LifetimeReached is punted at 80 % of it
    path: Path
    active: bool = False  # True: send on it at once
    first_sequence: int = 1  # outbound; a take-over starts behind the reservation
    last_sequence: int = SEQUENCE_MAX  # outbound; reserved up to here, see `Plane.reserve`
    window_top: int = 0  # inbound; everything at or below counts as seen
    octets_in: int = 0  # so far, for `life_octets`
    octets_out: int = 0
    seen: bool = False  # the peer has sent on it: no FirstPacket is punted
    # Of the client, for one that has no SA here yet; later the plane knows better:
    peer_port: int = 1701  # of the inner UDP, as the client's last packet had it
    short_tags: bool = False  # QUIRK(android): SHA2-256 tags of 96 bits


@dataclass(slots=True)
class Policy:
    """What a session may reach and how fast. Rates in octets a second, 0 for no limit.

    `allowed` empty: everything that `denied` does not name."""

    allowed: tuple[IPv4Network, ...] = ()
    denied: tuple[IPv4Network, ...] = ()
    client_to_client: bool = False
    rate_up: int = 0
    rate_down: int = 0


@dataclass(slots=True)
class SessionSpec:
    """Binds (client, tunnel, session) to an inner address once IPCP is open.

    `address` is the leased one as 4 octets; a packet from the client must carry it as source.
    `default` (client role): take every packet from `transmit_ip`, skip the source check.
    `mtu` is the largest inner IP packet in octets; `clamp_mss` also clamps TCP SYNs to it."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    address: bytes
    mtu: int
    policy: Policy
    compress_protocol: bool = False
    compress_address: bool = False
    clamp_mss: bool = True
    default: bool = False


@dataclass(slots=True)
class LinkSpec:
    """An L2TP session before (and after) it has an address: how to wrap its PPP frames."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    peer_tunnel: TunnelId
    peer_session: SessionId
    sequencing: bool = False


# --- what the control plane reads ----------------------------------------------------------


@dataclass(slots=True)
class IkeDatagram:
    """An ISAKMP message, without the four zero octets."""

    path: Path
    message: bytes


@dataclass(slots=True)
class L2tpControl:
    """An L2TP control message that came in on an authenticated SA. `peer_port` is the inner UDP
    source port; the plane remembers the last one for what it sends."""

    client: ClientId
    message: bytes


@dataclass(slots=True)
class PppControl:
    """A PPP frame that is not a permitted IP packet of a bound session: LCP, IPCP, CHAP, ..."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    frame: bytes


@dataclass(slots=True)
class DhcpInform:
    """An IPv4 packet with a UDP datagram from port 68 to port 67 of a bound session."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    packet: bytes


@dataclass(slots=True)
class UnknownSession:
    """Authentic L2TP data for a tunnel or session that has no link: the peer has a stale one."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId


@dataclass(slots=True)
class PeerMoved:
    """A packet with a good tag, newer than all before, came from another address."""

    client: ClientId
    path: Path


@dataclass(slots=True)
class FirstPacket:
    """The first packet with a good tag came in on this SA: the peer has installed it."""

    client: ClientId
    inbound_spi: Spi


@dataclass(slots=True)
class LifetimeReached:
    """80 % of the octet limit, or sequence number 0xF0000000, was passed: rekey. Once an SA."""

    client: ClientId
    inbound_spi: Spi


@dataclass(slots=True)
class ReservationLow:
    """Half of the sequence numbers reserved last are used: reserve more. Once a reservation.
    `next_sequence` is the next to be sent, `rate` what was sent a second since `install_sa` or the
    last `reserve` (less than a second counts as one)."""

    client: ClientId
    inbound_spi: Spi
    next_sequence: int
    rate: float


@dataclass(slots=True)
class UnknownSpi:
    """The first ESP packet of an SPI that has no SA; rate-limited by the plane."""

    path: Path
    spi: Spi


Punt: TypeAlias = (
    IkeDatagram
    | L2tpControl
    | PppControl
    | DhcpInform
    | UnknownSession
    | PeerMoved
    | FirstPacket
    | LifetimeReached
    | ReservationLow
    | UnknownSpi
)


@dataclass(slots=True)
class SessionCounters:
    """Of one session; octets count inner IP packets. Times are of the plane's clock."""

    packets_up: int = 0
    packets_down: int = 0
    octets_up: int = 0
    octets_down: int = 0
    last_up: float = 0.0  # any frame from the client
    last_data: float = 0.0  # IP either way, for the idle timeout


@dataclass(slots=True)
class PlaneCounters:
    """Totals since the start. `drops` is keyed by Reason value."""

    datagrams_in: int = 0
    datagrams_out: int = 0
    octets_in: int = 0  # UDP payload
    octets_out: int = 0
    esp_in: int = 0
    esp_out: int = 0
    keepalives_in: int = 0
    packets_up: int = 0  # inner IP
    packets_down: int = 0
    octets_up: int = 0
    octets_down: int = 0
    drops: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class SaState:
    """What has become of one pair of IPsec SAs. `next_sequence` is the next to be sent; everything
    up to `window_top` counts as seen."""

    inbound_spi: Spi
    next_sequence: int
    window_top: int
    octets_in: int
    octets_out: int
    seen: bool
    active: bool  # we send on it


@dataclass(slots=True)
class ClientState:
    """What only the plane knows of a client, for a check-point. Links are those that stand, with
    the Ns of their next data message (RFC 2661 5.4) and their counters."""

    path: Path
    peer_port: int
    short_tags: bool
    sas: tuple[SaState, ...]
    links: tuple[tuple[TunnelId, SessionId, int, SessionCounters], ...]


class Elsewhere(Protocol):
    """What other members of the cluster have. The plane asks for what is not in its tables."""

    def may_serve(self) -> bool:
        """False: we are fenced. Whatever belongs to a client is dropped, and counted as FENCED."""

    def take_esp(self, path: Path, spi: Spi, datagram: bytes) -> bool:
        """An ESP packet whose SPI we don't have. True: it was relayed to its owner, or kept for
        a moment because we are about to own it; the plane does nothing more with it."""

    @property
    def addresses(self) -> Container[bytes]:
        """The inner addresses (4 octets) that sessions of other members have. Read once: always
        the same object, which changes as they come and go."""

    def take_ip(self, packet: bytes, destination: bytes, *, from_client: bool) -> bool:
        """A sound IP packet to an inner address (4 octets) that no session of ours has. True: it
        was given to the member that has it. `from_client`: a client of ours that may reach others
        sent it; `receive_relayed_ip` of the other member must be told, which alone knows whether
        the receiving session may be reached by clients."""


class Plane(Protocol):
    """A data plane. Calls from the control plane; none of them raises for unknown ids."""

    def install_sa(self, sa: SaSpec) -> None: ...
    def activate_sa(self, inbound_spi: Spi) -> None:
        """Send on this SA from now on."""

    def reserve(self, inbound_spi: Spi, last_sequence: int) -> None:
        """Numbers up to `last_sequence` may be sent now. Beyond, packets are dropped and counted as
        SEQUENCE_UNRESERVED. A limit that is not higher than the last one changes nothing."""

    def remove_sa(self, inbound_spi: Spi) -> None: ...
    def move_client(self, client: ClientId, path: Path) -> None:
        """IKE proved a new address of the client."""

    def remove_client(self, client: ClientId) -> None:
        """Drop everything of the client: SAs, links, sessions."""

    def add_link(self, link: LinkSpec) -> None: ...
    def remove_link(self, client: ClientId, tunnel: TunnelId, session: SessionId) -> None: ...
    def bind_session(self, session: SessionSpec) -> None: ...
    def unbind_session(self, client: ClientId, tunnel: TunnelId, session: SessionId) -> None: ...
    def set_policy(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, policy: Policy
    ) -> None: ...
    def send_ike(self, path: Path, message: bytes) -> None: ...
    def send_keepalive(self, client: ClientId) -> None:
        """One octet FF to the client's current address (RFC 3948 4)."""

    def send_l2tp(self, client: ClientId, message: bytes) -> None:
        """Wrap in UDP and ESP, send to the client's current address."""

    def send_ppp(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, frame: bytes
    ) -> None: ...
    def send_ip(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, packet: bytes
    ) -> None:
        """An IP packet of our own making (DHCP, ICMP) to the client."""

    def session_counters(
        self, client: ClientId, tunnel: TunnelId, session: SessionId
    ) -> SessionCounters | None: ...
    def client_state(self, client: ClientId) -> ClientState | None:
        """A copy of what the plane knows; None for a client that has had no SA."""

    def restore_link(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, ns: int, up: int, down: int
    ) -> None:
        """After `add_link` at a take-over: the Ns of the next data message, and the octets that the
        session has counted up and down so far."""

    def counters(self) -> PlaneCounters: ...


PuntSink: TypeAlias = Callable[[Punt], None]
