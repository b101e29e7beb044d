"""The small TCP: each state of the table by hand, then whole transfers over a bad link."""

from __future__ import annotations

import itertools
import random
from ipaddress import IPv4Address

import pytest

from ferrule.client import tcp
from ferrule.client.ipv4 import parse_ipv4
from ferrule.client.tcp import TRANSITIONS, State, TcpConnection, Trigger
from ferrule.client.tcp_segment import Endpoint, Flag, Segment, build_segment
from ferrule.core.tables import Verdict
from support.client import CLIENT, SERVER, BadLink, TcpResponder, entropy_of, parsed

PORT = 50000


def connection(seed: int = 1, mtu: int = 1400) -> TcpConnection:
    return TcpConnection(Endpoint(CLIENT, PORT), Endpoint(SERVER, 80), mtu, entropy_of(seed))


def packets(effects: list[tcp.TcpEffect]) -> list[bytes]:
    return [e.packet for e in effects if isinstance(e, tcp.SendPacket)]


class Peer:
    """Speaks to one connection by hand."""

    def __init__(self, connection: TcpConnection) -> None:
        self.connection = connection
        (syn,) = parsed(packets(connection.open(0.0)))
        self.syn = syn
        self.ours = 1000
        self.theirs = (syn.sequence + 1) % 2**32  # what we acknowledge

    def say(
        self, flags: Flag, data: bytes = b"", now: float = 0.1, **fields: int
    ) -> list[tcp.TcpEffect]:
        segment = Segment(80, PORT, self.ours, self.theirs, flags, 8000, data)
        for name, value in fields.items():
            setattr(segment, name, value)
        if "sequence" not in fields:
            self.ours += segment.length
        packet = build_segment(segment, SERVER, CLIENT)
        return self.connection.receive(parse_ipv4(packet), now)

    def establish(self) -> list[tcp.TcpEffect]:
        return self.say(Flag.SYN | Flag.ACK, mss=1000)


def test_handshake_offers_mss_and_scale_and_acknowledges() -> None:
    peer = Peer(connection(mtu=1400))
    assert peer.syn.flags == Flag.SYN
    assert (peer.syn.mss, peer.syn.scale) == (1360, 3)
    effects = peer.establish()
    assert tcp.Connected(0.1) in effects
    (acknowledgment,) = parsed(packets(effects))
    assert (acknowledgment.flags, acknowledgment.acknowledgment) == (Flag.ACK, 1001)
    assert peer.connection.state is State.ESTABLISHED
    assert peer.connection.deadline is None


@pytest.mark.parametrize(
    ("flags", "acknowledgment", "state"),
    [
        (Flag.RST | Flag.ACK, 0, State.CLOSED),
        (Flag.RST | Flag.ACK, 7, State.SYN_SENT),  # acknowledges something else: blind
        (Flag.SYN | Flag.ACK, 7, State.SYN_SENT),
        (Flag.RST, 0, State.SYN_SENT),
        (Flag.SYN, 0, State.SYN_SENT),
        (Flag.ACK, 0, State.SYN_SENT),
    ],
)
def test_only_a_right_answer_counts_in_syn_sent(
    flags: Flag, acknowledgment: int, state: State
) -> None:
    peer = Peer(connection())
    peer.say(flags, acknowledgment=(peer.theirs + acknowledgment) % 2**32)
    assert peer.connection.state is state


def test_refusal_names_itself() -> None:
    peer = Peer(connection())
    assert peer.say(Flag.RST | Flag.ACK) == [tcp.Closed("connection refused")]


def test_data_is_delivered_in_order_whatever_comes_first() -> None:
    peer = Peer(connection())
    peer.establish()
    assert not [
        e for e in peer.say(Flag.ACK, b"world", sequence=1006) if isinstance(e, tcp.Received)
    ]
    effects = peer.say(Flag.ACK, b"hello", sequence=1001)
    assert [e.data for e in effects if isinstance(e, tcp.Received)] == [b"hello", b"world"]
    (acknowledgment,) = parsed(packets(effects))
    assert acknowledgment.acknowledgment == 1011
    again = peer.say(Flag.ACK, b"lloworld!", sequence=1003)  # overlaps what is there
    assert [e.data for e in again if isinstance(e, tcp.Received)] == [b"!"]


