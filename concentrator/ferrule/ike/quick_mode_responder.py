"""Quick Mode as responder: messages 1 and 3 (RFC 2409 5.5)."""

from __future__ import annotations

from typing import Final

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.crypto import dh
from ferrule.crypto.suites import Group
from ferrule.ike.attributes import Attribute, build_attributes
from ferrule.ike.choice import DEFAULT_LIFE_SECONDS, choose_phase2
from ferrule.ike.iana import (
    ExchangeType,
    IdType,
    LifeType,
    NotifyType,
    PayloadType,
    Phase2Attribute,
    ProtocolId,
)
from ferrule.ike.identity import address_identification
from ferrule.ike.isakmp_sa import IsakmpSa, QuickMode, QuickModeState, message_digest
from ferrule.ike.keys import hash_1, hash_2, hash_3
from ferrule.ike.payloads import (
    Contents,
    Identification,
    KeyExchange,
    NatOa,
    Nonce,
    Payload,
    SecurityAssociation,
    notification,
    security_association,
)
from ferrule.ike.phase1 import NONCE_OCTETS, read_nonce
from ferrule.ike.phase2 import (
    Agreement,
    activate,
    check_selectors,
    install,
    keys_of,
    own_ports,
    read_ids,
)
from ferrule.ike.proposals import Proposal
from ferrule.ike.protection import check_hash, encrypt_message, hashed_body
from ferrule.ike.timing import QUICK_MODE_SECONDS
from ferrule.ike.turn import Received, Turn

PENDING_MAX: Final = 4  # Quick Modes of one ISAKMP SA that await message 3


def authenticate_1(sa: IsakmpSa, received: Received) -> None:
    """HASH(1). Raises Malformed(BAD_HASH): anybody could have sent it, so no answer."""
    skeyid_a, message_id = keys_of(sa).skeyid_a, received.header.message_id
    check_hash(
        received.contents,
        received.plaintext,
        lambda rest: hash_1(sa.hash, skeyid_a, message_id, rest),
    )


def on_message_1(turn: Turn, sa: IsakmpSa, quick: QuickMode, received: Received) -> None:
    """SA, Ni, [KE], [IDci, IDcr], [NAT-OA] -> the same of ours. The inbound SA works now.

    Raises ProtocolError; the caller has authenticated the message, so the peer is told.
    """
    contents = received.contents
    pending = sum(q.state is QuickModeState.AWAIT_HASH for q in sa.quick_modes.values())
    if pending >= PENDING_MAX:
        raise ProtocolError(Reason.PHASE2_LIMIT, f"{pending} Quick Modes at once")
    quick.ni = read_nonce(contents)
    key_exchanges = contents.all(KeyExchange)
    proposals = contents.first(SecurityAssociation).proposals
    choice = choose_phase2(proposals, turn.policy, bool(key_exchanges))
    if not quick.path.natt and not turn.policy.plain_esp:
        raise ProtocolError(Reason.ENCAPSULATION, "ESP as IP protocol 50 is not carried here")
    ids = read_ids(contents)
    peer_id, local_id = ids or (None, None)
    if peer_id is not None and local_id is not None:
        check_selectors(local_id, peer_id, own_ports(sa))
    gxy, own_ke = _exchange_keys(choice.group, key_exchanges)
    quick.group = choice.group
    quick.peer_spi = choice.proposal.spi
    quick.inbound_spi = turn.fresh_spi(sa.id)
    quick.nr = turn.entropy(NONCE_OCTETS)
    proposed = choice.lifetime.seconds or DEFAULT_LIFE_SECONDS
    seconds = min(proposed, turn.policy.esp_life_seconds)
    own_spi = quick.inbound_spi.to_bytes(4, "big")
    proposal = Proposal(choice.proposal.number, ProtocolId.ESP, own_spi, [choice.chosen])
    payloads: list[Payload] = [security_association([proposal]), Nonce(quick.nr)]
    payloads += own_ke
    payloads += ids
    payloads += _nat_oa(contents, quick.path, local_id)
    if seconds < proposed:
        payloads.append(_responder_lifetime(own_spi, seconds))
    kilobytes = choice.lifetime.kilobytes
    agreed = Agreement(choice.suite, gxy, choice.mode, seconds, kilobytes, local_id, peer_id)
    install(turn, sa, quick, agreed)
    _send_message_2(turn, sa, quick, received, payloads)


