"""Informational messages that we start: Delete and error notifications (RFC 2409 5.7).

They need an ISAKMP SA that is up; there is no answer to wait for (RFC 2408 4.8 has none).
"""

from __future__ import annotations

from collections.abc import Iterable

from ferrule.core.ids import Spi
from ferrule.ike.iana import DOI_IPSEC, NotifyType, ProtocolId
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState
from ferrule.ike.payloads import Delete, notification
from ferrule.ike.protection import informational
from ferrule.ike.turn import Turn


def send_deletes(turn: Turn, sa: IsakmpSa, spis: Iterable[Spi], *, with_isakmp: bool) -> None:
    """RFC 2408 3.15: our inbound SPIs, and the ISAKMP SA itself last."""
    if sa.state is not MainModeState.UP:
        return
    own = tuple(spi.to_bytes(4, "big") for spi in spis)
    if own:
        payload = Delete(DOI_IPSEC, ProtocolId.ESP, own)
        turn.send(sa.path, informational(sa, turn.fresh_id(), [payload]))
    if with_isakmp:
        payload = Delete(DOI_IPSEC, ProtocolId.ISAKMP, (sa.cookies,))
        turn.send(sa.path, informational(sa, turn.fresh_id(), [payload]))


def notify_message(
    turn: Turn, sa: IsakmpSa, kind: NotifyType, protocol: ProtocolId, spi: bytes
) -> bytes:
    """An authenticated notification."""
    return informational(sa, turn.fresh_id(), [notification(kind, protocol=protocol, spi=spi)])
