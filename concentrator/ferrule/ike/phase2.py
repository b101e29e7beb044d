"""What both roles of Quick Mode share: selectors, KEYMAT, the step to a pair of IPsec SAs.

RFC 2409 5.5, RFC 2407 4.5, RFC 3193 4 (which selectors L2TP uses).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Spi
from ferrule.core.reasons import Reason
from ferrule.crypto.suites import EspSuite, Group
from ferrule.ike.choice import KILOBYTE, LIFE_OCTETS_MAX
from ferrule.ike.effects import ActivateIpsecSa, InstallIpsecSa, RemoveIpsecSa
from ferrule.ike.iana import IdType, ProtocolId
from ferrule.ike.informational_send import send_deletes
from ferrule.ike.isakmp_sa import IpsecSa, IsakmpSa, QuickMode, QuickModeState
from ferrule.ike.keys import Skeyids, keymat
from ferrule.ike.payloads import Contents, Identification
from ferrule.ike.timing import LIFE_GRACE_SECONDS, QUICK_MODE_MEMORY_SECONDS
from ferrule.ike.turn import Turn

L2TP_PORT: Final = 1701
UDP: Final = 17
_HOSTS: Final = {
    IdType.IPV4_ADDR: 4,
    IdType.IPV6_ADDR: 16,
    IdType.IPV4_ADDR_SUBNET: 8,
    IdType.IPV6_ADDR_SUBNET: 32,
}
_NAMES: Final = frozenset({IdType.FQDN, IdType.USER_FQDN})


def keys_of(sa: IsakmpSa) -> Skeyids:
    """Those of an ISAKMP SA that is up."""
    if sa.keys is None:
        raise ValueError("the ISAKMP SA has no keys yet")
    return sa.keys


def read_ids(contents: Contents) -> tuple[Identification, ...]:
    """IDci and IDcr, or nothing: they come in pairs. Raises Malformed."""
    ids = tuple(contents.all(Identification))
    if len(ids) not in (0, 2):
        raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, f"{len(ids)} identification payloads")
    return ids


def own_ports(sa: IsakmpSa) -> frozenset[int]:
    """1701, any, and what we asked for ourselves with this peer."""
    pairs = sa.peer.ipsec.values() if sa.peer is not None else ()
    return frozenset((0, L2TP_PORT, *(_port(ipsec.local_id) for ipsec in pairs)))


def check_selectors(
    own: Identification, peer: Identification, ports: frozenset[int] = frozenset((0, L2TP_PORT))
) -> None:
    """Transport mode for L2TP: one host each; UDP; our port is one of `ports`.

    The peer's port may be anything: 1701, any (Android), an ephemeral one (macOS). Its address is
    not looked at: behind a NAT it is private. QUIRK(windows): an FQDN after a rekey of XP.
    Raises ProtocolError(TRAFFIC_SELECTOR).
    """
    for side, identification in (("own", own), ("peer", peer)):
        kind, data = identification.kind, identification.data
        octets = _HOSTS.get(kind)  # type: ignore[call-overload]
        whole_mask = kind in (IdType.IPV4_ADDR, IdType.IPV6_ADDR) or data[
            len(data) // 2 :
        ] == b"\xff" * (len(data) // 2)
        if kind not in _NAMES and (octets != len(data) or not whole_mask):
            raise ProtocolError(Reason.TRAFFIC_SELECTOR, f"{side}: type {kind}, {data.hex()}")
        if identification.protocol not in (0, UDP):
            raise ProtocolError(
                Reason.TRAFFIC_SELECTOR, f"{side}: IP protocol {identification.protocol}"
            )
    if own.port not in ports:
        raise ProtocolError(Reason.TRAFFIC_SELECTOR, f"own port {own.port}")


def newest_other(sa: IsakmpSa, own_port: int, peer_port: int, except_spi: Spi) -> Spi | None:
    """The active IPsec SA that a new one of the same selectors stands in for."""
    if sa.peer is None:
        return None
    for spi, ipsec in reversed(sa.peer.ipsec.items()):
        ports = (_port(ipsec.local_id), _port(ipsec.peer_id))
        if spi != except_spi and ipsec.active and ports == (own_port, peer_port):
            return spi
    return None


def _port(identification: Identification | None) -> int:
    return identification.port if identification is not None else 0


@dataclass(slots=True, eq=False)
class Agreement:
    """What a Quick Mode settled. `gxy` is empty without PFS; ids are None where none were sent;
    `mode` is None where the peer left it out."""

    suite: EspSuite
    gxy: bytes
    mode: int | None
    life_seconds: int
    life_kilobytes: int
    local_id: Identification | None
    peer_id: Identification | None


def install(turn: Turn, sa: IsakmpSa, quick: QuickMode, agreed: Agreement) -> IpsecSa:
    """Make the pair of IPsec SAs: KEYMAT of both directions, the effect, the lifetime."""
    if sa.peer is None or quick.inbound_spi is None:
        raise ValueError("Quick Mode without an ISAKMP SA that is up")
    keys, octets = keys_of(sa), agreed.suite.keymat_octets
    outbound = Spi(int.from_bytes(quick.peer_spi, "big"))
    inbound_key, outbound_key = (
        keymat(sa.hash, keys.skeyid_d, agreed.gxy, ProtocolId.ESP, spi, quick.ni, quick.nr, octets)
        for spi in (quick.inbound_spi.to_bytes(4, "big"), quick.peer_spi)
    )
    ipsec = IpsecSa(
        sa.id,
        sa.peer,
        quick.inbound_spi,
        outbound,
        agreed.suite,
        quick.group,
        agreed.mode,
        agreed.local_id,
        agreed.peer_id,
        agreed.life_seconds,
        agreed.life_kilobytes,
        created=turn.now,
        expires=turn.now + agreed.life_seconds + LIFE_GRACE_SECONDS,
        quick_mode=quick.message_id,
    )
    turn.table.add_ipsec(ipsec)
    turn.effects.append(
        InstallIpsecSa(
            sa.id,
            quick.inbound_spi,
            outbound,
            agreed.suite,
            inbound_key,
            outbound_key,
            _port(agreed.local_id),
            _port(agreed.peer_id),
            agreed.life_seconds,
            min(agreed.life_kilobytes * KILOBYTE, LIFE_OCTETS_MAX),
            quick.path.natt,
            quick.path,
        )
    )
    return ipsec


def activate(turn: Turn, sa: IsakmpSa, quick: QuickMode, ipsec: IpsecSa) -> None:
    """Quick Mode is complete."""
    ipsec.quick_mode = None
    ipsec.active = True
    quick.state = QuickModeState.UP
    quick.dh = None
    replaces = newest_other(sa, _port(ipsec.local_id), _port(ipsec.peer_id), ipsec.inbound_spi)
    turn.table.arm_quick_mode(sa, quick, turn.now + QUICK_MODE_MEMORY_SECONDS)
    turn.effects.append(
        ActivateIpsecSa(
            ipsec.isakmp_sa,
            ipsec.inbound_spi,
            str(ipsec.suite),
            pfs_name(quick.group),
            replaces,
            turn.now - quick.started,
        )
    )
    _make_room(turn, sa)


def _make_room(turn: Turn, sa: IsakmpSa) -> None:
    """Too many pairs of one ISAKMP SA: the oldest goes. Only who completes a Quick Mode gets
    here, so a replayed first message pushes nothing out."""
    if sa.peer is None:
        return
    own = [i for i in sa.peer.ipsec.values() if i.isakmp_sa == sa.id and i.active]
    for ipsec in own[: max(0, len(own) - turn.policy.ipsec_sas_max)]:
        remove(turn, ipsec, Reason.PHASE2_LIMIT, tell_peer=True)


def pfs_name(group: Group | None) -> str:
    return group.name.lower() if group is not None else ""


def remove(turn: Turn, ipsec: IpsecSa, reason: Reason, *, tell_peer: bool) -> None:
    """A pair of IPsec SAs is over."""
    carrier = turn.table.carrier(ipsec)
    turn.table.remove_ipsec(ipsec)
    own = turn.table.isakmp.get(ipsec.isakmp_sa)
    if own is not None and ipsec.quick_mode in own.quick_modes:
        turn.table.remove_quick_mode(own, own.quick_modes[ipsec.quick_mode])
    if tell_peer and carrier is not None:
        send_deletes(turn, carrier, (ipsec.inbound_spi,), with_isakmp=False)
    turn.effects.append(RemoveIpsecSa(ipsec.isakmp_sa, ipsec.inbound_spi, reason))
