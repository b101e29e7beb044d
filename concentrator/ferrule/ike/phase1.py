"""What both roles of Main Mode share: keys, vendor ids, the step to an ISAKMP SA that is up.

RFC 2409 5 and 5.4 with a pre-shared key.
"""

from __future__ import annotations

from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.ike import dpd, vendor_ids
from ferrule.ike.effects import InitialContact, IsakmpSaDown, IsakmpSaUp, RemoveIpsecSa
from ferrule.ike.iana import NotifyType
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState, Phase1Exchange
from ferrule.ike.keys import Skeyids, derive_skeyids, expand_cipher_key, phase1_iv, skeyid_psk
from ferrule.ike.payloads import Contents, Nonce, Notification, VendorId
from ferrule.ike.timing import LIFE_GRACE_SECONDS
from ferrule.ike.turn import Turn

NONCE_OCTETS: Final = 32
NONCE_OCTETS_MIN: Final = 8  # RFC 2409 5
NONCE_OCTETS_MAX: Final = 256
ISAKMP_SAS_PER_PEER_MAX: Final = 8
TIMER_HALF_OPEN: Final = "half_open"
TIMER_RETRANSMIT: Final = "retransmit"
TIMER_LIFE: Final = "life"


def exchange_of(sa: IsakmpSa) -> Phase1Exchange:
    """The exchange in progress."""
    if sa.exchange is None:
        raise ValueError("phase 1 is over")
    return sa.exchange


def read_nonce(contents: Contents) -> bytes:
    """Raises Malformed(BAD_NONCE)."""
    data = contents.first(Nonce).data
    if not NONCE_OCTETS_MIN <= len(data) <= NONCE_OCTETS_MAX:
        raise Malformed(Reason.BAD_NONCE, f"{len(data)} octets")
    return data


def read_vendor_ids(sa: IsakmpSa, contents: Contents) -> tuple[str, ...]:
    """Note what the peer says about itself; the names that this message added."""
    names = vendor_ids.vendor_names(payload.data for payload in contents.all(VendorId))
    if vendor_ids.DPD in names:
        sa.peer_dpd = True
    sa.vendor_names = tuple(dict.fromkeys((*sa.vendor_names, *names)))
    return names


def derive_keys(sa: IsakmpSa, key: Secret) -> tuple[Skeyids, Secret]:
    """SKEYIDs and the cipher key for one pre-shared key."""
    exchange = exchange_of(sa)
    skeyid = skeyid_psk(sa.hash, key, exchange.ni, exchange.nr)
    skeyids = derive_skeyids(sa.hash, skeyid, exchange.gxy, sa.icookie, sa.rcookie)
    return skeyids, expand_cipher_key(sa.hash, skeyids.skeyid_e, sa.cipher.info.key)


def first_iv(sa: IsakmpSa) -> bytes:
    """The IV of message 5."""
    exchange = exchange_of(sa)
    return phase1_iv(sa.hash, exchange.gxi, exchange.gxr, sa.cipher.info.block)


def come_up(turn: Turn, sa: IsakmpSa, identity: str, contents: Contents) -> None:
    """The peer is authenticated. `contents` are those of its last message of phase 1."""
    sa.exchange = None
    sa.sai = b""
    sa.hint = None
    sa.identity = identity
    sa.state = MainModeState.UP
    peer = turn.table.join_peer(sa, turn.now)
    turn.admission.remove(sa.id)
    sa.deadlines.clear_all()
    sa.deadlines.set(TIMER_LIFE, turn.now + sa.life_seconds + LIFE_GRACE_SECONDS)
    for other in peer.isakmp[:-1]:
        dpd.disarm(turn, other)
    dpd.arm(turn, sa)
    turn.table.rearm(sa)
    turn.effects.append(
        IsakmpSaUp(
            sa.id,
            sa.path,
            identity,
            str(sa.transform),
            sa.vendor_names,
            sa.natt,
            turn.now - sa.created,
        )
    )
    if any(n.kind == NotifyType.INITIAL_CONTACT for n in contents.all(Notification)):
        initial_contact(turn, sa)
    while len(peer.isakmp) > ISAKMP_SAS_PER_PEER_MAX:
        take_down(turn, peer.isakmp[0], Reason.REPLACED_SA)


def initial_contact(turn: Turn, sa: IsakmpSa) -> None:
    """RFC 2407 4.6.3.3. Once an ISAKMP SA: a replayed one must not end anything."""
    if sa.at_home and not sa.initial_contact:
        sa.initial_contact = True
        turn.effects.append(InitialContact(sa.id))


def take_down(turn: Turn, sa: IsakmpSa, reason: Reason) -> None:
    """Remove an ISAKMP SA that was up; its IPsec SAs live on, but for unfinished ones."""
    peer = sa.peer
    for ipsec in list(peer.ipsec.values()) if peer is not None else ():
        if ipsec.isakmp_sa == sa.id and ipsec.quick_mode is not None:
            turn.table.remove_ipsec(ipsec)
            turn.effects.append(RemoveIpsecSa(sa.id, ipsec.inbound_spi, reason))
    turn.table.remove_isakmp(sa)
    turn.effects.append(IsakmpSaDown(sa.id, reason, with_ipsec_sas=False))
    if peer is not None and peer.isakmp:
        dpd.arm(turn, peer.isakmp[-1])
        turn.table.rearm(peer.isakmp[-1])
