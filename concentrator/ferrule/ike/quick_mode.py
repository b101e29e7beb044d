"""Quick Mode (RFC 2409 5.5): the table of both roles, duplicates, refusals and timers.

The handlers stand in `quick_mode_responder` and `quick_mode_initiator`. What does not decrypt or
authenticate is dropped without an answer; what does is answered even when it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable, Verdict
from ferrule.ike import quick_mode_initiator, quick_mode_responder
from ferrule.ike.header import Header
from ferrule.ike.iana import Flag, ProtocolId
from ferrule.ike.informational_send import notify_message
from ferrule.ike.isakmp_sa import (
    QUICK_IDS_MAX,
    IsakmpSa,
    MainModeState,
    QuickMode,
    QuickModeState,
    Role,
    message_digest,
)
from ferrule.ike.payloads import (
    Contents,
    HashPayload,
    Identification,
    KeyExchange,
    NatOa,
    Nonce,
    Notification,
    SecurityAssociation,
    VendorId,
)
from ferrule.ike.phase2 import remove
from ferrule.ike.protection import decrypt, exchange_iv, parse_decrypted
from ferrule.ike.refusals import PHASE2_NOTIFY
from ferrule.ike.timing import (
    QUICK_MODE_MEMORY_SECONDS,
    QUICK_MODE_SECONDS,
    RETRANSMIT_SECONDS,
)
from ferrule.ike.turn import Received, Turn

Handler: TypeAlias = Callable[[Turn, IsakmpSa, QuickMode, Received], None]
QUICK_MODES_MAX: Final = 32  # of one ISAKMP SA, remembered ones included


class QuickModeMessage(Enum):
    """What a message of Quick Mode can be, by its payloads."""

    SA = "sa"  # 1 and 2
    HASH = "hash"  # 3
    OTHER = "other"


_S = QuickModeState
_M = QuickModeMessage
_ALL = tuple(QuickModeMessage)

TABLE: Final[TransitionTable[QuickModeState, QuickModeMessage, Handler]] = TransitionTable(
    "Quick Mode",
    QuickModeState,
    QuickModeMessage,
    (
        Row(_S.IDLE, _M.SA, quick_mode_responder.on_message_1, _S.AWAIT_HASH, "RFC 2409 5.5"),
        Row(_S.AWAIT_HASH, _M.HASH, quick_mode_responder.on_message_3, _S.UP, "RFC 2409 5.5"),
        Row(_S.AWAIT_SA, _M.SA, quick_mode_initiator.on_message_2, _S.UP, "RFC 2409 5.5"),
    ),
    ignored={
        # Its HASH(3) was late: ESP had come in before, and completed the exchange.
        _S.UP: (_M.HASH,),
    },
    refused={
        _S.IDLE: (_M.HASH, _M.OTHER),
        _S.AWAIT_HASH: (_M.SA, _M.OTHER),
        _S.AWAIT_SA: (_M.HASH, _M.OTHER),
        _S.UP: (_M.SA, _M.OTHER),
        _S.FAILED: _ALL,
    },
)
_ALLOWED: Final = frozenset(
    {
        HashPayload,
        SecurityAssociation,
        Nonce,
        KeyExchange,
        Identification,
        NatOa,
        Notification,
        VendorId,
    }
)


def classify(contents: Contents) -> QuickModeMessage:
    """By the payloads. Raises Malformed(PAYLOAD_NOT_ALLOWED)."""
    kinds = [type(payload) for payload in contents.payloads]
    present = frozenset(kinds)
    if not present <= _ALLOWED:
        names = ", ".join(sorted(kind.__name__ for kind in present - _ALLOWED))
        raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, names)
    if SecurityAssociation in present:
        for kind in (HashPayload, SecurityAssociation, Nonce):
            if kinds.count(kind) != 1:
                raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, f"{kinds.count(kind)} {kind.__name__}")
        return QuickModeMessage.SA
    if HashPayload in present and present <= {HashPayload, Notification, VendorId}:
        return QuickModeMessage.HASH
    return QuickModeMessage.OTHER


def receive(turn: Turn, sa: IsakmpSa, path: Path, header: Header, message: bytes) -> None:
    """Raises ProtocolError for what is dropped."""
    if sa.state is not MainModeState.UP or sa.cipher_key is None:
        raise ProtocolError(Reason.UNEXPECTED_MESSAGE, "Quick Mode before phase 1 is over")
    if not header.flags & Flag.ENCRYPTION:
        raise ProtocolError(Reason.UNENCRYPTED, "Quick Mode")
    quick = sa.quick_modes.get(header.message_id)
    if quick is None:
        if not header.message_id or header.message_id in sa.quick_ids:
            raise ProtocolError(Reason.UNEXPECTED_MESSAGE, "a message id that was used before")
        if len(sa.quick_ids) >= QUICK_IDS_MAX:
            raise ProtocolError(Reason.PHASE2_LIMIT, "too many Quick Modes under one ISAKMP SA")
        quick = QuickMode(header.message_id, Role.RESPONDER, turn.now, path)
        quick.iv = exchange_iv(sa, header.message_id)
    elif message_digest(message) == quick.last_received:
        if quick.last_sent:
            turn.send(quick.path, quick.last_sent)
        return
    plaintext, last_block = decrypt(sa.cipher, sa.cipher_key, quick.iv, message)
    contents = parse_decrypted(header.next_payload, plaintext)
    received = Received(path, header, message, contents, plaintext, last_block)
    if quick.state is QuickModeState.IDLE:
        quick_mode_responder.authenticate_1(sa, received)
        _enter(turn, sa, quick)
    _step(turn, sa, quick, received)


def _enter(turn: Turn, sa: IsakmpSa, quick: QuickMode) -> None:
    """An authentic first message: from now on its message id is taken."""
    sa.quick_ids[quick.message_id] = None
    if sa.peer is not None:
        sa.peer.last_heard = turn.now
    if len(sa.quick_modes) >= QUICK_MODES_MAX:
        over = (QuickModeState.UP, QuickModeState.FAILED)
        old = next((q for q in sa.quick_modes.values() if q.state in over), None)
        if old is not None:
            turn.table.remove_quick_mode(sa, old)
    sa.quick_modes[quick.message_id] = quick


def _step(turn: Turn, sa: IsakmpSa, quick: QuickMode, received: Received) -> None:
    first = quick.state is QuickModeState.IDLE
    try:
        trigger = classify(received.contents)
        row = TABLE.lookup(quick.state, trigger)
        if row is Verdict.IGNORED:
            return
        if not isinstance(row, Row):
            raise ProtocolError(
                Reason.UNEXPECTED_MESSAGE, f"{trigger.value} in {quick.state.value}"
            )
        row.handler(turn, sa, quick, received)
    except ProtocolError as error:
        if first:
            _refuse(turn, sa, quick, received, error)
            return
        raise
    if row.next is not None:
        quick.state = row.next


def _refuse(
    turn: Turn, sa: IsakmpSa, quick: QuickMode, received: Received, error: ProtocolError
) -> None:
    """The first message is authentic, and not acceptable."""
    turn.fail(received.path, error.reason, error.detail)
    quick.state = QuickModeState.FAILED
    quick.dh = None
    quick.last_received = message_digest(received.message)
    kind = PHASE2_NOTIFY.get(error.reason)
    if kind is not None:
        spi = _peer_spi(received.contents)
        quick.last_sent = notify_message(turn, sa, kind, ProtocolId.ESP, spi)
        turn.send(quick.path, quick.last_sent)
    turn.table.arm_quick_mode(sa, quick, turn.now + QUICK_MODE_MEMORY_SECONDS)


def _peer_spi(contents: Contents) -> bytes:
    """The SPI of the peer's first ESP proposal: by it the peer finds its exchange."""
    for payload in contents.all(SecurityAssociation):
        for proposal in payload.proposals:
            if proposal.protocol == ProtocolId.ESP:
                return proposal.spi
    return b""


