"""What the gateway asks of the outside, and the answers: closed unions.

The first group are deeds in the data plane, one per method of `dataplane.interface.Plane`; the
second are questions; the third is what the operator of the gateway wants to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeAlias

from ferrule.accounts.admission import Check
from ferrule.core.credentials import Verdict
from ferrule.core.ids import ClientId, IsakmpSaId, Path, SessionId, Spi, TunnelId
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import LinkSpec, Policy, SaSpec, SessionSpec

# --- deeds in the data plane ----------------------------------------------------------------


@dataclass(slots=True)
class SendIke:
    path: Path
    message: bytes


@dataclass(slots=True)
class SendKeepalive:
    client: ClientId


@dataclass(slots=True)
class SendL2tp:
    client: ClientId
    message: bytes


@dataclass(slots=True)
class SendPpp:
    client: ClientId
    tunnel: TunnelId
    session: SessionId
    frame: bytes


@dataclass(slots=True)
class SendIp:
    client: ClientId
    tunnel: TunnelId
    session: SessionId
    packet: bytes


@dataclass(slots=True)
class InstallSa:
    sa: SaSpec


@dataclass(slots=True)
class ActivateSa:
    inbound_spi: Spi


@dataclass(slots=True)
class Reserve:
    """The numbers up to `last_sequence` are written down as used, and may be sent."""

    inbound_spi: Spi
    last_sequence: int


@dataclass(slots=True)
class RestoreLink:
    """See `Plane.restore_link`."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    ns: int
    octets_up: int
    octets_down: int


@dataclass(slots=True)
class RemoveSa:
    inbound_spi: Spi


@dataclass(slots=True)
class MoveClient:
    client: ClientId
    path: Path


@dataclass(slots=True)
class RemoveClient:
    client: ClientId


@dataclass(slots=True)
class AddLink:
    link: LinkSpec


@dataclass(slots=True)
class RemoveLink:
    client: ClientId
    tunnel: TunnelId
    session: SessionId


@dataclass(slots=True)
class BindSession:
    session: SessionSpec


@dataclass(slots=True)
class UnbindSession:
    client: ClientId
    tunnel: TunnelId
    session: SessionId


@dataclass(slots=True)
class SetPolicy:
    client: ClientId
    tunnel: TunnelId
    session: SessionId
    policy: Policy


PlaneDeed: TypeAlias = (
    SendIke
    | SendKeepalive
    | SendL2tp
    | SendPpp
    | SendIp
    | InstallSa
    | ActivateSa
    | Reserve
    | RestoreLink
    | RemoveSa
    | MoveClient
    | RemoveClient
    | AddLink
    | RemoveLink
    | BindSession
    | UnbindSession
    | SetPolicy
)


# --- questions and answers ------------------------------------------------------------------


@dataclass(slots=True)
class RunCheck:
    """Run a slow password check (scrypt) outside; answer with `CheckDone`."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    ask: int
    check: Check


@dataclass(slots=True)
class CheckDone:
    client: ClientId
    tunnel: TunnelId
    session: SessionId
    ask: int
    verdict: Verdict


@dataclass(slots=True)
class AskActivity:
    """When did the plane last hear from this session? Answer with `Activity`."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId


@dataclass(slots=True)
class Activity:
    """Times of the same clock as `now`. `last_up`: any frame from the client; `last_data`: IP."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    last_up: float
    last_data: float


@dataclass(slots=True)
class AskAdmission:
    """May the authenticated user start this session, and with which address? Answer with
    `AdmissionDone`. `source` is the peer's host address; see `accounts.Accounts.admit`. `since` is
    when the session asked first: it asks again when PPP authenticates again."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    ask: int
    username: str
    source: str
    identity: str
    since: float


@dataclass(slots=True)
class AdmissionDone:
    """`outcome`: the leased address, or why not. Whoever answers ends, or tells the owners to end,
    the sessions that had to make room."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    ask: int
    outcome: IPv4Address | Reason


@dataclass(slots=True)
class ReleaseLease:
    """The session is over: the place and the address that it has, or has asked for, are free."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId


GatewayAnswer: TypeAlias = CheckDone | Activity | AdmissionDone

# --- what the operator wants to know --------------------------------------------------------


@dataclass(slots=True)
class SessionFacts:
    """One session as a person asks about it; the base of the canonical log line."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId
    path: Path
    identity: str
    username: str = ""
    address: IPv4Address | None = None
    auth_method: str = ""
    phase1_suite: str = ""
    phase2_suite: str = ""
    client_name: str = ""  # L2TP host name and vendor, LCP Identification
    vendor_ids: tuple[str, ...] = ()
    started: float = 0.0  # the first IKE message of the client
    up_at: float | None = None  # IPCP open
    stages: dict[str, float] = field(default_factory=dict)  # stage -> seconds


@dataclass(slots=True)
class StageDone:
    """A stage of a set-up is complete after `seconds`."""

    stage: str
    seconds: float


@dataclass(slots=True)
class SessionUp:
    facts: SessionFacts


@dataclass(slots=True)
class SessionEnded:
    """Comes before the plane forgets the session, so that its counters can still be read."""

    facts: SessionFacts
    reason: Reason
    detail: str


@dataclass(slots=True)
class SetupFailed:
    """A set-up ended before IPCP was open; `username` and `identity` may be empty."""

    path: Path
    reason: Reason
    detail: str
    identity: str = ""
    username: str = ""
    client_name: str = ""


@dataclass(slots=True)
class AuthTried:
    """An authentication was judged. `reason` is None for a success."""

    path: Path
    username: str
    method: str
    reason: Reason | None


@dataclass(slots=True)
class IsakmpSaUp:
    isakmp_sa: IsakmpSaId
    path: Path
    identity: str
    suite: str
    vendor_ids: tuple[str, ...]
    seconds: float
    rekey: bool = False  # the client had one


@dataclass(slots=True)
class IpsecSaUp:
    client: ClientId
    inbound_spi: Spi
    suite: str
    pfs: str
    rekey: bool
    seconds: float


@dataclass(slots=True)
class SaDown:
    """An ISAKMP SA (`kind` "isakmp") or a pair of IPsec SAs ("ipsec") is gone."""

    kind: str
    reason: Reason


@dataclass(slots=True)
class ClientMoved:
    client: ClientId
    path: Path


@dataclass(slots=True)
class Dropped:
    """Counted by reason; logged at DEBUG, for strangers can cause it."""

    reason: Reason
    detail: str


GatewayEffect: TypeAlias = (
    PlaneDeed
    | RunCheck
    | AskActivity
    | AskAdmission
    | ReleaseLease
    | StageDone
    | SessionUp
    | SessionEnded
    | SetupFailed
    | AuthTried
    | IsakmpSaUp
    | IpsecSaUp
    | SaDown
    | ClientMoved
    | Dropped
)
