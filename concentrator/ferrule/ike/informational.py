"""Informational exchanges: Delete, Notification, DPD, INITIAL-CONTACT (RFC 2408 4.8, 2409 5.7).

In the clear nothing is believed about an ISAKMP SA that is up. A message id is used once, so a
replayed message does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Path
from ferrule.core.reasons import Reason
from ferrule.ike import dpd, main_mode, quick_mode
from ferrule.ike.header import HEADER_OCTETS, Header
from ferrule.ike.iana import (
    FIRST_STATUS_TYPE,
    Flag,
    NotifyType,
    ProtocolId,
    notify_name,
)
from ferrule.ike.informational_send import notify_message
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState, QuickMode, QuickModeState
from ferrule.ike.keys import hash_1
from ferrule.ike.payloads import Delete, Notification, parse_payloads
from ferrule.ike.phase1 import initial_contact, take_down
from ferrule.ike.phase2 import keys_of, remove
from ferrule.ike.protection import check_hash, decrypt, exchange_iv, parse_decrypted
from ferrule.ike.turn import Received, Turn

Handler: TypeAlias = Callable[[Turn, IsakmpSa, Received, Notification], None]
_IN_PROGRESS: Final = frozenset({QuickModeState.AWAIT_SA, QuickModeState.AWAIT_HASH})


def receive(turn: Turn, sa: IsakmpSa, path: Path, header: Header, message: bytes) -> None:
    """Raises ProtocolError for what is dropped."""
    if not header.flags & Flag.ENCRYPTION:
        _receive_clear(turn, sa, path, header, message)
        return
    if sa.state is MainModeState.AWAIT_ID_I:
        # Where message 6 should be: a responder that could not read message 5.
        main_mode.on_clear_notification(turn, sa, path, "something under its own key")
        return
    received = _open(turn, sa, path, header, message)
    for payload in received.contents.payloads:
        if isinstance(payload, Notification):
            _on_notification(turn, sa, received, payload)
    for payload in received.contents.all(Delete):
        _on_delete(turn, sa, received, payload)


def receive_transaction(
    turn: Turn, sa: IsakmpSa, path: Path, header: Header, message: bytes
) -> None:
    """Mode Config or XAuth: told that it is not spoken here. Raises ProtocolError."""
    received = _open(turn, sa, path, header, message)
    kind = NotifyType.UNSUPPORTED_EXCHANGE_TYPE
    turn.send(sa.path, notify_message(turn, sa, kind, ProtocolId.ISAKMP, sa.cookies))
    turn.drop(received.path, Reason.XAUTH, "a transaction exchange")


def _receive_clear(turn: Turn, sa: IsakmpSa, path: Path, header: Header, message: bytes) -> None:
    if sa.state in (MainModeState.UP, MainModeState.FAILED):
        raise ProtocolError(Reason.UNENCRYPTED, "an informational message")
    contents = parse_payloads(header.next_payload, message[HEADER_OCTETS:])
    for payload in contents.all(Notification):
        if payload.kind < FIRST_STATUS_TYPE:
            main_mode.on_clear_notification(turn, sa, path, notify_name(payload.kind))
            return
    raise ProtocolError(Reason.UNENCRYPTED, "an informational message without an error")


def _open(turn: Turn, sa: IsakmpSa, path: Path, header: Header, message: bytes) -> Received:
    """Decrypt and authenticate. Raises ProtocolError."""
    if sa.state is not MainModeState.UP or sa.cipher_key is None:
        raise ProtocolError(Reason.UNEXPECTED_MESSAGE, "before phase 1 is over")
    message_id = header.message_id
    if not header.flags & Flag.ENCRYPTION:
        raise ProtocolError(Reason.UNENCRYPTED, "")
    if not message_id or message_id in sa.seen_ids:
        raise ProtocolError(Reason.UNEXPECTED_MESSAGE, "a message id that was used before")
    iv = exchange_iv(sa, message_id)
    plaintext, last_block = decrypt(sa.cipher, sa.cipher_key, iv, message)
    contents = parse_decrypted(header.next_payload, plaintext)
    skeyid_a = keys_of(sa).skeyid_a
    check_hash(contents, plaintext, lambda rest: hash_1(sa.hash, skeyid_a, message_id, rest))
    sa.remember_id(message_id)
    if sa.peer is not None:
        sa.peer.last_heard = turn.now
    return Received(path, header, message, contents, plaintext, last_block)


# --- notifications -------------------------------------------------------------------------


def _on_initial_contact(turn: Turn, sa: IsakmpSa, _: Received, __: Notification) -> None:
    initial_contact(turn, sa)


def _on_nothing(turn: Turn, sa: IsakmpSa, _: Received, __: Notification) -> None:
    """CONNECTED answers the commit bit, which we never set; the others only inform."""


HANDLERS: Final[Mapping[int, Handler]] = MappingProxyType(
    {
        NotifyType.R_U_THERE: dpd.on_r_u_there,
        NotifyType.R_U_THERE_ACK: dpd.on_r_u_there_ack,
        NotifyType.INITIAL_CONTACT: _on_initial_contact,
        NotifyType.CONNECTED: _on_nothing,
        NotifyType.RESPONDER_LIFETIME: _on_nothing,
        NotifyType.REPLAY_STATUS: _on_nothing,
    }
)


def _on_notification(turn: Turn, sa: IsakmpSa, received: Received, payload: Notification) -> None:
    handler = HANDLERS.get(payload.kind)
    if handler is not None:
        handler(turn, sa, received, payload)
        return
    detail = f"the peer says {notify_name(payload.kind)}"
    if payload.kind < FIRST_STATUS_TYPE:
        quick = _refused_quick_mode(sa, payload.spi)
        if quick is not None:
            quick_mode.fail(turn, sa, quick, Reason.PEER_NOTIFY, detail)
            return
    turn.drop(received.path, Reason.PEER_NOTIFY, detail)


def _refused_quick_mode(sa: IsakmpSa, spi: bytes) -> QuickMode | None:
    """The one in progress that an error is about, by either SPI; or the only one, since many
    implementations name no SPI."""
    waiting = [q for q in sa.quick_modes.values() if q.state in _IN_PROGRESS]
    for quick in waiting:
        own = quick.inbound_spi.to_bytes(4, "big") if quick.inbound_spi is not None else b""
        if spi in (own, quick.peer_spi) and spi:
            return quick
    return waiting[0] if len(waiting) == 1 else None


# --- Delete --------------------------------------------------------------------------------


def _on_delete(turn: Turn, sa: IsakmpSa, received: Received, payload: Delete) -> None:
    """RFC 2408 3.15. IPsec SAs are named by the peer's inbound SPI, our outbound one."""
    if payload.protocol == ProtocolId.ESP:
        for spi in payload.spis:
            _on_delete_ipsec(turn, sa, int.from_bytes(spi, "big"))
    elif payload.protocol == ProtocolId.ISAKMP:
        for cookies in payload.spis:
            _on_delete_isakmp(turn, sa, cookies)
    else:
        turn.drop(received.path, Reason.CRITICAL_PAYLOAD, f"Delete of protocol {payload.protocol}")


def _on_delete_ipsec(turn: Turn, sa: IsakmpSa, spi: int) -> None:
    """QUIRK(strongswan): names our own inbound SPI where it could not install its side."""
    if sa.peer is None:
        return
    candidates = list(sa.peer.ipsec.values()) if sa.at_home else turn.table.orphans(sa)
    found = [i for i in candidates if i.outbound_spi == spi] or [
        i for i in candidates if i.inbound_spi == spi
    ]
    own = [ipsec for ipsec in found if ipsec.isakmp_sa == sa.id]
    for ipsec in (own or found)[:1]:
        remove(turn, ipsec, Reason.PEER_CLOSED, tell_peer=False)


def _on_delete_isakmp(turn: Turn, sa: IsakmpSa, cookies: bytes) -> None:
    if sa.peer is None:
        return
    for other in list(sa.peer.isakmp) if sa.at_home else [sa]:
        if other.cookies == cookies:
            take_down(turn, other, Reason.PEER_CLOSED)
