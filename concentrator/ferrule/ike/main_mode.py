"""Main Mode (RFC 2409 5.4): the table of both roles, duplicates, refusals and timers.

The handlers stand in `main_mode_responder` and `main_mode_initiator`. A message is classified by
its payloads; an encrypted one is known as such only and read by its handler, which has the keys.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable
from ferrule.ike import dpd, main_mode_initiator, main_mode_responder
from ferrule.ike.effects import IkeDropped
from ferrule.ike.header import HEADER_OCTETS, Header
from ferrule.ike.iana import Flag, ProtocolId
from ferrule.ike.informational_send import send_deletes
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState, Role, message_digest
from ferrule.ike.payloads import (
    Contents,
    KeyExchange,
    NatD,
    Nonce,
    Notification,
    Opaque,
    SecurityAssociation,
    VendorId,
    notification,
    parse_payloads,
)
from ferrule.ike.phase1 import (
    TIMER_HALF_OPEN,
    TIMER_LIFE,
    TIMER_RETRANSMIT,
    take_down,
)
from ferrule.ike.protection import informational
from ferrule.ike.refusals import PHASE1_NOTIFY, clear_notify
from ferrule.ike.timing import HALF_OPEN_SECONDS, HINT_SECONDS, RETRANSMIT_SECONDS
from ferrule.ike.turn import Received, Turn

Handler: TypeAlias = Callable[[Turn, IsakmpSa, Received], None]


class MainModeMessage(Enum):
    """What a message of Main Mode can be, by its payloads."""

    SA = "sa"  # 1 and 2
    KE = "ke"  # 3 and 4
    ENCRYPTED = "encrypted"  # 5 and 6
    OTHER = "other"


_S = MainModeState
_M = MainModeMessage
_ALL = tuple(MainModeMessage)

TABLE: Final[TransitionTable[MainModeState, MainModeMessage, Handler]] = TransitionTable(
    "Main Mode",
    MainModeState,
    MainModeMessage,
    (
        Row(_S.IDLE, _M.SA, main_mode_responder.on_message_1, _S.AWAIT_KE_R, "RFC 2409 5.4"),
        Row(_S.AWAIT_KE_R, _M.KE, main_mode_responder.on_message_3, _S.AWAIT_ID_R, "RFC 2409 5.4"),
        Row(_S.AWAIT_ID_R, _M.ENCRYPTED, main_mode_responder.on_message_5, _S.UP, "RFC 2409 5.4"),
        Row(_S.AWAIT_SA, _M.SA, main_mode_initiator.on_message_2, _S.AWAIT_KE_I, "RFC 2409 5.4"),
        Row(_S.AWAIT_KE_I, _M.KE, main_mode_initiator.on_message_4, _S.AWAIT_ID_I, "RFC 2409 5.4"),
        Row(_S.AWAIT_ID_I, _M.ENCRYPTED, main_mode_initiator.on_message_6, _S.UP, "RFC 2409 5.4"),
    ),
    refused={
        _S.IDLE: (_M.KE, _M.ENCRYPTED, _M.OTHER),
        _S.AWAIT_SA: (_M.KE, _M.ENCRYPTED, _M.OTHER),
        _S.AWAIT_KE_R: (_M.SA, _M.ENCRYPTED, _M.OTHER),
        _S.AWAIT_KE_I: (_M.SA, _M.ENCRYPTED, _M.OTHER),
        _S.AWAIT_ID_R: (_M.SA, _M.KE, _M.OTHER),
        _S.AWAIT_ID_I: (_M.SA, _M.KE, _M.OTHER),
        _S.UP: _ALL,
        _S.FAILED: _ALL,
    },
)
_ENCRYPTED_STATES: Final = frozenset({_S.AWAIT_ID_R, _S.AWAIT_ID_I, _S.UP})

# Required payloads come exactly once, optional ones any number of times (RFC 2409 5.4).
# Certificate requests are no reason to refuse a peer that also does pre-shared keys.
REQUIRED: Final[dict[MainModeMessage, frozenset[type]]] = {
    _M.SA: frozenset({SecurityAssociation}),
    _M.KE: frozenset({KeyExchange, Nonce}),
}
OPTIONAL: Final[dict[MainModeMessage, frozenset[type]]] = {
    _M.SA: frozenset({VendorId, Notification, Opaque}),
    _M.KE: frozenset({NatD, VendorId, Notification, Opaque}),
}


def classify(contents: Contents) -> MainModeMessage:
    """By the payloads of a message in the clear. Raises Malformed(PAYLOAD_NOT_ALLOWED)."""
    kinds = [type(payload) for payload in contents.payloads]
    present = frozenset(kinds)
    for message, required in REQUIRED.items():
        if required & present:
            allowed = required | OPTIONAL[message]
            if not required <= present <= allowed or any(kinds.count(k) != 1 for k in required):
                names = ", ".join(sorted(kind.__name__ for kind in present))
                raise Malformed(Reason.PAYLOAD_NOT_ALLOWED, names)
            return message
    return MainModeMessage.OTHER


def on_first_message(turn: Turn, path: Path, header: Header, message: bytes) -> None:
    """Message 1 of an exchange that is not known: let it in, or not."""
    policy, admission = turn.policy, turn.admission
    if not admission.take_token(
        path.peer.host, policy.per_source_rate, policy.per_source_burst, turn.now
    ) and not admission.comes_again(header.icookie, path.peer):
        turn.drop(path, Reason.SOURCE_RATE, "")
        return
    contents = parse_payloads(header.next_payload, message[HEADER_OCTETS:])
    if classify(contents) is not MainModeMessage.SA:
        raise Malformed(Reason.UNEXPECTED_MESSAGE, "a first message without an SA payload")
    victim = admission.victim(policy.half_open_max)
    if victim is not None:
        old = turn.table.isakmp[victim]
        turn.effects.append(IkeDropped(old.path, Reason.HALF_OPEN_LIMIT, "pushed out"))
        forget(turn, old)
    elif not admission.has_room(policy.half_open_max):
        turn.drop(path, Reason.HALF_OPEN_LIMIT, "")
        return
    sa = main_mode_responder.open_sa(turn, path, header, message)
    _step(turn, sa, MainModeMessage.SA, Received(path, header, message, contents, b""))


def receive(turn: Turn, sa: IsakmpSa, path: Path, header: Header, message: bytes) -> None:
    """A message of an exchange that is known. Raises ProtocolError for what is dropped."""
    if sa.last_sent and message_digest(message) == sa.last_received:
        # The peer did not get our answer. It goes where the first one went: who replays a
        # message from elsewhere gains nothing.
        turn.send(sa.path, sa.last_sent)
        return
    contents = Contents([], 0, 0)
    if header.flags & Flag.ENCRYPTION:
        trigger = MainModeMessage.ENCRYPTED
    elif sa.state in _ENCRYPTED_STATES:
        raise ProtocolError(Reason.UNENCRYPTED, "Main Mode")
    else:
        contents = parse_payloads(header.next_payload, message[HEADER_OCTETS:])
        trigger = classify(contents)
    _step(turn, sa, trigger, Received(path, header, message, contents, b""))


def _step(turn: Turn, sa: IsakmpSa, trigger: MainModeMessage, received: Received) -> None:
    row = TABLE.lookup(sa.state, trigger)
    if not isinstance(row, Row):
        raise ProtocolError(Reason.UNEXPECTED_MESSAGE, f"{trigger.value} in {sa.state.value}")
    try:
        row.handler(turn, sa, received)
    except ProtocolError as error:
        if error.reason not in PHASE1_NOTIFY or _is_forgery(sa, error.reason):
            raise
        refuse(turn, sa, received, error)
        return
    if row.next is not None:
        sa.state = row.next


def _is_forgery(sa: IsakmpSa, reason: Reason) -> bool:
    """What only spoils an initiator's exchange if it is believed: it waits for the real answer."""
    return sa.role is Role.INITIATOR and reason in (Reason.BAD_HASH, Reason.WRONG_KEY)