def test_early_data_and_its_overlaps_are_cut_to_what_is_new() -> None:
    peer = Peer(connection())
    peer.establish()
    peer.say(Flag.ACK, b"cdef", sequence=1003)
    peer.say(Flag.ACK, b"ef", sequence=1005)
    effects = peer.say(Flag.ACK, b"abcd", sequence=1001)
    assert b"".join(e.data for e in effects if isinstance(e, tcp.Received)) == b"abcdef"


def test_what_is_beyond_the_window_is_only_acknowledged() -> None:
    peer = Peer(connection())
    peer.establish()
    effects = peer.say(Flag.ACK, b"x", sequence=1001 + 300_000)
    assert [type(e) for e in effects] == [tcp.SendPacket]


def test_memory_for_early_segments_is_bounded() -> None:
    peer = Peer(connection())
    peer.establish()
    for at in range(3000):
        peer.say(Flag.ACK, b"x", sequence=1003 + 2 * at)
    effects = peer.say(Flag.ACK, b"xx", sequence=1001)
    delivered = b"".join(e.data for e in effects if isinstance(e, tcp.Received))
    assert len(delivered) == 3  # its two octets and the one behind them, then a gap
    assert len(peer.connection._incoming._early) <= 512


def test_close_from_here() -> None:
    peer = Peer(connection())
    peer.establish()
    (fin,) = parsed(packets(peer.connection.close(1.0)))
    assert fin.flags & Flag.FIN
    assert peer.connection.state is State.FIN_WAIT_1
    peer.theirs += 1
    peer.say(Flag.ACK, now=1.1)
    assert peer.connection.state is State.FIN_WAIT_2
    effects = peer.say(Flag.FIN | Flag.ACK, now=1.2)
    assert tcp.PeerFinished() in effects
    assert peer.connection.state is State.TIME_WAIT
    assert peer.connection.deadline is not None
    assert peer.connection.expire(peer.connection.deadline.at) == [tcp.Closed("")]
    assert peer.connection.deadline is None


def test_close_from_there() -> None:
    peer = Peer(connection())
    peer.establish()
    assert tcp.PeerFinished() in peer.say(Flag.FIN | Flag.ACK)
    assert peer.connection.state is State.CLOSE_WAIT
    peer.connection.close(1.0)
    assert peer.connection.state is State.LAST_ACK
    peer.theirs += 1
    assert peer.say(Flag.ACK, now=1.1) == [tcp.Closed("")]


def test_both_close_at_once() -> None:
    peer = Peer(connection())
    peer.establish()
    peer.connection.close(1.0)
    peer.say(Flag.FIN | Flag.ACK, now=1.1)
    assert peer.connection.state is State.CLOSING
    peer.theirs += 1
    peer.say(Flag.ACK, now=1.2)
    assert peer.connection.state is State.TIME_WAIT


def test_a_peer_that_never_sends_its_fin_is_left_behind() -> None:
    peer = Peer(connection())
    peer.establish()
    peer.connection.close(1.0)
    peer.theirs += 1
    peer.say(Flag.ACK, now=1.1)
    assert peer.connection.deadline is not None
    assert peer.connection.expire(peer.connection.deadline.at) == [tcp.Closed("")]


def test_reset_must_hit_the_very_next_sequence_number() -> None:
    peer = Peer(connection())
    peer.establish()
    assert peer.say(Flag.RST, sequence=1000) == []
    assert peer.say(Flag.RST, sequence=1002) == []
    assert peer.say(Flag.RST) == [tcp.Closed("connection reset by the peer")]


def test_abort_sends_a_reset() -> None:
    peer = Peer(connection())
    peer.establish()
    effects = peer.connection.abort("enough", 1.0)
    (reset,) = parsed(packets(effects))
    assert reset.flags & Flag.RST
    assert effects[-1] == tcp.Closed("enough")
    assert peer.connection.abort("again", 1.0) == []


