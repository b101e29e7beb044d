"""What the peer is told: the least there can be, and a row for each reason that ends a set-up."""

from ferrule.core.ids import Cookie
from ferrule.core.reasons import REASONS, Reason, Stage
from ferrule.ike.header import HEADER_OCTETS, parse_header
from ferrule.ike.iana import ExchangeType, NotifyType
from ferrule.ike.payloads import Notification, parse_payloads
from ferrule.ike.refusals import PHASE1_NOTIFY, PHASE2_NOTIFY, clear_notify

# Nobody is there to be told, or anybody can cause these: they never end an exchange.
DROPPED = {
    Reason.EXCHANGE_TYPE,
    Reason.UNENCRYPTED,
    Reason.UNEXPECTED_MESSAGE,
    Reason.PAYLOAD_NOT_ALLOWED,
    Reason.PHASE1_TIMEOUT,
    Reason.PHASE1_EXPIRED,
    Reason.NO_ANSWER,
    Reason.PEER_NOTIFY,
}


def test_a_notification_in_the_clear() -> None:
    message = clear_notify(
        Cookie(b"initiate"), Cookie(b"respond."), NotifyType.NO_PROPOSAL_CHOSEN, 7
    )
    assert len(message) == 40
    header = parse_header(message)
    assert (header.icookie, header.rcookie) == (b"initiate", b"respond.")
    assert (header.exchange, header.flags, header.message_id) == (
        ExchangeType.INFORMATIONAL,
        0,
        7,
    )
    contents = parse_payloads(header.next_payload, message[HEADER_OCTETS:])
    assert contents.payloads == [Notification(1, 1, b"", 14, b"")]


def test_every_reason_of_phase_1_is_told_or_dropped() -> None:
    ours = {reason for reason in Reason if REASONS[reason].stage is Stage.PHASE1}
    assert ours - DROPPED == set(PHASE1_NOTIFY)


def test_errors_are_errors() -> None:
    for table in (PHASE1_NOTIFY, PHASE2_NOTIFY):
        assert all(kind < 16_384 for kind in table.values())
