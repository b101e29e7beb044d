"""Main Mode as responder: messages 1, 3 and 5 (RFC 2409 5.4), our side of every set-up.

Nothing is spent before the peer has shown its address: message 2 is no longer than message 1,
and the Diffie-Hellman key is made at message 3, which carries our cookie.
"""

from __future__ import annotations

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.crypto import dh
from ferrule.crypto.compare import equal
from ferrule.ike import vendor_ids
from ferrule.ike.attributes import build_attributes
from ferrule.ike.choice import choose_phase1
from ferrule.ike.header import HEADER_OCTETS, Header, build_message
from ferrule.ike.iana import (
    ExchangeType,
    LifeType,
    NotifyType,
    Phase1Attribute,
    ProtocolId,
)
from ferrule.ike.identity import identity_text, own_identification
from ferrule.ike.isakmp_sa import (
    IsakmpSa,
    Phase1Exchange,
    Role,
    message_digest,
)
from ferrule.ike.keys import hash_i, hash_r
from ferrule.ike.natt import choose_version, responder_nat_d
from ferrule.ike.payloads import (
    Contents,
    HashPayload,
    Identification,
    KeyExchange,
    NatD,
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
    NONCE_OCTETS,
    TIMER_HALF_OPEN,
    come_up,
    derive_keys,
    exchange_of,
    first_iv,
    read_nonce,
    read_vendor_ids,
)
from ferrule.ike.proposals import Proposal
from ferrule.ike.protection import decrypt, encrypt_message, informational, parse_decrypted
from ferrule.ike.timing import HALF_OPEN_SECONDS
from ferrule.ike.turn import Received, Turn


def open_sa(turn: Turn, path: Path, header: Header, message: bytes) -> IsakmpSa:
    """A half-open ISAKMP SA for a first message that was let in."""
    sa = IsakmpSa(
        turn.table.new_id(),
        Role.RESPONDER,
        header.icookie,
        turn.choose_cookie(path),
        path,
        turn.now,
    )
    sa.last_received = message_digest(message)
    sa.deadlines.set(TIMER_HALF_OPEN, turn.now + HALF_OPEN_SECONDS)
    turn.table.add_responder(sa)
    turn.table.rearm(sa)
    turn.admission.add(sa.id)
    return sa


def on_message_1(turn: Turn, sa: IsakmpSa, received: Received) -> None:
    """SA, vendor ids -> our choice, and the vendor ids that we share with the peer."""
    contents = received.contents
    peer_sa = contents.first(SecurityAssociation)
    choice = choose_phase1(peer_sa.proposals, turn.policy)
    names = read_vendor_ids(sa, contents)
    sa.sai = peer_sa.body
    sa.transform, sa.cipher, sa.hash = choice.transform, choice.cipher, choice.hash
    sa.life_seconds = min(choice.seconds, turn.policy.ike_life_seconds)
    sa.shortened = sa.life_seconds < choice.seconds
    sa.natt = choose_version(names)
    proposal = Proposal(choice.proposal.number, choice.proposal.protocol, b"", [choice.chosen])
    payloads: list[Payload] = [security_association([proposal])]
    # Only what the peer sent too, so message 2 cannot be longer than message 1.
    if sa.natt != vendor_ids.NATT_NONE:
        payloads.append(VendorId(vendor_ids.vendor_octets(sa.natt)))
    if sa.peer_dpd:
        payloads.append(VendorId(vendor_ids.vendor_octets(vendor_ids.DPD)))
    _reply(turn, sa, payloads, received)


def on_message_3(turn: Turn, sa: IsakmpSa, received: Received) -> None:
    """KE, Ni, NAT-D -> KE, Nr, NAT-D. The peer's address is proven: it knows our cookie."""
    contents = received.contents
    names = read_vendor_ids(sa, contents)
    if sa.natt == vendor_ids.NATT_NONE:
        sa.natt = choose_version(names)
    if sa.transform is None:
        raise ValueError("no transform was chosen")
    exchange = Phase1Exchange(ni=read_nonce(contents), gxi=contents.first(KeyExchange).data)
    policy, host = turn.policy, received.path.peer.host
    if not turn.admission.take_proof(
        host, policy.per_source_rate, policy.per_source_burst, turn.now
    ):
        raise ProtocolError(Reason.SOURCE_RATE, "message 3")  # the peer will repeat it
    key = dh.generate(sa.transform.group)
    exchange.gxy = key.shared(exchange.gxi)
    exchange.gxr = key.public
    exchange.nr = turn.entropy(NONCE_OCTETS)
    sa.exchange = exchange
    turn.admission.prove(sa.id)
    sa.path = received.path
    payloads: list[Payload] = [KeyExchange(exchange.gxr), Nonce(exchange.nr)]
    payloads += responder_nat_d(sa.hash, sa.natt, contents.all(NatD), turn.entropy)
    _reply(turn, sa, payloads, received)


