"""What is known of an ISAKMP SA, its Quick Modes, its IPsec SAs and its peer: plain data.

Handlers of the exchanges change these records; `ferrule.ike.sa_table` finds them. Keys are
`Secret`; what only the phase 1 exchange needs stands apart and is dropped when it is over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import Final

from ferrule.core.deadlines import Deadlines
from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.dh import DhKey
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash
from ferrule.ike.keys import Skeyids
from ferrule.ike.payloads import Identification
from ferrule.ike.policy import Phase1Transform
from ferrule.ike.proposals import Transform
from ferrule.ike.vendor_ids import NATT_NONE

SEEN_IDS_MAX: Final = 32
QUICK_IDS_MAX: Final = 4096


class Role(Enum):
    INITIATOR = "initiator"
    RESPONDER = "responder"


class MainModeState(Enum):
    """RFC 2409 5.4, by the message that is awaited. `FAILED` only answers duplicates."""

    IDLE = "idle"
    AWAIT_SA = "await_sa"  # initiator: message 2
    AWAIT_KE_R = "await_ke_r"  # responder: message 3
    AWAIT_KE_I = "await_ke_i"  # initiator: message 4
    AWAIT_ID_R = "await_id_r"  # responder: message 5
    AWAIT_ID_I = "await_id_i"  # initiator: message 6
    UP = "up"
    FAILED = "failed"


class QuickModeState(Enum):
    """RFC 2409 5.5, by the message that is awaited. `FAILED` only answers duplicates."""

    IDLE = "idle"
    AWAIT_SA = "await_sa"  # initiator: message 2
    AWAIT_HASH = "await_hash"  # responder: message 3
    UP = "up"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Peer:
    """All SAs with one identity at one address. `last_heard` is the last authenticated octet."""

    identity: str
    host: str
    isakmp: list[IsakmpSa] = field(default_factory=list)  # oldest first
    ipsec: dict[Spi, IpsecSa] = field(default_factory=dict)  # by inbound SPI, oldest first
    last_heard: float = 0.0


@dataclass(slots=True, eq=False)
class Phase1Exchange:
    """What is needed until phase 1 is over."""

    dh: DhKey | None = None
    gxi: bytes = b""
    gxr: bytes = b""
    gxy: bytes = b""
    ni: bytes = b""
    nr: bytes = b""
    offered: tuple[Transform, ...] = ()  # initiator


@dataclass(slots=True, eq=False)
class IsakmpSa:
    """One ISAKMP SA, from its first message to its end."""

    id: IsakmpSaId
    role: Role
    icookie: Cookie
    rcookie: Cookie
    path: Path
    created: float
    first_peer: Address | None = None  # responder: where message 1 came from
    state: MainModeState = MainModeState.IDLE
    deadlines: Deadlines = field(default_factory=Deadlines)
    exchange: Phase1Exchange | None = None
    sai: bytes = b""  # SAi_b
    transform: Phase1Transform | None = None
    cipher: Cipher = Cipher.AES128_CBC
    hash: Hash = Hash.SHA1
    life_seconds: int = 0
    shortened: bool = False  # our lifetime is shorter than what the peer proposed
    natt: str = NATT_NONE
    vendor_names: tuple[str, ...] = ()
    peer_dpd: bool = False
    initial_contact: bool = False
    hint: tuple[Reason, str] | None = None  # what an unauthenticated notification claims
    # from message 5 on
    keys: Skeyids | None = None
    cipher_key: Secret | None = None
    iv: bytes = b""  # last ciphertext block of phase 1
    identity: str = ""
    home: str = ""  # the host that phase 1 proved; the path may move
    peer: Peer | None = None
    # retransmission
    last_received: bytes = b""  # digest
    last_sent: bytes = b""
    tries: int = 0
    # phase 2
    quick_modes: dict[int, QuickMode] = field(default_factory=dict)
    # Message ids of all Quick Modes, oldest first: no replay starts one.
    quick_ids: dict[int, None] = field(default_factory=dict)
    seen_ids: dict[int, None] = field(default_factory=dict)  # of informational exchanges, the last
    dpd_sequence: int = 0
    dpd_tries: int = 0
    peer_dpd_sequence: int = -1

    @property
    def at_home(self) -> bool:
        """The peer is where phase 1 was. Elsewhere it may be somebody who only sends from there,
        and must not end what the owner of that address has."""
        return self.home == self.path.peer.host

    @property
    def cookies(self) -> bytes:
        return self.icookie + self.rcookie

    def remember_id(self, message_id: int) -> None:
        """An informational exchange was authentic; its message id is used up for a while."""
        if len(self.seen_ids) >= SEEN_IDS_MAX:
            del self.seen_ids[next(iter(self.seen_ids))]
        self.seen_ids[message_id] = None


@dataclass(slots=True, eq=False)
class QuickMode:
    """One Quick Mode. `ids` are IDci and IDcr as they were sent, empty for none."""

    message_id: int
    role: Role
    started: float
    path: Path  # where its messages go
    state: QuickModeState = QuickModeState.IDLE
    iv: bytes = b""
    ni: bytes = b""
    nr: bytes = b""
    dh: DhKey | None = None
    group: Group | None = None
    inbound_spi: Spi | None = None
    peer_spi: bytes = b""
    ids: tuple[Identification, ...] = ()
    offered: tuple[tuple[int, Transform], ...] = ()  # initiator: (proposal number, transform)
    mode: int | None = None  # initiator: what it asked for
    life_seconds: int = 0
    life_kilobytes: int = 0
    last_received: bytes = b""  # digest
    last_sent: bytes = b""
    tries: int = 0


@dataclass(slots=True, eq=False)
class IpsecSa:
    """A pair of IPsec SAs. `quick_mode` is the message id of a Quick Mode that awaits message 3.

    `local_id` and `peer_id` are the selectors as our and the peer's side, for a rekey by us."""

    isakmp_sa: IsakmpSaId
    peer: Peer
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
    quick_mode: int | None = None
    active: bool = False


@dataclass(slots=True, eq=False)
class SaView:
    """A line of status output."""

    isakmp_sa: IsakmpSaId
    role: str
    state: str
    identity: str
    path: Path
    suite: str
    natt: str
    created: float  # of the caller's clock
    ipsec_sas: tuple[Spi, ...]


def message_digest(message: bytes) -> bytes:
    """16 octets that stand for a message when its duplicates are looked for."""
    return blake2b(message, digest_size=16).digest()
