"""What is carried of ISAKMP and IPsec SAs when a client goes to another process: plain data.

Main Modes that are not up are not carried, nor Quick Modes of ours: the peer begins anew, or we do.
A Quick Mode that awaits message 3 is: the peer sends that once and then uses the SA. SKEYID and
SKEYID_e have done their work when an ISAKMP SA is up, and stay behind. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path, Spi
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash
from ferrule.ike.choice import LIFE_OCTETS_MAX
from ferrule.ike.isakmp_sa import (
    IpsecSa,
    IsakmpSa,
    MainModeState,
    Peer,
    QuickMode,
    QuickModeState,
    Role,
)
from ferrule.ike.keys import Skeyids
from ferrule.ike.payloads import Identification
from ferrule.ike.phase1 import TIMER_LIFE
from ferrule.ike.phase2 import keys_of
from ferrule.ike.policy import Phase1Transform
from ferrule.ike.timing import HALF_OPEN_SECONDS

QUICK_IDS_CARRIED: Final = 64


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
    """An ISAKMP SA that is up. `number` is its handle in the process that it came from.
    `last_sent` answers a repeated message 5, and is empty once that is too late.
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

    identity: str
    isakmp_sas: tuple[IsakmpSaImage, ...]
    ipsec_sas: tuple[IpsecSaImage, ...]


# --- out of the records, and into them ---------------------------------------------------------
#
# `offset` is what makes Unix time of the machine's clock.


def isakmp_image(sa: IsakmpSa, offset: float, now: float) -> IsakmpSaImage:
    """Raises ValueError for one that is not up."""
    keys, transform, cipher_key = keys_of(sa), sa.transform, sa.cipher_key
    if transform is None or cipher_key is None:
        raise ValueError("an ISAKMP SA that is not up")
    repeats = now < sa.created + HALF_OPEN_SECONDS  # the peer may still repeat message 5
    return IsakmpSaImage(
        number=sa.id,
        role=sa.role,
        icookie=sa.icookie,
        rcookie=sa.rcookie,
        first_peer=sa.first_peer,
        path=sa.path,
        created=sa.created + offset,
        expires=(sa.deadlines.get(TIMER_LIFE) or 0.0) + offset,
        transform=transform,
        life_seconds=sa.life_seconds,
        natt=sa.natt,
        vendor_names=sa.vendor_names,
        peer_dpd=sa.peer_dpd,
        initial_contact=sa.initial_contact,
        skeyid_d=keys.skeyid_d,
        skeyid_a=keys.skeyid_a,
        cipher_key=cipher_key,
        iv=sa.iv,
        home=sa.home,
        last_heard=(sa.peer.last_heard if sa.peer is not None else sa.created) + offset,
        last_received=sa.last_received if repeats else b"",
        last_sent=sa.last_sent if repeats else b"",
        quick_ids=tuple(sa.quick_ids)[-QUICK_IDS_CARRIED:],
        seen_ids=tuple(sa.seen_ids),
        dpd_sequence=sa.dpd_sequence,
        peer_dpd_sequence=sa.peer_dpd_sequence,
        quick_modes=tuple(
            _quick_mode_image(quick, offset)
            for quick in sa.quick_modes.values()
            if quick.state is QuickModeState.AWAIT_HASH
        ),
    )


def isakmp_of(image: IsakmpSaImage, number: IsakmpSaId, identity: str, offset: float) -> IsakmpSa:
    """Without its peer. The caller arms its timers."""
    transform, unused = image.transform, Secret(b"")
    sa = IsakmpSa(
        number,
        image.role,
        image.icookie,
        image.rcookie,
        image.path,
        image.created - offset,
        first_peer=image.first_peer,
        state=MainModeState.UP,
        transform=transform,
        cipher=transform.cipher or Cipher.AES128_CBC,
        hash=transform.hash or Hash.SHA1,
        life_seconds=image.life_seconds,
        natt=image.natt,
        vendor_names=image.vendor_names,
        peer_dpd=image.peer_dpd,
        initial_contact=image.initial_contact,
        keys=Skeyids(unused, image.skeyid_d, image.skeyid_a, unused),
        cipher_key=image.cipher_key,
        iv=image.iv,
        identity=identity,
        home=image.home,
        last_received=image.last_received,
        last_sent=image.last_sent,
        quick_ids=dict.fromkeys(image.quick_ids),
        seen_ids=dict.fromkeys(image.seen_ids),
        dpd_sequence=image.dpd_sequence,
        peer_dpd_sequence=image.peer_dpd_sequence,
        quick_modes={
            quick.message_id: _quick_mode_of(quick, offset) for quick in image.quick_modes
        },
    )
    sa.deadlines.set(TIMER_LIFE, image.expires - offset)
    return sa


def _quick_mode_image(quick: QuickMode, offset: float) -> QuickModeImage:
    assert quick.inbound_spi is not None
    return QuickModeImage(
        quick.message_id,
        quick.started + offset,
        quick.path,
        quick.iv,
        quick.ni,
        quick.nr,
        quick.group,
        quick.inbound_spi,
        quick.peer_spi,
        quick.last_received,
        quick.last_sent,
    )


def _quick_mode_of(image: QuickModeImage, offset: float) -> QuickMode:
    return QuickMode(
        image.message_id,
        Role.RESPONDER,
        image.started - offset,
        image.path,
        state=QuickModeState.AWAIT_HASH,
        iv=image.iv,
        ni=image.ni,
        nr=image.nr,
        group=image.group,
        inbound_spi=image.inbound_spi,
        peer_spi=image.peer_spi,
        last_received=image.last_received,
        last_sent=image.last_sent,
    )


def ipsec_image(ipsec: IpsecSa, offset: float) -> IpsecSaImage:
    return IpsecSaImage(
        ipsec.isakmp_sa,
        ipsec.peer.host,
        ipsec.inbound_spi,
        ipsec.outbound_spi,
        ipsec.suite,
        ipsec.group,
        ipsec.mode,
        ipsec.local_id,
        ipsec.peer_id,
        ipsec.life_seconds,
        min(ipsec.life_kilobytes, LIFE_OCTETS_MAX),  # the peer may say any number
        ipsec.created + offset,
        ipsec.expires + offset,
        ipsec.quick_mode,
        ipsec.active,
    )


def ipsec_of(image: IpsecSaImage, isakmp_sa: IsakmpSaId, peer: Peer, offset: float) -> IpsecSa:
    return IpsecSa(
        isakmp_sa,
        peer,
        image.inbound_spi,
        image.outbound_spi,
        image.suite,
        image.group,
        image.mode,
        image.local_id,
        image.peer_id,
        image.life_seconds,
        image.life_kilobytes,
        image.created - offset,
        image.expires - offset,
        image.quick_mode,
        image.active,
    )
