"""Main Mode as initiator: messages 2, 4 and 6 (RFC 2409 5.4), for the client role.

The first of the policy's keys is used. It always asks for NAT traversal and floats to the NAT-T
port when the responder agrees (RFC 3947 4).
"""

from __future__ import annotations

from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.ids import Address, IsakmpSaId, Path
from ferrule.core.reasons import Reason
from ferrule.crypto import dh
from ferrule.crypto.compare import equal
from ferrule.crypto.suites import Cipher
from ferrule.ike import vendor_ids
from ferrule.ike.attributes import Attribute
from ferrule.ike.choice import (
    GROUPS,
    PHASE1_CIPHERS,
    PHASE1_HASHES,
    read_lifetime,
)
from ferrule.ike.header import NO_COOKIE, build_message
from ferrule.ike.iana import (
    KEY_IKE,
    AuthenticationMethod,
    ExchangeType,
    LifeType,
    NotifyType,
    Phase1Attribute,
    ProtocolId,
)
from ferrule.ike.identity import identity_text, own_identification
from ferrule.ike.isakmp_sa import (
    IsakmpSa,
    MainModeState,
    Phase1Exchange,
    Role,
    message_digest,
)
from ferrule.ike.keys import hash_i, hash_r
from ferrule.ike.natt import choose_version, initiator_nat_d
from ferrule.ike.payloads import (
    HashPayload,
    Identification,
    KeyExchange,
    Nonce,
    Payload,
    SecurityAssociation,
    VendorId,
    build_payloads,
    identification_body,
    notification,
    security_association,
)
from ferrule.ike.phase1 import (
    TIMER_RETRANSMIT,
    come_up,
    derive_keys,
    exchange_of,
    first_iv,
    read_nonce,
    read_vendor_ids,
)
from ferrule.ike.policy import IkePolicy, Phase1Transform, RawTransform
from ferrule.ike.proposals import Proposal, Transform, offer
from ferrule.ike.protection import decrypt, encrypt_message, parse_decrypted
from ferrule.ike.timing import RETRANSMIT_SECONDS
from ferrule.ike.turn import Received, Turn

_LIFETIME: Final = frozenset({Phase1Attribute.LIFE_TYPE, Phase1Attribute.LIFE_DURATION})
_CIPHER_NUMBERS: Final[dict[Cipher, tuple[int, int]]] = {
    cipher: numbers for numbers, cipher in PHASE1_CIPHERS.items() if numbers[1] or numbers[0] != 7
}
_HASH_NUMBERS: Final = {algorithm: number for number, algorithm in PHASE1_HASHES.items()}


def _attributes(transform: Phase1Transform | RawTransform) -> tuple[Attribute, ...]:
    if isinstance(transform, RawTransform):
        return transform.attributes
    attributes: list[Attribute] = []
    if transform.cipher is not None:
        algorithm, bits = _CIPHER_NUMBERS[transform.cipher]
        attributes.append((Phase1Attribute.ENCRYPTION_ALGORITHM, algorithm))
        if bits:
            attributes.append((Phase1Attribute.KEY_LENGTH, bits))
    if transform.hash is not None:
        attributes.append((Phase1Attribute.HASH_ALGORITHM, _HASH_NUMBERS[transform.hash]))
    attributes.append((Phase1Attribute.GROUP_DESCRIPTION, transform.group.value))
    attributes.append((Phase1Attribute.AUTHENTICATION_METHOD, AuthenticationMethod.PRE_SHARED_KEY))
    return tuple(attributes)


def _offers(policy: IkePolicy) -> tuple[Transform, ...]:
    lifetime: tuple[Attribute, ...] = (
        (Phase1Attribute.LIFE_TYPE, LifeType.SECONDS),
        (Phase1Attribute.LIFE_DURATION, policy.offer_ike_seconds),
    )
    return tuple(
        offer(
            transform.transform_id if isinstance(transform, RawTransform) else KEY_IKE,
            _attributes(transform) + lifetime,
            number,
        )
        for number, transform in enumerate(policy.offer_phase1, 1)
    )


def start(turn: Turn, path: Path) -> IsakmpSaId:
    """Message 1: SA and vendor ids."""
    sa = IsakmpSa(
        turn.table.new_id(), Role.INITIATOR, turn.choose_cookie(path), NO_COOKIE, path, turn.now
    )
    sa.exchange = Phase1Exchange(offered=_offers(turn.policy))
    proposal = Proposal(1, ProtocolId.ISAKMP, b"", list(sa.exchange.offered))
    own_sa = security_association([proposal])
    sa.sai = own_sa.body
    sa.life_seconds = turn.policy.offer_ike_seconds
    sa.state = MainModeState.AWAIT_SA
    turn.table.add_initiator(sa)
    payloads: list[Payload] = [own_sa]
    payloads += [
        VendorId(vendor_ids.vendor_octets(name) if isinstance(name, str) else name)
        for name in turn.policy.offer_vendor_ids
    ]
    _send(turn, sa, payloads)
    return sa.id


def _send(turn: Turn, sa: IsakmpSa, payloads: list[Payload]) -> None:
    first, body = build_payloads(payloads)
    _transmit(
        turn,
        sa,
        build_message(sa.icookie, sa.rcookie, first, ExchangeType.IDENTITY_PROTECTION, 0, 0, body),
    )


def _transmit(turn: Turn, sa: IsakmpSa, message: bytes) -> None:
    sa.last_sent = message
    sa.tries = 0
    sa.hint = None
    turn.send(sa.path, message)
    sa.deadlines.set(TIMER_RETRANSMIT, turn.now + RETRANSMIT_SECONDS[0])
    turn.table.rearm(sa)