def _reply(turn: Turn, sa: IsakmpSa, payloads: list[Payload], received: Received) -> None:
    first, body = build_payloads(payloads)
    message = build_message(
        sa.icookie, sa.rcookie, first, ExchangeType.IDENTITY_PROTECTION, 0, 0, body
    )
    sa.last_received = message_digest(received.message)
    sa.last_sent = message
    turn.send(sa.path, message)


def on_message_5(turn: Turn, sa: IsakmpSa, received: Received) -> None:
    """IDii, HASH_I -> IDir, HASH_R, both encrypted. The ISAKMP SA is up."""
    contents, last_block = _authenticate(turn, sa, received)
    exchange = exchange_of(sa)
    sa.last_received = message_digest(received.message)
    identity = identity_text(contents.first(Identification))
    read_vendor_ids(sa, contents)
    sa.path = received.path
    own = own_identification(turn.policy.identity, sa.path.local.host)
    if sa.keys is None:
        raise ValueError("authenticated without keys")
    value = hash_r(
        sa.hash,
        sa.keys.skeyid,
        exchange.gxi,
        exchange.gxr,
        sa.icookie,
        sa.rcookie,
        sa.sai,
        identification_body(own),
    )
    first, body = build_payloads([own, HashPayload(value)])
    message, sa.iv = encrypt_message(
        sa, ExchangeType.IDENTITY_PROTECTION, 0, first, body, last_block
    )
    sa.last_sent = message
    turn.send(sa.path, message)
    come_up(turn, sa, identity, contents)
    if sa.shortened:
        _send_lifetime(turn, sa)


def _authenticate(turn: Turn, sa: IsakmpSa, received: Received) -> tuple[Contents, bytes]:
    """Try each accepted key; set the SA's keys. A wrong one shows as garbage, not as an error.

    Raises ProtocolError: WRONG_KEY if nothing decrypts, BAD_HASH if HASH_I does not verify.
    """
    exchange = exchange_of(sa)
    message = received.message
    if (len(message) - HEADER_OCTETS) % sa.cipher.info.block or len(message) == HEADER_OCTETS:
        raise Malformed(Reason.IKE_MALFORMED, "message 5 is no whole blocks")
    iv = first_iv(sa)
    verdict = ProtocolError(Reason.WRONG_KEY)
    for key in turn.policy.keys:
        skeyids, cipher_key = derive_keys(sa, key)
        plaintext, last_block = decrypt(sa.cipher, cipher_key, iv, message)
        try:
            contents = parse_decrypted(received.header.next_payload, plaintext)
            identification = contents.first(Identification)
            claimed = contents.first(HashPayload).data
        except Malformed:
            continue
        expected = hash_i(
            sa.hash,
            skeyids.skeyid,
            exchange.gxi,
            exchange.gxr,
            sa.icookie,
            sa.rcookie,
            sa.sai,
            identification_body(identification),
        )
        if equal(claimed, expected):
            sa.keys, sa.cipher_key = skeyids, cipher_key
            sa.iv = last_block
            return contents, last_block
        verdict = ProtocolError(Reason.BAD_HASH, "HASH_I")
    raise verdict


def _send_lifetime(turn: Turn, sa: IsakmpSa) -> None:
    """RFC 2407 4.6.3.1: our lifetime is shorter than what the peer proposed."""
    data = build_attributes(
        (
            (Phase1Attribute.LIFE_TYPE, LifeType.SECONDS),
            (Phase1Attribute.LIFE_DURATION, sa.life_seconds),
        )
    )
    payload = notification(
        NotifyType.RESPONDER_LIFETIME, protocol=ProtocolId.ISAKMP, spi=sa.cookies, data=data
    )
    turn.send(sa.path, informational(sa, turn.fresh_id(), [payload]))