def on_timer(turn: Turn, sa: IsakmpSa, quick: QuickMode) -> None:
    """The one deadline of a Quick Mode has come."""
    if quick.state in (QuickModeState.UP, QuickModeState.FAILED):
        turn.table.remove_quick_mode(sa, quick)
        return
    schedule = RETRANSMIT_SECONDS if quick.role is Role.INITIATOR else QUICK_MODE_SECONDS
    quick.tries += 1
    if quick.tries == len(schedule):
        fail(turn, sa, quick, Reason.PHASE2_TIMEOUT, f"in {quick.state.value}")
        return
    turn.send(quick.path, quick.last_sent)
    turn.table.arm_quick_mode(sa, quick, turn.now + schedule[quick.tries])


def fail(turn: Turn, sa: IsakmpSa, quick: QuickMode, reason: Reason, detail: str) -> None:
    """A Quick Mode in progress is over."""
    turn.table.remove_quick_mode(sa, quick)
    ipsec = turn.table.ipsec.get(quick.inbound_spi) if quick.inbound_spi is not None else None
    if ipsec is not None and ipsec.quick_mode == quick.message_id and ipsec.isakmp_sa == sa.id:
        remove(turn, ipsec, reason, tell_peer=reason is Reason.PHASE2_TIMEOUT)
    turn.fail(quick.path, reason, detail)
