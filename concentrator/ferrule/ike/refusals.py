"""What the peer is told when it is refused: a notification for each reason (RFC 2408 3.14.1).

A reason that stands here ends the exchange. Any other one is a message that is dropped: anybody
could have sent it, and the exchange goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ferrule.core.ids import Cookie
from ferrule.core.reasons import Reason
from ferrule.ike.header import build_message
from ferrule.ike.iana import ExchangeType, NotifyType, ProtocolId
from ferrule.ike.payloads import build_payloads, notification

PHASE1_NOTIFY: Final[Mapping[Reason, NotifyType]] = MappingProxyType(
    {
        Reason.AGGRESSIVE_MODE: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.XAUTH: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.NO_PROPOSAL: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.WEAK_GROUP: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.WEAK_HASH: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.AUTH_METHOD: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.CRITICAL_PAYLOAD: NotifyType.SITUATION_NOT_SUPPORTED,
        Reason.BAD_KEY_EXCHANGE: NotifyType.INVALID_KEY_INFORMATION,
        Reason.BAD_NONCE: NotifyType.PAYLOAD_MALFORMED,
        Reason.WRONG_KEY: NotifyType.AUTHENTICATION_FAILED,
        Reason.BAD_HASH: NotifyType.INVALID_HASH_INFORMATION,
        Reason.BAD_IDENTITY: NotifyType.INVALID_ID_INFORMATION,
    }
)
PHASE2_NOTIFY: Final[Mapping[Reason, NotifyType]] = MappingProxyType(
    {
        Reason.NO_PHASE2_PROPOSAL: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.ENCAPSULATION: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.TRAFFIC_SELECTOR: NotifyType.INVALID_ID_INFORMATION,
        Reason.PHASE2_LIMIT: NotifyType.NO_PROPOSAL_CHOSEN,
        Reason.CRITICAL_PAYLOAD: NotifyType.SITUATION_NOT_SUPPORTED,
        Reason.BAD_KEY_EXCHANGE: NotifyType.INVALID_KEY_INFORMATION,
        Reason.BAD_NONCE: NotifyType.PAYLOAD_MALFORMED,
        Reason.PAYLOAD_NOT_ALLOWED: NotifyType.PAYLOAD_MALFORMED,
    }
)


def clear_notify(icookie: Cookie, rcookie: Cookie, kind: NotifyType, message_id: int) -> bytes:
    """A notification in the clear: 40 octets, the least that there can be."""
    first, body = build_payloads([notification(kind, protocol=ProtocolId.ISAKMP)])
    return build_message(icookie, rcookie, first, ExchangeType.INFORMATIONAL, 0, message_id, body)
