"""A peer whose PPP starts after the call is up, as pppd's under xl2tpd does."""

from __future__ import annotations

from ferrule.core.deadlines import Deadlines
from ferrule.ppp.automaton import State
from ferrule.ppp.negotiation import REPEAT_SECONDS, Layer, Negotiation
from ferrule.ppp.options import OptionSet, Ruling
from ferrule.ppp.packet import Code, Option, Packet

OURS = Packet(Code.CONFIGURE_REQUEST, 1, b"\x09\x06ours")
THEIRS = Packet(Code.CONFIGURE_REQUEST, 7, b"")


class Anything(OptionSet):
    """Asks for option 9, takes whatever the peer asks."""

    def request(self) -> list[Option]:
        return [Option(9, b"ours")]

    def rule(self, option: Option) -> Ruling | Option:
        return Ruling.ACCEPT

    def accept(self, options: list[Option]) -> None:
        assert options == []

    def on_nak(self, options: list[Option]) -> None:
        raise AssertionError(options)

    def on_reject(self, options: list[Option]) -> None:
        raise AssertionError(options)

    def reset(self) -> None:
        """Nothing was learnt."""


def machine(*, late_peer: bool = True) -> Negotiation:
    made = Negotiation(Anything(), Deadlines(), "restart", late_peer=late_peer)
    assert made.open(0.0)[-1] == OURS
    return made


def ack(request: Packet) -> Packet:
    return Packet(Code.CONFIGURE_ACK, request.identifier, request.data)


def test_our_lost_request_goes_out_again_before_our_answer() -> None:
    link = machine()
    assert link.receive(THEIRS, 0.1) == [OURS, ack(THEIRS)]
    assert link.receive(ack(OURS), 0.11) == [Layer.UP]


def test_it_goes_out_once() -> None:
    link = machine()
    link.receive(THEIRS, 0.1)
    assert link.receive(THEIRS, 0.2) == [ack(THEIRS)]


def test_a_peer_that_heard_both_acknowledges_both() -> None:
    """The second acknowledgement neither counts as stale nor starts anything again."""
    link = machine()
    link.receive(THEIRS, 0.1)
    assert link.receive(ack(OURS), 0.11) == [Layer.UP]
    assert link.receive(ack(OURS), 0.12) == []
    assert link.state is State.OPENED


def test_a_peer_that_speaks_at_once_has_been_heard_by() -> None:
    assert machine().receive(THEIRS, REPEAT_SECONDS / 2) == [ack(THEIRS)]


def test_a_peer_that_answered_gets_no_repetition() -> None:
    link = machine()
    link.receive(ack(OURS), 0.1)
    assert link.receive(THEIRS, 0.2) == [ack(THEIRS), Layer.UP]


def test_the_client_side_never_repeats() -> None:
    assert machine(late_peer=False).receive(THEIRS, 0.1) == [ack(THEIRS)]