def _send_message_2(
    turn: Turn, sa: IsakmpSa, quick: QuickMode, received: Received, payloads: list[Payload]
) -> None:
    skeyid_a, message_id = keys_of(sa).skeyid_a, quick.message_id
    body = hashed_body(payloads, lambda rest: hash_2(sa.hash, skeyid_a, message_id, quick.ni, rest))
    quick.last_sent, quick.iv = encrypt_message(
        sa, ExchangeType.QUICK_MODE, message_id, PayloadType.HASH, body, received.next_iv
    )
    quick.last_received = message_digest(received.message)
    turn.send(quick.path, quick.last_sent)
    turn.table.arm_quick_mode(sa, quick, turn.now + QUICK_MODE_SECONDS[0])


def _exchange_keys(
    group: Group | None, key_exchanges: list[KeyExchange]
) -> tuple[bytes, list[KeyExchange]]:
    """PFS: g(qm)^xy and our KE payload. Raises Malformed."""
    if group is None:
        return b"", []
    if len(key_exchanges) != 1:
        raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, f"{len(key_exchanges)} KE payloads")
    key = dh.generate(group)
    return key.shared(key_exchanges[0].data), [KeyExchange(key.public)]


def _responder_lifetime(spi: bytes, seconds: int) -> Payload:
    """RFC 2407 4.6.3.1."""
    attributes: tuple[Attribute, ...] = (
        (Phase2Attribute.LIFE_TYPE, LifeType.SECONDS),
        (Phase2Attribute.LIFE_DURATION, seconds),
    )
    return notification(
        NotifyType.RESPONDER_LIFETIME,
        protocol=ProtocolId.ESP,
        spi=spi,
        data=build_attributes(attributes),
    )


def _nat_oa(contents: Contents, path: Path, local_id: Identification | None) -> list[NatOa]:
    """RFC 3947 5.2, if the peer sent some: the initiator's address as we see it, and ours.

    Ours is the one by which the peer knows us: behind a load balancer the local one means nothing
    to it.
    """
    received = contents.all(NatOa)
    if not received:
        return []
    responder = address_identification(path.local.host)
    if local_id is not None and local_id.kind in (IdType.IPV4_ADDR, IdType.IPV6_ADDR):
        responder = local_id
    answer = [responder]
    if len(received) > 1:  # the drafts have each side send its own alone
        answer.insert(0, address_identification(path.peer.host))
    return [NatOa(id_.kind, id_.data, received[0].draft) for id_ in answer]


def on_message_3(turn: Turn, sa: IsakmpSa, quick: QuickMode, received: Received) -> None:
    """HASH(3): the peer has installed its side."""
    expected_key, message_id = keys_of(sa).skeyid_a, quick.message_id
    check_hash_3(received, hash_3(sa.hash, expected_key, message_id, quick.ni, quick.nr))
    ipsec = turn.table.ipsec.get(quick.inbound_spi) if quick.inbound_spi is not None else None
    if ipsec is None:
        raise ProtocolError(Reason.UNEXPECTED_MESSAGE, "its IPsec SA is gone")
    quick.last_received = message_digest(received.message)
    quick.last_sent = b""
    turn.table.move(sa, received.path)
    activate(turn, sa, quick, ipsec)


def check_hash_3(received: Received, expected: bytes) -> None:
    """Raises Malformed(BAD_HASH)."""
    check_hash(received.contents, received.plaintext, lambda _: expected)
