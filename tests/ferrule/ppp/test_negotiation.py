from __future__ import annotations

from typing import ClassVar

import pytest

from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.automaton import State
from ferrule.ppp.negotiation import MAX_CONFIGURE, MAX_FAILURE, MAX_REFUSALS, Layer, Negotiation
from ferrule.ppp.options import OptionSet, Refused, Ruling
from ferrule.ppp.packet import Code, Option, Packet, build_options


class Wishes(OptionSet):
    """Option 1 is fine, option 2 must have the value "good", option 3 must stand, no others."""

    unconverged: ClassVar[Reason] = Reason.IPCP_NO_CONVERGENCE
    indispensable: ClassVar[frozenset[int]] = frozenset({3})

    def __init__(self, *, demanding: bool = False) -> None:
        self.demanding = demanding
        self.asked = [Option(9, b"ours")]
        self.accepted: list[Option] = []
        self.resets = 0

    def request(self) -> list[Option]:
        return self.asked

    def rule(self, option: Option) -> Ruling | Option:
        if option.type == 1 or option == Option(2, b"good") or option.type == 3:
            return Ruling.ACCEPT
        return Option(2, b"good") if option.type == 2 else Ruling.REJECT

    def missing(self, types: set[int]) -> list[Option]:
        return [Option(3, b"")] if self.demanding and 3 not in types else []

    def accept(self, options: list[Option]) -> None:
        self.accepted = options

    def on_nak(self, options: list[Option]) -> None:
        self.asked = options

    def on_reject(self, options: list[Option]) -> None:
        rejected = {option.type for option in options}
        self.asked = [option for option in self.asked if option.type not in rejected]

    def reset(self) -> None:
        self.resets += 1


class Bench:
    def __init__(self, *, demanding: bool = False) -> None:
        self.wishes = Wishes(demanding=demanding)
        self.deadlines = Deadlines()
        self.machine = Negotiation(self.wishes, self.deadlines, "restart")
        self.sent = self.machine.open(0.0)

    def request(self, identifier: int, *options: tuple[int, bytes]) -> list[Packet | Layer]:
        data = build_options([Option(*option) for option in options])
        return self.machine.receive(Packet(Code.CONFIGURE_REQUEST, identifier, data), 0.0)

    def reply(self, code: Code, *options: tuple[int, bytes]) -> list[Packet | Layer]:
        """The peer's reply to our last request; an Ack without options repeats it."""
        last = [packet for packet in self.sent if isinstance(packet, Packet)][-1]
        data = build_options([Option(*option) for option in options])
        if code is Code.CONFIGURE_ACK and not options:
            data = last.data
        self.sent = self.machine.receive(Packet(code, last.identifier, data), 0.0)
        return self.sent

    def open(self) -> None:
        self.reply(Code.CONFIGURE_ACK)
        assert self.request(1) == [Packet(Code.CONFIGURE_ACK, 1, b""), Layer.UP]


def test_the_first_request_goes_out_at_once_and_again_after_a_second() -> None:
    bench = Bench()
    request = Packet(Code.CONFIGURE_REQUEST, 1, b"\x09\x06ours")
    assert bench.sent == [Layer.STARTED, request]
    assert bench.deadlines.next == Deadline(1.0, "restart")
    at, times = 1.0, []
    for _ in range(MAX_CONFIGURE - 1):
        assert bench.deadlines.pop_expired(at) == ["restart"]
        assert bench.machine.expire(at) == [request]  # same identifier: a repetition
        times.append(at)
        assert bench.deadlines.next is not None
        at = bench.deadlines.next.at
    assert times[:4] == [1.0, 3.0, 6.0, 9.0]
    bench.deadlines.pop_expired(at)
    assert bench.machine.expire(at) == [Layer.FINISHED]
    assert (bench.machine.state, bench.deadlines.next) == (State.STOPPED, None)