def _read_choice(sa: IsakmpSa, contents_sa: SecurityAssociation) -> Phase1Transform:
    """The responder's choice must be one of our offers; it may change the lifetime only."""
    transforms = [t for proposal in contents_sa.proposals for t in proposal.transforms]
    if len(transforms) != 1:
        raise Malformed(Reason.NO_PROPOSAL, f"the responder returned {len(transforms)} transforms")
    chosen = transforms[0]
    wanted = {a for a in chosen.attributes if a[0] not in _LIFETIME}
    offered = exchange_of(sa).offered
    if not any(wanted == {a for a in t.attributes if a[0] not in _LIFETIME} for t in offered):
        raise Malformed(Reason.NO_PROPOSAL, "the responder chose what was not offered")
    values = dict(chosen.attributes)
    cipher = PHASE1_CIPHERS.get(
        (
            values.get(Phase1Attribute.ENCRYPTION_ALGORITHM, 0),
            values.get(Phase1Attribute.KEY_LENGTH, 0),
        )
    )
    algorithm = PHASE1_HASHES.get(values.get(Phase1Attribute.HASH_ALGORITHM, 0))
    group = GROUPS.get(values.get(Phase1Attribute.GROUP_DESCRIPTION, 0))
    if cipher is None or algorithm is None or group is None:
        raise Malformed(Reason.NO_PROPOSAL, "the responder chose what we only offered for show")
    lifetime = read_lifetime(
        chosen.attributes, Phase1Attribute.LIFE_TYPE, Phase1Attribute.LIFE_DURATION
    )
    sa.life_seconds = min(sa.life_seconds, lifetime.seconds or sa.life_seconds)
    sa.cipher, sa.hash = cipher, algorithm
    return Phase1Transform(cipher, algorithm, group)


def on_message_2(turn: Turn, sa: IsakmpSa, received: Received) -> None:
    """SA, vendor ids -> KE, Ni, NAT-D."""
    contents = received.contents
    if received.header.rcookie == NO_COOKIE:
        raise Malformed(Reason.UNEXPECTED_MESSAGE, "message 2 without a responder cookie")
    sa.transform = _read_choice(sa, contents.first(SecurityAssociation))
    turn.table.set_responder_cookie(sa, received.header.rcookie)
    sa.natt = choose_version(read_vendor_ids(sa, contents))
    exchange = exchange_of(sa)
    exchange.dh = dh.generate(sa.transform.group)
    exchange.gxi = exchange.dh.public
    exchange.ni = turn.entropy(turn.policy.offer_nonce_octets)
    payloads: list[Payload] = [KeyExchange(exchange.gxi), Nonce(exchange.ni)]
    payloads += initiator_nat_d(
        sa.hash, sa.natt, sa.icookie, sa.rcookie, sa.path.peer, turn.entropy
    )
    sa.last_received = message_digest(received.message)
    _send(turn, sa, payloads)


def on_message_4(turn: Turn, sa: IsakmpSa, received: Received) -> None:
    """KE, Nr, NAT-D -> IDii, HASH_I, encrypted, on the NAT-T port."""
    contents = received.contents
    exchange = exchange_of(sa)
    if exchange.dh is None:
        raise ValueError("no key was made")
    exchange.nr = read_nonce(contents)
    exchange.gxr = contents.first(KeyExchange).data
    exchange.gxy = exchange.dh.shared(exchange.gxr)
    read_vendor_ids(sa, contents)
    sa.keys, sa.cipher_key = derive_keys(sa, turn.policy.keys[0])
    if sa.natt != vendor_ids.NATT_NONE and not sa.path.natt:
        sa.path = _floated(sa.path, turn.policy)
    own = own_identification(turn.policy.offer_identification, sa.path.local.host)
    value = hash_i(
        sa.hash,
        sa.keys.skeyid,
        exchange.gxi,
        exchange.gxr,
        sa.icookie,
        sa.rcookie,
        sa.sai,
        identification_body(own),
    )
    payloads: list[Payload] = [own, HashPayload(value)]
    if turn.policy.offer_initial_contact:
        payloads.append(
            notification(NotifyType.INITIAL_CONTACT, protocol=ProtocolId.ISAKMP, spi=sa.cookies)
        )
    first, body = build_payloads(payloads)
    message, sa.iv = encrypt_message(
        sa, ExchangeType.IDENTITY_PROTECTION, 0, first, body, first_iv(sa)
    )
    sa.last_received = message_digest(received.message)
    _transmit(turn, sa, message)


def _floated(path: Path, policy: IkePolicy) -> Path:
    return Path(
        Address(path.peer.host, policy.natt_peer_port),
        Address(path.local.host, policy.natt_local_port),
        natt=True,
    )


def on_message_6(turn: Turn, sa: IsakmpSa, received: Received) -> None:
    """IDir, HASH_R: the ISAKMP SA is up."""
    exchange = exchange_of(sa)
    if sa.keys is None or sa.cipher_key is None:
        raise ValueError("no keys were made")
    plaintext, last_block = decrypt(sa.cipher, sa.cipher_key, sa.iv, received.message)
    contents = parse_decrypted(received.header.next_payload, plaintext)
    identification = contents.first(Identification)
    expected = hash_r(
        sa.hash,
        sa.keys.skeyid,
        exchange.gxi,
        exchange.gxr,
        sa.icookie,
        sa.rcookie,
        sa.sai,
        identification_body(identification),
    )
    if not equal(contents.first(HashPayload).data, expected):
        raise Malformed(Reason.BAD_HASH, "HASH_R")
    identity = identity_text(identification)
    sa.iv = last_block
    sa.last_received = message_digest(received.message)
    sa.last_sent = b""  # message 6 is the last one: its duplicates want no answer
    read_vendor_ids(sa, contents)
    come_up(turn, sa, identity, contents)