def test_silence_is_given_up_after_doubling_waits() -> None:
    peer = Peer(connection())
    times = []
    effects: list[tcp.TcpEffect] = []
    while (deadline := peer.connection.deadline) is not None:
        times.append(deadline.at)
        effects = peer.connection.expire(deadline.at)
    assert effects == [tcp.Closed("no answer")]
    assert [b - a for a, b in itertools.pairwise(times)][:3] == [2.0, 4.0, 8.0]


def test_a_closed_window_is_probed_and_opens_again() -> None:
    peer = Peer(connection())
    peer.say(Flag.SYN | Flag.ACK, mss=1000, window=0)
    assert packets(peer.connection.send(b"request", 0.2)) == []
    deadline = peer.connection.deadline
    assert deadline is not None
    (probe,) = parsed(packets(peer.connection.expire(deadline.at)))
    assert probe.data == b"r"
    peer.theirs += 1
    (rest,) = parsed(packets(peer.say(Flag.ACK, now=2.0, window=1000)))
    assert rest.data == b"equest"


def test_send_after_close_is_a_bug_of_the_caller() -> None:
    peer = Peer(connection())
    peer.establish()
    peer.connection.close(1.0)
    with pytest.raises(ValueError, match="after close"):
        peer.connection.send(b"late", 1.1)


def test_strangers_are_ignored() -> None:
    peer = Peer(connection())
    peer.establish()
    stranger = Segment(80, PORT, 1001, peer.theirs, Flag.ACK, 100, b"evil")
    packet = parse_ipv4(build_segment(stranger, IPv4Address("192.0.2.99"), CLIENT))
    assert peer.connection.receive(packet, 0.2) == []


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_cell_of_the_table(state: State, trigger: Trigger) -> None:
    """Every handler runs in its state without an exception, and leads where the row says."""
    row = TRANSITIONS.lookup(state, trigger)
    one = connection()
    one.open(0.0)
    one.state = state
    effects = one._step(trigger, 1.0, [])
    if isinstance(row, Verdict):
        assert effects == []
        assert one.state is state
    else:
        assert one.state is row.next


@pytest.mark.parametrize("seed", range(60))
def test_a_transfer_over_a_bad_link(seed: int) -> None:
    """Request and response arrive whole, in virtual time, and nothing is left afterwards."""
    rng = random.Random(seed)
    lossy = seed % 3 != 0
    link = BadLink(
        rng,
        loss=0.15 if lossy else 0.0,
        duplication=0.1,
        delay=(0.005, 0.15 if seed % 2 else 0.02),
    )
    request = rng.randbytes(rng.randrange(1, 20_000))
    response = rng.randbytes(rng.randrange(0, 30_000))
    responder = TcpResponder(lambda got: response if len(got) == len(request) else None)
    one = connection(seed)
    got, closed = b"", None
    now = 0.0

    def take(effects: list[tcp.TcpEffect]) -> None:
        nonlocal got, closed
        for effect in effects:
            match effect:
                case tcp.SendPacket():
                    link.send("server", effect.packet, now)
                case tcp.Connected():
                    take(one.send(request, now))
                case tcp.Received():
                    got += effect.data
                case tcp.PeerFinished():
                    take(one.close(now))
                case tcp.Closed():
                    closed = effect.detail

    take(one.open(now))
    while closed is None and now < 300:
        deadline = one.deadline
        times = [link.next, deadline and deadline.at, responder.resend_at]
        now = min(t for t in times if t is not None)
        if link.next is not None and link.next <= now:
            to, packet = link.pop()
            if to == "server":
                for reply in responder.receive(parse_ipv4(packet), now):
                    link.send("client", reply, now)
            else:
                take(one.receive(parse_ipv4(packet), now))
        for reply in responder.expire(now):
            link.send("client", reply, now)
        if one.deadline is not None and one.deadline.at <= now:
            take(one.expire(now))
    assert closed == ""
    assert responder.received == request
    assert responder.finished
    assert got == response
    assert one.deadline is None
