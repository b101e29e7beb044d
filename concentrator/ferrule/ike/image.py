"""What is carried of ISAKMP and IPsec SAs when a client goes to another process: plain data.

Main Modes that are not up are not carried, nor Quick Modes of ours: the peer begins anew, or we do.
A Quick Mode that awaits message 3 is: the peer sends that once and then uses the SA. SKEYID and
SKEYID_e have done their work when an ISAKMP SA is up, and stay behind. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from ferrule.core.ids import Address, Cookie, Path, Spi
from ferrule.core.secret import Secret
from ferrule.crypto.suites import EspSuite, Group
from ferrule.ike.isakmp_sa import Role
from ferrule.ike.payloads import Identification
from ferrule.ike.policy import Phase1Transform


@dataclass(slots=True, eq=False)
class QuickModeImage:
    """A responder's Quick Mode that awaits message 3."""

    message_id: int
    started: float
    path: Path
    iv: bytes
    ni: bytes
    nr: bytes
    group: Group | None
    inbound_spi: Spi
    peer_spi: bytes
    last_received: bytes
    last_sent: bytes


@dataclass(slots=True, eq=False)
class IsakmpSaImage:
    """An ISAKMP SA that is up. `number` is its handle in the process that it came from; `expires`
    is 0 for never. `last_sent` answers a repeated message 5, and is empty once that is too late.
    """

    number: int
    role: Role
    icookie: Cookie
    rcookie: Cookie
    first_peer: Address | None
    path: Path
    created: float
    expires: float
    transform: Phase1Transform
    life_seconds: int
    natt: str
    vendor_names: tuple[str, ...]
    peer_dpd: bool
    initial_contact: bool
    skeyid_d: Secret
    skeyid_a: Secret
    cipher_key: Secret
    iv: bytes
    identity: str
    home: str
    last_heard: float
    last_received: bytes
    last_sent: bytes
    quick_ids: tuple[int, ...]  # the last ones
    seen_ids: tuple[int, ...]
    dpd_sequence: int
    peer_dpd_sequence: int
    quick_modes: tuple[QuickModeImage, ...]


@dataclass(slots=True, eq=False)
class IpsecSaImage:
    """IKE's part of a pair of IPsec SAs: what a rekey by us would ask for. `isakmp_sa` is the
    `number` of the one that made it, which may be gone; `host` is where its peer is. `quick_mode`
    is the message id of the Quick Mode that still awaits message 3."""

    isakmp_sa: int
    host: str
    inbound_spi: Spi
    outbound_spi: Spi
    suite: EspSuite
    group: Group | None
    mode: int | None
    local_id: Identification | None
    peer_id: Identification | None
    life_seconds: int
    life_kilobytes: int
    created: float
    expires: float
    quick_mode: int | None
    active: bool


@dataclass(slots=True, eq=False)
class IkeImage:
    """The SAs of one client, each kind oldest first."""

    isakmp_sas: tuple[IsakmpSaImage, ...]
    ipsec_sas: tuple[IpsecSaImage, ...]
