"""Random histories of one client among three planes: reservations, check-points, take-overs,
hand-overs, fences, replays.

No sequence number of an SA is sent twice or without a written reservation, and none is accepted
twice. Four planted bugs, each a rule left out, show that the histories would find them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ferrule.core.ids import ClientId, Path, SessionId, Spi, TunnelId
from ferrule.dataplane.interface import (
    ClientState,
    L2tpControl,
    LinkSpec,
    ReservationLow,
    SaSpec,
    SessionCounters,
    UnknownSpi,
)
from ferrule.dataplane.python import KEEPALIVE, PuntLimits
from ferrule.esp.packet import EspSealer
from support.dataplane import AWAY, GCM, HOME, Others, Rig, key, udp_header

CLIENT = ClientId(1)
TUNNEL, SESSION = TunnelId(2), SessionId(3)
MEMBERS = 3
PATHS = (HOME, AWAY, HOME._replace(via="pod-b"))
members = st.integers(0, MEMBERS - 1)
blocks = st.integers(1, 12)


@dataclass
class Written:
    """What a check-point says of one pair of SAs."""

    reserved: int
    window_top: int = 0
    seen: bool = False
    active: bool = True


@dataclass
class Far:
    """The client's end of one pair of SAs, and what came of it."""

    spi: Spi
    sealer: EspSealer
    accepted: set[int] = field(default_factory=set)