def refuse(turn: Turn, sa: IsakmpSa, received: Received, error: ProtocolError) -> None:
    """Tell the peer, report it once, and answer duplicates only from now on."""
    kind = PHASE1_NOTIFY[error.reason]
    if sa.state is MainModeState.IDLE and not turn.admission.may_report(turn.now):
        turn.drop(received.path, error.reason, error.detail)  # a flood must not fill the log
    else:
        turn.fail(received.path, error.reason, error.detail)
    message_id = turn.fresh_id()
    if sa.keys is not None and sa.iv:
        payload = notification(kind, protocol=ProtocolId.ISAKMP, spi=sa.cookies)
        reply = informational(sa, message_id, [payload])
    else:
        reply = clear_notify(sa.icookie, sa.rcookie, kind, message_id)
    sa.last_received = message_digest(received.message)
    sa.last_sent = reply if len(reply) <= len(received.message) else b""
    if sa.last_sent:
        turn.send(received.path, reply)
    if sa.role is Role.INITIATOR:
        forget(turn, sa)
        return
    sa.path = received.path
    sa.state = MainModeState.FAILED
    sa.exchange = None
    sa.deadlines.set(TIMER_HALF_OPEN, turn.now + HALF_OPEN_SECONDS)
    turn.table.rearm(sa)
    turn.admission.disprove(sa.id)


