"""Quick Mode as initiator: messages 1 and 2 (RFC 2409 5.5): the client's, and our rekeys.

A rekey offers exactly what the old pair of SAs has, with its selectors turned around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.crypto import dh
from ferrule.crypto.suites import Cipher, EspSuite, Group, Integrity
from ferrule.ike.attributes import Attribute, parse_attributes
from ferrule.ike.choice import ESP_CIPHERS, ESP_INTEGRITIES, read_lifetime, read_suite
from ferrule.ike.iana import (
    ExchangeType,
    LifeType,
    NotifyType,
    PayloadType,
    Phase2Attribute,
    ProtocolId,
)
from ferrule.ike.identity import address_identification, own_identification
from ferrule.ike.isakmp_sa import (
    IpsecSa,
    IsakmpSa,
    QuickMode,
    QuickModeState,
    Role,
    message_digest,
)
from ferrule.ike.keys import hash_1, hash_2, hash_3
from ferrule.ike.natt import DRAFTS, transport_mode
from ferrule.ike.payloads import (
    Contents,
    Identification,
    KeyExchange,
    NatOa,
    Nonce,
    Notification,
    Payload,
    SecurityAssociation,
    security_association,
)
from ferrule.ike.phase1 import read_nonce
from ferrule.ike.phase2 import UDP, Agreement, activate, install, keys_of
from ferrule.ike.policy import RawTransform
from ferrule.ike.proposals import Proposal, Transform, offer
from ferrule.ike.protection import check_hash, encrypt_message, exchange_iv, hashed_body
from ferrule.ike.timing import RETRANSMIT_SECONDS
from ferrule.ike.turn import Received, Turn

_LIFETIME: Final = frozenset({Phase2Attribute.LIFE_TYPE, Phase2Attribute.LIFE_DURATION})
_CIPHER_NUMBERS: Final[dict[Cipher, tuple[int, int]]] = {
    cipher: numbers for numbers, cipher in ESP_CIPHERS.items() if numbers != (12, 0)
}
_INTEGRITY_NUMBERS: Final[dict[Integrity, int]] = {
    integrity: number for number, integrity in ESP_INTEGRITIES.items()
}


@dataclass(slots=True, eq=False)
class Wish:
    """What a Quick Mode asks for. No selectors: whatever runs between the two addresses."""

    suites: tuple[EspSuite | RawTransform, ...]
    group: Group | None
    mode: int
    local_id: Identification | None
    peer_id: Identification | None
    life_seconds: int
    life_kilobytes: int
    proposal_each: bool = False
    nat_oa: bool = False


def client_wish(turn: Turn, sa: IsakmpSa) -> Wish:
    """What the policy's offer says."""
    policy = turn.policy
    local_id = peer_id = None
    if policy.offer_ids:
        local_id = own_identification(policy.offer_identification, sa.path.local.host)
        local_id.protocol, local_id.port = UDP, policy.offer_local_port
        peer_id = address_identification(sa.path.peer.host, UDP, policy.offer_peer_port)
    return Wish(
        policy.offer_phase2,
        policy.offer_pfs,
        transport_mode(sa.natt, udp=sa.path.natt),
        local_id,
        peer_id,
        policy.offer_esp_seconds,
        policy.offer_esp_kilobytes,
        policy.offer_proposal_each,
        policy.offer_nat_oa,
    )


def rekey_wish(sa: IsakmpSa, ipsec: IpsecSa) -> Wish:
    """The same again."""
    mode = ipsec.mode
    if mode is None:
        mode = transport_mode(sa.natt, udp=sa.path.natt)
    return Wish(
        (ipsec.suite,),
        ipsec.group,
        mode,
        ipsec.local_id,
        ipsec.peer_id,
        ipsec.life_seconds,
        ipsec.life_kilobytes,
    )


def _transform(suite: EspSuite | RawTransform, wish: Wish, number: int) -> Transform:
    attributes: list[Attribute] = [(Phase2Attribute.LIFE_TYPE, LifeType.SECONDS)]
    attributes.append((Phase2Attribute.LIFE_DURATION, wish.life_seconds))
    if wish.life_kilobytes:
        attributes.append((Phase2Attribute.LIFE_TYPE, LifeType.KILOBYTES))
        attributes.append((Phase2Attribute.LIFE_DURATION, wish.life_kilobytes))
    if isinstance(suite, RawTransform):
        return offer(suite.transform_id, (*suite.attributes, *attributes), number)
    transform_id, bits = _CIPHER_NUMBERS[suite.cipher]
    if wish.group is not None:
        attributes.append((Phase2Attribute.GROUP_DESCRIPTION, wish.group.value))
    attributes.append((Phase2Attribute.ENCAPSULATION_MODE, wish.mode))
    if suite.integrity is not None:
        algorithm = _INTEGRITY_NUMBERS[suite.integrity]
        attributes.append((Phase2Attribute.AUTHENTICATION_ALGORITHM, algorithm))
    if bits:
        attributes.append((Phase2Attribute.KEY_LENGTH, bits))
    return offer(transform_id, tuple(attributes), number)


def _proposals(wish: Wish, spi: bytes) -> list[Proposal]:
    if wish.proposal_each:
        return [
            Proposal(number, ProtocolId.ESP, spi, [_transform(suite, wish, 1)])
            for number, suite in enumerate(wish.suites, 1)
        ]
    transforms = [_transform(suite, wish, number) for number, suite in enumerate(wish.suites, 1)]
    return [Proposal(1, ProtocolId.ESP, spi, transforms)]