def test_opening_from_either_side() -> None:
    for peer_first in (True, False):
        bench = Bench()
        if peer_first:
            assert bench.request(7) == [Packet(Code.CONFIGURE_ACK, 7, b"")]
            assert bench.reply(Code.CONFIGURE_ACK) == [Layer.UP]
        else:
            assert bench.reply(Code.CONFIGURE_ACK) == []
            assert bench.request(7) == [Packet(Code.CONFIGURE_ACK, 7, b""), Layer.UP]
        assert (bench.machine.state, bench.deadlines.next) == (State.OPENED, None)


def test_rejects_come_before_naks() -> None:
    bench = Bench()
    answer = bench.request(1, (1, b""), (2, b"bad"), (77, b"x"))
    assert answer == [Packet(Code.CONFIGURE_REJECT, 1, b"\x4d\x03x")]
    answer = bench.request(2, (1, b""), (2, b"bad"))
    assert answer == [Packet(Code.CONFIGURE_NAK, 2, b"\x02\x06good")]
    answer = bench.request(3, (1, b""), (2, b"good"))
    assert answer == [Packet(Code.CONFIGURE_ACK, 3, b"\x01\x02\x02\x06good")]
    assert bench.wishes.accepted == [Option(1, b""), Option(2, b"good")]


def test_an_option_that_stands_twice_is_rejected_once() -> None:
    answer = Bench().request(1, (1, b"a"), (1, b"b"))
    assert answer == [Packet(Code.CONFIGURE_REJECT, 1, b"\x01\x03b")]


def test_max_failure_turns_naks_into_rejects() -> None:
    bench = Bench()
    codes = [bench.request(at, (2, b"bad"))[0] for at in range(1, MAX_FAILURE + 2)]
    assert [packet.code for packet in codes if isinstance(packet, Packet)] == [
        *[Code.CONFIGURE_NAK] * MAX_FAILURE,
        Code.CONFIGURE_REJECT,
    ]
    assert bench.request(9) == [Packet(Code.CONFIGURE_ACK, 9, b"")]


def test_max_failure_on_what_cannot_be_rejected_ends_it() -> None:
    bench = Bench(demanding=True)
    for at in range(MAX_FAILURE):
        assert bench.request(at) == [Packet(Code.CONFIGURE_NAK, at, b"\x03\x02")]
    with pytest.raises(Refused) as refused:
        bench.request(99)
    assert refused.value.reason is Reason.IPCP_NO_CONVERGENCE


def test_naks_and_rejects_shape_the_next_request() -> None:
    bench = Bench()
    again = bench.reply(Code.CONFIGURE_NAK, (9, b"theirs"))
    assert again == [Packet(Code.CONFIGURE_REQUEST, 2, b"\x09\x08theirs")]
    again = bench.reply(Code.CONFIGURE_REJECT, (9, b"theirs"))
    assert again == [Packet(Code.CONFIGURE_REQUEST, 3, b"")]


def test_a_peer_that_always_refuses_is_left() -> None:
    bench = Bench()
    for at in range(MAX_REFUSALS):
        bench.reply(Code.CONFIGURE_NAK, (9, bytes((at,))))
    with pytest.raises(Refused):
        bench.reply(Code.CONFIGURE_NAK, (9, b"again"))


def test_stale_and_foreign_replies_are_dropped() -> None:
    bench = Bench()
    for packet, reason in (
        (Packet(Code.CONFIGURE_ACK, 2, b"\x09\x06ours"), Reason.PPP_PHASE),
        (Packet(Code.CONFIGURE_NAK, 0, b""), Reason.PPP_PHASE),
        (Packet(Code.CONFIGURE_ACK, 1, b"\x09\x06Ours"), Reason.PPP_MALFORMED),
        (Packet(Code.CONFIGURE_REJECT, 1, b"\x09"), Reason.PPP_MALFORMED),
    ):
        with pytest.raises(ProtocolError) as error:
            bench.machine.receive(packet, 0.0)
        assert error.value.reason is reason
    assert bench.machine.state is State.REQ_SENT
    ack = Packet(Code.CONFIGURE_ACK, 1, b"\x09\x06ours")
    assert bench.machine.receive(ack, 0.0) == []
    with pytest.raises(ProtocolError):  # the same once more: a duplicate on the way
        bench.machine.receive(ack, 0.0)
    assert bench.machine.state is State.ACK_RCVD


