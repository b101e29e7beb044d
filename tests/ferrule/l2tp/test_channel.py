"""The reliable channel: order, windows, retransmission, acknowledgement."""

from __future__ import annotations

import pytest

from ferrule.l2tp.channel import BACKLOG_MAX, CYCLE_SECONDS, Channel
from ferrule.l2tp.header import ControlHeader, parse_control

WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)


def channel(*, receive_window: int = 16, peer_window: int = 4) -> Channel:
    made = Channel(receive_window)
    made.peer_tunnel = 77
    made.peer_window = peer_window
    return made


def arrive(end: Channel, ns: int, nr: int = 0, body: bytes = b"m", now: float = 0.0) -> list[bytes]:
    """The bodies that a message brings to delivery."""
    got = end.receive(ControlHeader(1, 0, ns, nr), body, now)
    return [message.body for message in got.messages]


def numbers(messages: list[bytes]) -> list[tuple[int, int]]:
    """(Ns, Nr) of each."""
    return [(header.ns, header.nr) for header, _ in map(parse_control, messages)]


def acknowledge(end: Channel, nr: int, now: float = 0.0) -> bool:
    return end.receive(ControlHeader(1, 0, 0, nr), b"", now).acknowledged


def widen(end: Channel) -> None:
    """Leave slow start behind: send and have acknowledged enough."""
    for _ in range(8):
        end.send(0, b"x", 0.0)
        assert acknowledge(end, end.next_ns)
    assert end.idle


def test_in_order_messages_are_delivered_and_acknowledged_at_once() -> None:
    end = channel()
    assert arrive(end, 0) == [b"m"]
    (zlb,) = end.acknowledge()
    assert parse_control(zlb) == (ControlHeader(77, 0, 0, 1), b"")
    assert end.acknowledge() == []


def test_a_reply_carries_the_acknowledgement() -> None:
    end = channel()
    arrive(end, 0)
    (reply,) = end.send(5, b"reply", 0.0)
    assert parse_control(reply) == (ControlHeader(77, 5, 0, 1), b"reply")
    assert end.acknowledge() == []


def test_a_reply_that_the_window_holds_back_does_not() -> None:
    end = channel()
    assert end.send(0, b"first", 0.0)
    assert end.send(0, b"second", 0.0) == []  # slow start: one at first
    arrive(end, 0)
    assert numbers(end.acknowledge()) == [(1, 1)]  # Ns of what was not sent yet


def test_a_zlb_takes_no_number() -> None:
    end = channel()
    end.receive(ControlHeader(1, 0, 0, 0), b"", 0.0)
    assert end.acknowledge() == []
    assert arrive(end, 0) == [b"m"]


def test_early_messages_wait_for_their_turn() -> None:
    end = channel()
    assert arrive(end, 2, body=b"c") == []
    assert arrive(end, 1, body=b"b") == []
    assert end.acknowledge() == []
    assert arrive(end, 0, body=b"a") == [b"a", b"b", b"c"]
    assert numbers(end.acknowledge()) == [(0, 3)]


@pytest.mark.parametrize("receive_window", [1, 4, 16])
def test_the_receive_window_bounds_what_waits(receive_window: int) -> None:
    end = channel(receive_window=receive_window)
    for ns in range(1, 200):
        arrival = end.receive(ControlHeader(1, 0, ns, 0), b"m", 0.0)
        assert bool(arrival.dropped) == (ns >= receive_window)
    assert len(arrive(end, 0)) == receive_window


def test_duplicates_are_acknowledged_again() -> None:
    end = channel()
    arrive(end, 0)
    end.acknowledge()
    arrival = end.receive(ControlHeader(1, 0, 0, 0), b"m", 0.0)
    assert (arrival.messages, arrival.dropped) == ([], "duplicate Ns 0")
    assert numbers(end.acknowledge()) == [(0, 1)]


def test_a_duplicate_of_an_early_message_changes_nothing() -> None:
    end = channel()
    arrive(end, 1, body=b"b")
    assert end.receive(ControlHeader(1, 0, 1, 0), b"other", 0.0).dropped == "duplicate Ns 1"
    assert arrive(end, 0, body=b"a") == [b"a", b"b"]


def test_numbers_wrap() -> None:
    end = channel()
    for ns in range(70_000):
        assert arrive(end, ns & 0xFFFF) == [b"m"]
    for _ in range(70_000):
        (message,) = end.send(0, b"x", 0.0)
        assert acknowledge(end, (parse_control(message)[0].ns + 1) & 0xFFFF)
    assert end.idle
    assert end.next_ns == 70_000 & 0xFFFF