def start(turn: Turn, sa: IsakmpSa, wish: Wish) -> None:
    """Message 1. The ISAKMP SA is up."""
    message_id = turn.fresh_id()
    quick = QuickMode(message_id, Role.INITIATOR, turn.now, sa.path)
    quick.state = QuickModeState.AWAIT_SA
    quick.inbound_spi = turn.fresh_spi(sa.id)
    quick.ni = turn.entropy(turn.policy.offer_nonce_octets)
    quick.group = wish.group
    quick.mode = wish.mode
    quick.life_seconds, quick.life_kilobytes = wish.life_seconds, wish.life_kilobytes
    proposals = _proposals(wish, quick.inbound_spi.to_bytes(4, "big"))
    quick.offered = tuple((p.number, t) for p in proposals for t in p.transforms)
    payloads: list[Payload] = [security_association(proposals), Nonce(quick.ni)]
    if wish.group is not None:
        quick.dh = dh.generate(wish.group)
        payloads.append(KeyExchange(quick.dh.public))
    if wish.local_id is not None and wish.peer_id is not None:
        quick.ids = (wish.local_id, wish.peer_id)
        payloads += quick.ids
    if wish.nat_oa:
        draft = sa.natt in DRAFTS
        for host in (sa.path.local.host, sa.path.peer.host):
            address = address_identification(host)
            payloads.append(NatOa(address.kind, address.data, draft))
    skeyid_a = keys_of(sa).skeyid_a
    body = hashed_body(payloads, lambda rest: hash_1(sa.hash, skeyid_a, message_id, rest))
    message, quick.iv = encrypt_message(
        sa, ExchangeType.QUICK_MODE, message_id, PayloadType.HASH, body, exchange_iv(sa, message_id)
    )
    quick.last_sent = message
    sa.quick_ids[message_id] = None
    sa.quick_modes[message_id] = quick
    turn.send(quick.path, message)
    turn.table.arm_quick_mode(sa, quick, turn.now + RETRANSMIT_SECONDS[0])


def _read_choice(quick: QuickMode, contents: Contents) -> tuple[Proposal, Transform, EspSuite]:
    """The responder's choice must be one of our offers; it may change the lifetime only."""
    proposals = contents.first(SecurityAssociation).proposals
    if len(proposals) != 1 or len(proposals[0].transforms) != 1 or len(proposals[0].spi) != 4:
        raise Malformed(Reason.NO_PHASE2_PROPOSAL, "the responder's SA payload")
    proposal, chosen = proposals[0], proposals[0].transforms[0]
    wanted = _without_lifetime(chosen)
    if not any(
        chosen.transform_id == offered.transform_id and wanted == _without_lifetime(offered)
        for _, offered in quick.offered
    ):
        raise Malformed(Reason.NO_PHASE2_PROPOSAL, "the responder chose what was not offered")
    suite = read_suite(chosen)
    if suite is None:
        raise Malformed(Reason.NO_PHASE2_PROPOSAL, "the responder chose what was only for show")
    return proposal, chosen, suite


def _without_lifetime(transform: Transform) -> set[Attribute]:
    return {a for a in transform.attributes if a[0] not in _LIFETIME}


def on_message_2(turn: Turn, sa: IsakmpSa, quick: QuickMode, received: Received) -> None:
    """SA, Nr, [KE], [IDs] -> HASH(3). Both directions work now."""
    keys, message_id, contents = keys_of(sa), quick.message_id, received.contents
    check_hash(
        contents,
        received.plaintext,
        lambda rest: hash_2(sa.hash, keys.skeyid_a, message_id, quick.ni, rest),
    )
    proposal, chosen, suite = _read_choice(quick, contents)
    quick.nr = read_nonce(contents)
    quick.peer_spi = proposal.spi
    gxy = b""
    if quick.dh is not None:
        gxy = quick.dh.shared(contents.first(KeyExchange).data)
    lifetime = read_lifetime(
        chosen.attributes, Phase2Attribute.LIFE_TYPE, Phase2Attribute.LIFE_DURATION
    )
    shorter = [s for s in (lifetime.seconds, _notified_life(contents)) if s]
    local_id, peer_id = quick.ids or (None, None)
    ipsec = install(
        turn,
        sa,
        quick,
        Agreement(
            suite,
            gxy,
            quick.mode,
            min([quick.life_seconds, *shorter]),
            quick.life_kilobytes,
            local_id,
            peer_id,
        ),
    )
    value = hash_3(sa.hash, keys.skeyid_a, message_id, quick.ni, quick.nr)
    body = hashed_body([], lambda _: value)
    message, quick.iv = encrypt_message(
        sa, ExchangeType.QUICK_MODE, message_id, PayloadType.HASH, body, received.next_iv
    )
    quick.last_received = message_digest(received.message)
    quick.last_sent = message
    turn.send(quick.path, message)
    activate(turn, sa, quick, ipsec)


def _notified_life(contents: Contents) -> int | None:
    """RFC 2407 4.6.3.1. Raises Malformed."""
    for payload in contents.all(Notification):
        if payload.kind == NotifyType.RESPONDER_LIFETIME:
            return read_lifetime(
                parse_attributes(payload.data),
                Phase2Attribute.LIFE_TYPE,
                Phase2Attribute.LIFE_DURATION,
            ).seconds
    return None