def on_clear_notification(turn: Turn, sa: IsakmpSa, path: Path, name: str) -> None:
    """An error notification in the clear for an exchange that is not up: a claim, no proof.

    If nothing better comes soon, the exchange ends with it, so that a person who waits for the
    connection learns the cause within seconds. The first claim counts.
    """
    if sa.state in (MainModeState.UP, MainModeState.FAILED):
        turn.drop(path, Reason.UNENCRYPTED, name)
        return
    wrong_key = sa.state is MainModeState.AWAIT_ID_I
    if sa.hint is not None:
        return
    sa.hint = (Reason.WRONG_KEY if wrong_key else Reason.PEER_NOTIFY, f"the peer says {name}")
    sa.deadlines.set(TIMER_HALF_OPEN, turn.now + HINT_SECONDS)
    turn.table.rearm(sa)


def on_timer(turn: Turn, sa: IsakmpSa, name: str) -> None:
    """A deadline of the ISAKMP SA has come; the caller re-arms its timer."""
    if name == TIMER_HALF_OPEN:
        _on_timeout(turn, sa)
    elif name == TIMER_RETRANSMIT:
        _on_retransmit(turn, sa)
    elif name == TIMER_LIFE:
        send_deletes(turn, sa, (), with_isakmp=True)
        take_down(turn, sa, Reason.PHASE1_EXPIRED)
    elif name == dpd.TIMER_DPD:
        dpd.on_timer(turn, sa)


def _on_timeout(turn: Turn, sa: IsakmpSa) -> None:
    reason, detail = sa.hint or (Reason.PHASE1_TIMEOUT, f"in {sa.state.value}")
    if sa.state is MainModeState.AWAIT_KE_R:
        turn.drop(sa.path, reason, detail)  # a scan, or a forged address: nobody was there
    elif sa.state is not MainModeState.FAILED:
        turn.fail(sa.path, reason, detail)
    forget(turn, sa)


def _on_retransmit(turn: Turn, sa: IsakmpSa) -> None:
    sa.tries += 1
    if sa.tries == len(RETRANSMIT_SECONDS):
        _on_timeout(turn, sa)
        return
    turn.send(sa.path, sa.last_sent)
    sa.deadlines.set(TIMER_RETRANSMIT, turn.now + RETRANSMIT_SECONDS[sa.tries])


def forget(turn: Turn, sa: IsakmpSa) -> None:
    turn.admission.remove(sa.id)
    turn.table.remove_isakmp(sa)
