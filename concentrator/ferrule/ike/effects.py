"""What the IKE endpoint asks of the outside: a closed union, matched with `assert_never`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ferrule.core.ids import IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite


@dataclass(slots=True)
class SendIke:
    """Send an ISAKMP message (without the four zero octets: the sender adds them if path.natt)."""

    path: Path
    message: bytes


@dataclass(slots=True)
class IsakmpSaUp:
    """Phase 1 is authenticated. `identity` is the peer's ID payload as text ("192.168.1.5",
    "@name", ...); `suite` reads "aes256-sha1-modp2048"; `vendor_ids` are the known names."""

    isakmp_sa: IsakmpSaId
    path: Path
    identity: str
    suite: str
    vendor_ids: tuple[str, ...]
    natt: str  # "rfc3947", "draft-02", "draft-02_n", "draft-03", or "none"
    seconds: float  # from the first message to now


@dataclass(slots=True)
class IsakmpSaDown:
    """The ISAKMP SA is gone. Its IPsec SAs live on (RFC 2408 leaves them) unless
    `with_ipsec_sas`: the peer is dead, came back with INITIAL-CONTACT, or we closed it."""

    isakmp_sa: IsakmpSaId
    reason: Reason
    with_ipsec_sas: bool


@dataclass(slots=True)
class InitialContact:
    """The peer said, in an authenticated message, that it holds no other SA with us.

    The gateway drops older clients of the same identity *and* source address."""

    isakmp_sa: IsakmpSaId


@dataclass(slots=True)
class InstallIpsecSa:
    """Quick Mode message 2 goes out: the inbound side must work before it is sent.

    Keys are KEYMAT of one direction each (`EspSuite.keymat_octets`). Ports are those of the
    selectors (UDP), 0 for any. The outbound side is used after `ActivateIpsecSa`, or as soon as
    a packet with a good tag came in on `inbound_spi`.
    """

    isakmp_sa: IsakmpSaId
    inbound_spi: Spi
    outbound_spi: Spi
    suite: EspSuite
    inbound_key: Secret
    outbound_key: Secret
    local_port: int
    peer_port: int
    life_seconds: int
    life_octets: int  # 0: no limit
    udp_encapsulated: bool
    path: Path


@dataclass(slots=True)
class ActivateIpsecSa:
    """Quick Mode is complete: send on this SA from now on. `replaces` is the SA that this one
    rekeys as far as we know, or None. `seconds` is the time that Quick Mode took."""

    isakmp_sa: IsakmpSaId
    inbound_spi: Spi
    suite: str
    pfs: str  # group name or ""
    replaces: Spi | None
    seconds: float


@dataclass(slots=True)
class RemoveIpsecSa:
    """The pair of SAs is over: Delete, lifetime, a limit, or its Quick Mode failed."""

    isakmp_sa: IsakmpSaId
    inbound_spi: Spi
    reason: Reason


@dataclass(slots=True)
class IkeFailed:
    """A set-up ended before it was up: one counted reason and one log line, `detail` without
    secrets (for NO_PROPOSAL it lists what was offered)."""

    path: Path
    reason: Reason
    detail: str


@dataclass(slots=True)
class IkeDropped:
    """A message was dropped. Counted, logged at DEBUG only: strangers can cause it."""

    path: Path
    reason: Reason
    detail: str


IkeEffect: TypeAlias = (
    SendIke
    | IsakmpSaUp
    | IsakmpSaDown
    | InitialContact
    | InstallIpsecSa
    | ActivateIpsecSa
    | RemoveIpsecSa
    | IkeFailed
    | IkeDropped
)