def test_retransmission_and_its_end() -> None:
    end = channel()
    (first,) = end.send(3, b"hello", 100.0)
    at = 100.0
    for wait in WAITS:
        assert end.due == at + wait
        assert end.expire(at + wait - 0.01) == []
        at += wait
        assert end.expire(at) == [first]
    assert end.due == at + 8.0 == 100.0 + CYCLE_SECONDS == 131.0
    assert end.expire(131.0) is None
    assert end.due is None
    assert end.expire(500.0) == []


def test_retransmission_carries_the_newest_nr() -> None:
    end = channel()
    end.send(0, b"m", 0.0)
    arrive(end, 0)
    assert numbers(end.expire(1.0) or []) == [(0, 1)]
    assert end.acknowledge() == []


def test_an_acknowledgement_stops_the_timer() -> None:
    end = channel()
    end.send(0, b"m", 0.0)
    end.expire(1.0)
    assert acknowledge(end, 1, now=2.0)
    assert end.due is None
    assert end.idle


@pytest.mark.parametrize("nr", [0, 2, 3, 0x8000, 0xFFFF])
def test_an_nr_that_fits_nothing_is_ignored(nr: int) -> None:
    end = channel()
    end.send(0, b"m", 0.0)
    assert not acknowledge(end, nr)
    assert not end.idle


@pytest.mark.parametrize("window", [1, 2, 4, 8])
def test_slow_start_up_to_the_window_of_the_peer(window: int) -> None:
    end = channel(peer_window=window)
    sent = [message for _ in range(30) for message in end.send(0, b"m", 0.0)]
    assert len(sent) == 1
    flying, most, acknowledged = 1, 1, 0
    while not end.idle:
        acknowledged += 1
        assert acknowledge(end, acknowledged)
        flying += len(end.flush(0.0)) - 1
        most = max(most, flying)
    assert most == window
    assert acknowledged == 30


def test_after_a_loss_the_window_starts_over() -> None:
    end = channel(peer_window=8)
    widen(end)
    sent = [message for _ in range(4) for message in end.send(0, b"m", 0.0)]
    assert [ns for ns, _ in numbers(sent)] == [8, 9, 10, 11]
    assert [ns for ns, _ in numbers(end.expire(1.0) or [])] == [8]
    assert acknowledge(end, 9, now=1.1)
    # The others are sent again without a further wait, in order.
    assert [ns for ns, _ in numbers(end.flush(1.1))] == [9, 10]
    assert acknowledge(end, 12, now=1.2)  # the peer had kept them all
    assert end.idle


def test_what_was_sent_before_a_loss_can_be_acknowledged_while_it_waits_again() -> None:
    end = channel(peer_window=8)
    widen(end)
    for _ in range(3):
        end.send(0, b"m", 0.0)
    end.expire(1.0)
    assert acknowledge(end, 11, now=1.5)
    assert end.idle
    assert end.due is None


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    end = channel()
    end.send(0, b"m", 0.0)
    end.send(0, b"waits", 0.0)
    assert not acknowledge(end, 2)


def test_a_peer_that_never_acknowledges_gets_no_more_of_our_memory() -> None:
    end = channel()
    for ns in range(BACKLOG_MAX):
        assert arrive(end, ns) == [b"m"]
        end.send(0, b"reply", 0.0)
    arrival = end.receive(ControlHeader(1, 0, BACKLOG_MAX, 0), b"m", 0.0)
    assert arrival.messages == []
    assert "unacknowledged" in arrival.dropped
    assert len(arrive(end, BACKLOG_MAX, nr=1)) == 1  # it acknowledged one


def test_forgiven() -> None:
    end = channel()
    (hello,) = end.send(0, b"hello", 0.0)
    at = 0.0
    for wait in WAITS:
        at += wait
        end.expire(at)
    end.send(0, b"goodbye", at)
    assert end.expire(at + 8) is None
    assert [ns for ns, _ in numbers(end.forgive(at + 8, 60.0))] == [1]  # nothing blocks it now
    assert end.head_sent == at + 8
    assert end.due == at + 68
    assert end.expire(at + 68) == [hello]


def test_abandoned() -> None:
    end = channel()
    end.send(0, b"m", 0.0)
    arrive(end, 1)
    end.abandon()
    assert end.idle
    assert end.due is None
    assert end.head is None
    assert arrive(end, 0) == [b"m"]
    assert numbers(end.acknowledge()) == [(1, 1)]