class TakeOver(RuleBasedStateMachine):
    """`owner` serves the client; the others have been deposed, or never had it."""

    behind_the_reservation = True
    written_before_sent = True
    fence = True
    window_goes_along = True

    def __init__(self) -> None:
        super().__init__()
        limits = PuntLimits(client=1_000_000)
        self.rigs = [Rig(limits, Others()) for _ in range(MEMBERS)]
        self.owner = 0
        self.store: dict[int, Written] = {}
        self.far: dict[int, Far] = {}
        self.sent: set[tuple[int, int]] = set()

    datagrams: Bundle[bytes] = Bundle("datagrams")
    reservations: Bundle[tuple[int, int]] = Bundle("reservations")

    @property
    def rig(self) -> Rig:
        return self.rigs[self.owner]

    def spec(self, spi: int, **changes: object) -> SaSpec:
        fields = {"path": HOME, "active": True, **changes}
        keys = key(GCM, f"up {spi}"), key(GCM, f"down {spi}")
        return SaSpec(CLIENT, Spi(spi), Spi(spi + 0x10000), GCM, *keys, 0, **fields)  # type: ignore[arg-type]

    def state(self) -> ClientState:
        state = self.rig.plane.client_state(CLIENT)
        assert state is not None
        return state

    # --- the owner's life

    @initialize(block=blocks)
    def begin_with_one(self, block: int) -> None:
        self.install(block)

    @precondition(lambda self: len(self.far) < 3)
    @rule(block=blocks)
    def install(self, block: int) -> None:
        spi = Spi(0x1000 + len(self.far))
        self.store[spi] = Written(block)
        for other in self.store.values():
            other.active = other is self.store[spi]
        self.far[spi] = Far(spi, EspSealer(GCM, key(GCM, f"up {spi}"), spi))
        self.rig.plane.install_sa(self.spec(spi, last_sequence=block))
        self.rig.plane.add_link(LinkSpec(CLIENT, TUNNEL, SESSION, TunnelId(7), SessionId(9)))

    @rule(times=st.integers(1, 5), data=st.booleans())
    def send(self, times: int, data: bool) -> None:
        for _ in range(times):
            if data:
                self.rig.plane.send_ppp(CLIENT, TUNNEL, SESSION, b"\xc0\x21")
            else:
                self.rig.plane.send_l2tp(CLIENT, b"message")

    @rule(target=reservations, block=blocks)
    def write_reservation(self, block: int) -> tuple[int, int]:
        """As the gateway does on ReservationLow, and whenever else it likes."""
        (sa,) = [sa for sa in self.state().sas if sa.active]
        last = max(self.store[sa.inbound_spi].reserved, sa.next_sequence - 1 + block)
        if self.written_before_sent:
            self.store[sa.inbound_spi].reserved = last
        return sa.inbound_spi, last

    @rule(reservation=consumes(reservations))
    def reserve(self, reservation: tuple[int, int]) -> None:
        """The store has answered, maybe after the shard has moved on, or late and out of turn."""
        self.rig.plane.reserve(Spi(reservation[0]), reservation[1])

    @rule(block=blocks)
    def reserve_more(self, block: int) -> None:
        self.reserve(self.write_reservation(block))

    @rule()
    def check_point(self) -> None:
        for sa in self.state().sas:
            written = self.store[sa.inbound_spi]
            written.window_top, written.seen = sa.window_top, sa.seen
            written.active = sa.active

    # --- what the client sends

    @rule(target=datagrams, index=st.integers(0, 2), skip=st.integers(0, 3))
    def seal(self, index: int, skip: int) -> bytes:
        return self.sealed(index, skip)

    def sealed(self, index: int, skip: int) -> bytes:
        far = self.far[0x1000 + index % len(self.far)]
        far.sealer.sequence += skip
        sequence = far.sealer.sequence
        message = bytes.fromhex("c802") + bytes(6) + far.spi.to_bytes(4, "big")
        message += sequence.to_bytes(4, "big")
        return far.sealer.seal(udp_header(message) + message)

    @rule(datagram=datagrams, member=members, path=st.sampled_from(PATHS))
    def arrive(self, datagram: bytes, member: int, path: Path) -> None:
        """At any member, any number of times, in any order."""
        self.rigs[member].plane.receive_datagram(path, datagram)

    @rule(target=datagrams, index=st.integers(0, 2), skip=st.integers(0, 3))
    def hear(self, index: int, skip: int) -> bytes:
        datagram = self.sealed(index, skip)
        self.rig.plane.receive_datagram(HOME, datagram)
        return datagram

    # --- the shard moves

    @rule(to=members)
    def hand_over(self, to: int) -> None:
        """Planned: the last image is exact, and nothing is left behind."""
        state = self.state()
        self.rig.plane.remove_client(CLIENT)
        self.begin(to)
        for sa in state.sas:
            written = self.store[sa.inbound_spi]
            written.window_top, written.seen = sa.window_top, sa.seen
            written.active = sa.active
            self.rig.plane.install_sa(
                self.spec(
                    sa.inbound_spi,
                    path=state.path,
                    active=sa.active,
                    first_sequence=sa.next_sequence,
                    last_sequence=written.reserved,
                    window_top=sa.window_top if self.window_goes_along else 0,
                    octets_in=sa.octets_in,
                    octets_out=sa.octets_out,
                    seen=sa.seen,
                    peer_port=state.peer_port,
                )
            )
        self.go_on(state.links)
        if self.window_goes_along:
            assert replace(self.state(), links=state.links) == state

    @rule(to=members, block=blocks)
    def take_over(self, to: int, block: int) -> None:
        """The owner is cut off: it lives, keeps its tables, and is fenced. What it accepted after
        the check-point nobody knows: those numbers may come again, and none else."""
        if to == self.owner:
            return
        assert self.rig.elsewhere is not None
        self.rig.elsewhere.serving = not self.fence
        self.begin(to)
        for spi, written in self.store.items():
            far = self.far[spi]
            far.accepted = {number for number in far.accepted if number <= written.window_top}
            first = written.reserved + 1 if self.behind_the_reservation else written.reserved
            written.reserved += block
            self.rig.plane.install_sa(
                self.spec(
                    spi,
                    active=written.active,
                    first_sequence=first,
                    last_sequence=written.reserved,
                    window_top=written.window_top,
                    seen=written.seen,
                )
            )
        self.go_on(())

    def begin(self, to: int) -> None:
        """Whoever serves again has forgotten what it had."""
        self.owner = to
        self.rig.plane.remove_client(CLIENT)
        assert self.rig.elsewhere is not None
        self.rig.elsewhere.serving = True

    def go_on(self, links: tuple[tuple[TunnelId, SessionId, int, SessionCounters], ...]) -> None:
        self.rig.plane.add_link(LinkSpec(CLIENT, TUNNEL, SESSION, TunnelId(7), SessionId(9)))
        for tunnel, session, ns, counters in links:
            octets = counters.octets_up, counters.octets_down
            self.rig.plane.restore_link(CLIENT, tunnel, session, ns, *octets)

    @rule(member=members, times=st.integers(1, 3))
    def stir(self, member: int, times: int) -> None:
        """The timers of whoever still has the client do not know that it is not theirs."""
        for _ in range(times):
            self.rigs[member].plane.send_l2tp(CLIENT, b"hello")
            self.rigs[member].plane.send_keepalive(CLIENT)

    # --- what must hold

    @invariant()
    def nothing_is_sent_or_accepted_twice(self) -> None:
        for member, rig in enumerate(self.rigs):
            if self.fence and member != self.owner:
                assert rig.sent == []
                assert all(isinstance(punt, UnknownSpi) for punt in rig.punts)
            for _, datagram in rig.take_sent():
                if datagram != KEEPALIVE:
                    self.on_sent(datagram)
            for punt in rig.take():
                if isinstance(punt, L2tpControl):
                    self.on_accepted(punt.message)
                elif isinstance(punt, ReservationLow):
                    assert punt.next_sequence <= self.store[punt.inbound_spi].reserved + 1

    def on_sent(self, datagram: bytes) -> None:
        spi = int.from_bytes(datagram[:4], "big") - 0x10000
        number = int.from_bytes(datagram[4:8], "big")
        assert (spi, number) not in self.sent
        assert 0 < number <= self.store[spi].reserved
        self.sent.add((spi, number))

    def on_accepted(self, message: bytes) -> None:
        far = self.far[int.from_bytes(message[8:12], "big")]
        number = int.from_bytes(message[12:16], "big")
        assert number not in far.accepted
        far.accepted.add(number)


TestTakeOver = TakeOver.TestCase
TestTakeOver.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize(
    "rule_left_out",
    ["behind_the_reservation", "written_before_sent", "fence", "window_goes_along"],
)
def test_a_planted_bug_is_found(rule_left_out: str) -> None:
    planted = type("Planted", (TakeOver,), {rule_left_out: False})
    search = settings(
        max_examples=300,
        stateful_step_count=60,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(planted, settings=search)
