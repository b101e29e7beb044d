"""NAT traversal: which version, NAT-D both ways, and the encapsulation mode of Quick Mode.

RFC 3947 and drafts ietf-ipsec-nat-t-ike-02 and -03, whose payload and attribute numbers are
private ones. We never need to know whether there is a NAT: everybody uses UDP encapsulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from ferrule.core.ids import Address, Cookie
from ferrule.crypto.hashes import DIGEST_OCTETS, digest
from ferrule.crypto.suites import Hash
from ferrule.ike.iana import EncapsulationMode
from ferrule.ike.payloads import NatD
from ferrule.ike.vendor_ids import (
    NATT_DRAFT_02,
    NATT_DRAFT_02_N,
    NATT_DRAFT_03,
    NATT_NONE,
    NATT_RFC,
)

VERSIONS: Final = (NATT_RFC, NATT_DRAFT_03, NATT_DRAFT_02_N, NATT_DRAFT_02)  # best first
DRAFTS: Final = frozenset({NATT_DRAFT_03, NATT_DRAFT_02_N, NATT_DRAFT_02})
TRANSPORT_MODES: Final = frozenset(
    {
        EncapsulationMode.TRANSPORT,
        EncapsulationMode.UDP_TRANSPORT,
        EncapsulationMode.UDP_TRANSPORT_DRAFT,
    }
)


def choose_version(names: Iterable[str]) -> str:
    """The best version among a peer's vendor ids, or "none"."""
    offered = set(names)
    return next((version for version in VERSIONS if version in offered), NATT_NONE)


def transport_mode(version: str, *, udp: bool) -> EncapsulationMode:
    """What an initiator asks for."""
    if not udp:
        return EncapsulationMode.TRANSPORT
    if version in DRAFTS:
        return EncapsulationMode.UDP_TRANSPORT_DRAFT
    return EncapsulationMode.UDP_TRANSPORT


def nat_d_hash(algorithm: Hash, icookie: Cookie, rcookie: Cookie, address: Address) -> bytes:
    """RFC 3947 3.2: HASH(CKY-I | CKY-R | IP | Port)."""
    packed = ip_address(address.host.partition("%")[0]).packed
    return digest(algorithm, icookie + rcookie + packed + address.port.to_bytes(2, "big"))


def responder_nat_d(
    algorithm: Hash, version: str, peer_nat_d: list[NatD], entropy: Callable[[int], bytes]
) -> list[NatD]:
    """What message 4 says: nothing matches the client, and we are just where it thinks.

    The first hash, about the client's address, is random: the client finds itself behind a NAT
    and uses UDP encapsulation, the only one that Services and user space carry. The second, about
    our own address, is the client's own hash for it, its first NAT-D payload: no client ever finds
    the server behind a NAT.
    """
    # DEVIATION: RFC 3947 3.2 wants the true hashes. Ours force UDP encapsulation and hide load
    # balancers; QUIRK(windows): a server behind a NAT is refused without a registry change.
    if version == NATT_NONE or not peer_nat_d:
        return []
    draft = version in DRAFTS
    return [
        NatD(entropy(DIGEST_OCTETS[algorithm]), draft),
        NatD(peer_nat_d[0].data, draft),
    ]


def initiator_nat_d(
    algorithm: Hash,
    version: str,
    icookie: Cookie,
    rcookie: Cookie,
    peer: Address,
    entropy: Callable[[int], bytes],
) -> list[NatD]:
    """What message 3 says: the truth about the server, nothing that matches about ourselves,
    so that the server uses UDP encapsulation: a client in user space has no protocol 50."""
    if version == NATT_NONE:
        return []
    draft = version in DRAFTS
    return [
        NatD(nat_d_hash(algorithm, icookie, rcookie, peer), draft),
        NatD(entropy(DIGEST_OCTETS[algorithm]), draft),
    ]