def test_a_repeated_request_does_not_take_the_layer_down() -> None:
    bench = Bench()
    bench.open()
    for _ in range(MAX_CONFIGURE):
        assert bench.request(1) == [Packet(Code.CONFIGURE_ACK, 1, b"")]
    assert bench.wishes.resets == 0
    answer = bench.request(1)  # one that never stops is taken at its word
    assert answer == [
        Layer.DOWN,
        Packet(Code.CONFIGURE_REQUEST, 2, b"\x09\x06ours"),
        Packet(Code.CONFIGURE_ACK, 1, b""),
    ]


def test_renegotiation() -> None:
    bench = Bench()
    bench.open()
    bench.sent = bench.request(2, (1, b"new"))
    assert bench.sent[0] is Layer.DOWN
    assert bench.wishes.resets == 1
    assert bench.wishes.accepted == [Option(1, b"new")]  # after the reset, not before
    bench.sent = bench.sent[:2]
    assert bench.reply(Code.CONFIGURE_ACK) == [Layer.UP]


def test_terminate_from_the_peer() -> None:
    bench = Bench()
    bench.open()
    answer = bench.machine.receive(Packet(Code.TERMINATE_REQUEST, 44, b"bye"), 10.0)
    assert answer == [Layer.DOWN, Packet(Code.TERMINATE_ACK, 44, b"")]
    assert bench.deadlines.next == Deadline(11.0, "restart")
    bench.deadlines.pop_expired(11.0)
    assert bench.machine.expire(11.0) == [Layer.FINISHED]
    assert bench.machine.state is State.STOPPED


def test_terminate_from_us_is_said_twice() -> None:
    bench = Bench()
    bench.open()
    assert bench.machine.close(5.0) == [Layer.DOWN, Packet(Code.TERMINATE_REQUEST, 2, b"")]
    assert bench.machine.expire(6.0) == [Packet(Code.TERMINATE_REQUEST, 3, b"")]
    assert bench.machine.expire(9.0) == [Layer.FINISHED]
    assert bench.machine.state is State.CLOSED
    late = bench.request(9)  # RFC 1661 4.1: Closed answers with Terminate-Ack
    assert [packet.code for packet in late if isinstance(packet, Packet)] == [Code.TERMINATE_ACK]


def test_terminate_ack_ends_closing() -> None:
    bench = Bench()
    bench.open()
    bench.machine.close(5.0)
    assert bench.machine.receive(Packet(Code.TERMINATE_ACK, 2, b""), 5.1) == [Layer.FINISHED]
    assert bench.deadlines.next is None


def test_unknown_codes_are_rejected_in_a_short_packet() -> None:
    bench = Bench()
    answer = bench.machine.receive(Packet(200, 3, bytes(1000)), 0.0)[0]
    assert isinstance(answer, Packet)
    assert (answer.code, answer.data[:4]) == (Code.CODE_REJECT, bytes.fromhex("c80303ec"))
    assert len(answer.data) == 128


def test_code_reject() -> None:
    bench = Bench()
    assert bench.machine.receive(Packet(Code.CODE_REJECT, 1, b"\x0c\x01\x00\x04"), 0.0) == []
    with pytest.raises(Refused):
        bench.machine.receive(Packet(Code.CODE_REJECT, 1, b"\x01\x01\x00\x04"), 0.0)


def test_malformed_options_change_nothing() -> None:
    bench = Bench()
    with pytest.raises(Malformed):
        bench.machine.receive(Packet(Code.CONFIGURE_REQUEST, 1, b"\x01\x09"), 0.0)
    assert bench.machine.state is State.REQ_SENT
