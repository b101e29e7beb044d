"""Dead peer detection, RFC 3706, both ways.

We ask only after silence, only peers that advertised it, and only on the newest ISAKMP SA of a
peer. Authenticated ESP counts as a life sign, as the RFC wants it.
"""

from __future__ import annotations

from typing import Final

from ferrule.core.reasons import Reason
from ferrule.ike.effects import IsakmpSaDown, RemoveIpsecSa
from ferrule.ike.iana import NotifyType, ProtocolId
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState
from ferrule.ike.payloads import Notification, notification
from ferrule.ike.protection import informational
from ferrule.ike.timing import DPD_RETRY_SECONDS, DPD_TRIES
from ferrule.ike.turn import Received, Turn

TIMER_DPD: Final = "dpd"
_SEQUENCE_MASK: Final = 0xFFFFFFFF


def arm(turn: Turn, sa: IsakmpSa) -> None:
    """Start to watch the peer; the caller re-arms the SA's timer."""
    sa.dpd_tries = 0
    if sa.peer_dpd and turn.policy.dpd_seconds > 0 and sa.peer is not None:
        sa.deadlines.set(TIMER_DPD, sa.peer.last_heard + turn.policy.dpd_seconds)


def resume(turn: Turn, sa: IsakmpSa) -> None:
    """The SA comes from another process. A question that was open there is forgotten: after a take-
    over nobody knows how much of the silence was ours, so the peer gets a little time."""
    arm(turn, sa)
    due = sa.deadlines.get(TIMER_DPD)
    if due is not None:
        sa.deadlines.set(TIMER_DPD, max(due, turn.now + DPD_RETRY_SECONDS))


def disarm(turn: Turn, sa: IsakmpSa) -> None:
    """A newer ISAKMP SA of the peer watches."""
    sa.deadlines.clear(TIMER_DPD)
    turn.table.rearm(sa)


def on_timer(turn: Turn, sa: IsakmpSa) -> None:
    """The deadline has come: perhaps the peer was heard since it was set."""
    peer, policy = sa.peer, turn.policy
    if peer is None or sa.state is not MainModeState.UP or policy.dpd_seconds <= 0:
        return
    due = peer.last_heard + policy.dpd_seconds
    if due > turn.now:
        sa.dpd_tries = 0
        sa.deadlines.set(TIMER_DPD, due)
        return
    if sa.dpd_tries >= DPD_TRIES:
        _on_dead(turn, sa)
        return
    if sa.dpd_tries == 0:
        # RFC 3706 5.3: random at first, then one more for each new question; repeats keep it.
        fresh = int.from_bytes(turn.entropy(4), "big") >> 1
        sa.dpd_sequence = (sa.dpd_sequence + 1) & _SEQUENCE_MASK if sa.dpd_sequence else fresh
    sa.dpd_tries += 1
    _send(turn, sa, NotifyType.R_U_THERE, sa.dpd_sequence)
    sa.deadlines.set(TIMER_DPD, turn.now + DPD_RETRY_SECONDS)


def _send(turn: Turn, sa: IsakmpSa, kind: NotifyType, sequence: int) -> None:
    payload = notification(
        kind, protocol=ProtocolId.ISAKMP, spi=sa.cookies, data=sequence.to_bytes(4, "big")
    )
    turn.send(sa.path, informational(sa, turn.fresh_id(), [payload]))


def _on_dead(turn: Turn, sa: IsakmpSa) -> None:
    for ipsec in turn.table.orphans(sa):
        turn.table.remove_ipsec(ipsec)
        turn.effects.append(RemoveIpsecSa(ipsec.isakmp_sa, ipsec.inbound_spi, Reason.PEER_DEAD))
    peer = sa.peer
    turn.table.remove_isakmp(sa)
    turn.effects.append(IsakmpSaDown(sa.id, Reason.PEER_DEAD, with_ipsec_sas=True))
    if peer is not None and peer.isakmp:
        arm(turn, peer.isakmp[-1])
        turn.table.rearm(peer.isakmp[-1])


def _sequence(payload: Notification) -> int:
    """RFC 3706 5.3: four octets; what may follow is not looked at."""
    return int.from_bytes(payload.data[:4], "big")


def on_r_u_there(turn: Turn, sa: IsakmpSa, received: Received, payload: Notification) -> None:
    """RFC 3706 5.4. A sequence number that went back is a replay, and is not answered."""
    sequence = _sequence(payload)
    if sequence < sa.peer_dpd_sequence:
        turn.drop(received.path, Reason.UNEXPECTED_MESSAGE, "an old DPD sequence number")
        return
    if sequence > sa.peer_dpd_sequence:
        sa.peer_dpd_sequence = sequence
        turn.table.move(sa, received.path)
    _send(turn, sa, NotifyType.R_U_THERE_ACK, sequence)


def on_r_u_there_ack(turn: Turn, sa: IsakmpSa, received: Received, payload: Notification) -> None:
    """RFC 3706 5.4. Only the answer to our last question proves that the peer lives there."""
    if not sa.dpd_tries or _sequence(payload) != sa.dpd_sequence:
        turn.drop(received.path, Reason.UNEXPECTED_MESSAGE, "no such DPD question")
        return
    turn.table.move(sa, received.path)
    arm(turn, sa)
