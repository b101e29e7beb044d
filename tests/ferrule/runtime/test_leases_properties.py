"""Limits and addresses stay true whichever member a user reaches: random histories, virtual time.

Users come and go at two or three members that share a store. Members die, sleep, hand clients
over; the store is cut off from one or from all, slow, loses answers, is emptied. What must never
happen is looked for all the time: two users with one address. What may happen for a moment only is
measured: one user with one address twice, or more sessions than he may have.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ferrule.accounts.users import OnLimit
from ferrule.core.reasons import Reason
from ferrule.runtime.leases import StoreLeases, _Answer
from ferrule.store.leases import LeaseBook
from support.accounts import user
from support.leases import MemberNode, Peer, World

FIXED = IPv4Address("10.0.0.5")
USERS = ("alice", "bob", "eve", "fixed")
HOSTS = ("198.51.100.7", "198.51.100.8", "203.0.113.9")
NAMES = ("a-0", "a-1", "a-2")
DEPOSED_SECONDS = 4.5  # who sleeps longer finds his clients with others
HEALTHY_SECONDS = 2.0  # until a session that must end has ended, while all hear each other
ALLOWED_SECONDS = 35.0  # while they do not: until the renewal after they do again


class Histories(RuleBasedStateMachine):
    """What users, members and the store may do."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(
            user("alice", max_sessions=2),
            user("bob", max_sessions=1, on_limit=OnLimit.REJECT_NEW),
            user("eve", max_sessions=0),
            user("fixed", static_ip=FIXED),
            cidr="10.0.0.0/29",
            names=NAMES[:2],
        )
        self.calm = True  # nothing has been in trouble so far

    def teardown(self) -> None:
        try:
            self.recover()
        finally:
            self.world.close()

    def member(self, number: int) -> MemberNode:
        members = list(self.world.members.values())
        return members[number % len(members)]

    # --- users

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.world.random.seed(seed)

    @rule(
        number=st.integers(0, 2),
        username=st.sampled_from(USERS),
        host=st.sampled_from(HOSTS),
        wait=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    )
    def log_in(self, number: int, username: str, host: str, wait: float) -> None:
        member = self.member(number)
        member.call(member.new_client(host), username)
        self.world.run(wait)

    @rule(number=st.integers(0, 2), username=st.sampled_from(USERS))
    def forget_tunnel(self, number: int, username: str) -> None:
        """A second tunnel of a host that is known."""
        member = self.member(number)
        clients = list(member.gateway.clients.values())
        if clients:
            member.call(clients[-1], username)
            self.world.run(0.3)

    @rule(number=st.integers(0, 50), wait=st.sampled_from([0.0, 0.3]))
    def hang_up(self, number: int, wait: float) -> None:
        up = self.up()
        if up:
            peer = up[number % len(up)]
            peer.member.hang_up(peer)
            self.world.run(wait)

    @rule(number=st.integers(0, 50))
    def authenticate_again(self, number: int) -> None:
        up = self.up()
        if up:
            peer = up[number % len(up)]
            peer.member.dial_again(peer)
            self.world.run(0.3)

    @rule(number=st.integers(0, 50))
    def kick(self, number: int) -> None:
        up = self.up()
        if up:
            peer = up[number % len(up)]
            peer.member._command(
                lambda now: peer.member.gateway.close_session(peer.key, Reason.ADMIN_KICK, now)
            )

    def up(self) -> list[Peer]:
        return [
            peer
            for peer in self.world.peers
            if peer.up and peer.member is self.world.members.get(peer.member.name)
        ]

    @rule(seconds=st.sampled_from([0.3, 3.0, 31.0, 95.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    # --- members

    @precondition(lambda self: len(self.world.members) > 1)
    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        self.calm = False
        self.world.kill(self.member(number).name)

    @precondition(lambda self: len(self.world.members) < len(NAMES))
    @rule()
    def start(self) -> None:
        self.world.start(next(name for name in NAMES if name not in self.world.members))

    @rule(number=st.integers(0, 2), seconds=st.sampled_from([0.5, 2.0, 4.0]))
    def sleep(self, number: int, seconds: float) -> None:
        """Stopped, but not for so long that others take over."""
        self.calm = False
        member = self.member(number)
        member.awake.clear()
        self.world.run(seconds)
        member.wake()
        self.world.run(0.3)

    @precondition(lambda self: len(self.world.members) > 1)
    @rule(number=st.integers(0, 2), seconds=st.sampled_from([20.0, 120.0]))
    def sleep_for_long(self, number: int, seconds: float) -> None:
        """Stopped until others have its clients; when it wakes up it finds that out. If the store
        was emptied just before, nobody has its check-points, and its clients are lost."""
        self.calm = False
        member = self.member(number)
        member.awake.clear()
        self.world.run(DEPOSED_SECONDS)
        heir = next(m for m in self.world.members.values() if m is not member)
        del self.world.members[member.name]
        lost = member.identity in self.world.store.members.unrestored
        self.world.new_epoch()
        for client in list(member.gateway.clients.values()):
            if client.calls and not lost:
                self.world.move(client, member, heir)
        self.world.run(seconds)
        member.wake()  # what it had asked before is answered now
        self.world.run(0.1)
        member.stop()
        self.world.start(member.name)

    @precondition(lambda self: len(self.world.members) > 1)
    @rule(number=st.integers(0, 2), late=st.booleans())
    def hand_over(self, number: int, late: bool) -> None:
        source, target = self.member(number), self.member(number + 1)
        clients = [client for client in source.gateway.clients.values() if client.calls]
        if not clients:
            return
        if late:
            self.calm = False
            target.awake.clear()
        self.world.move(clients[number % len(clients)], source, target)
        self.world.run(0.3)
        target.wake()

    @rule(username=st.sampled_from(USERS), number=st.integers(0, 2))
    def lose_ring(self, username: str, number: int) -> None:
        """Members do not hear each other while a user comes: he who came last stays; but not
        surely, while somebody has a lease by inheritance of which the store does not know yet."""
        self.calm = False
        self.world.run(8.0)  # until those who came before him know
        inherited = any(m.leases._heirs for m in self.world.members.values())
        self.world.ring_up = False
        member = self.member(number)
        newest = member.call(member.new_client(HOSTS[0]), username)
        self.world.run(2.0)
        self.world.ring_up = True
        if newest.up:
            self.world.run(ALLOWED_SECONDS)
            assert newest.up or inherited

    # --- the store

    @rule(number=st.integers(0, 2), seconds=st.sampled_from([1.0, 30.0, 200.0]))
    def cut_off(self, number: int, seconds: float) -> None:
        """One member does not reach the store."""
        self.calm = False
        member = self.member(number)
        self.log_in(number, "bob", HOSTS[0], 1.0)
        member.store.up = False
        self.log_in(number + 1, "eve", HOSTS[1], 1.0)
        self.world.run(seconds)
        self.log_in(number, "alice", HOSTS[0], 1.0)
        self.log_in(number + 1, "fixed", HOSTS[1], 1.0)
        for _ in range(3):
            self.log_in(number + 1, "eve", HOSTS[1], 1.0)
        self.world.run(seconds)
        member.store.up = True

    @rule(seconds=st.sampled_from([1.0, 60.0]))
    def stop_store(self, seconds: float) -> None:
        self.calm = False
        for member in self.world.members.values():
            member.store.up = False
        self.world.run(seconds)
        for number in range(len(self.world.members)):
            self.log_in(number, "fixed", HOSTS[number], 1.0)
        for member in self.world.members.values():
            member.store.up = True

    @rule(number=st.integers(0, 2), username=st.sampled_from(USERS))
    def lose_answers(self, number: int, username: str) -> None:
        self.calm = False
        member = self.member(number)
        member.store.lost = True
        self.log_in(number, username, HOSTS[0], 1.0)
        member.store.lost = False

    @rule(delay=st.sampled_from([0.0, 0.05, 0.5]))
    def slow_down(self, delay: float) -> None:
        for member in self.world.members.values():
            member.store.delay = delay

    @rule()
    def empty_store(self) -> None:
        self.calm = False
        self.world.empty_store()

    # --- at all times

    @invariant()
    def nothing_is_wrong_for_long(self) -> None:
        assert self.world.longest_overlap <= ALLOWED_SECONDS
        assert self.world.longest_above <= ALLOWED_SECONDS

    # --- in the end

    def recover(self) -> None:
        """Everybody hears everybody again: the store holds what members hold, and no more."""
        world = self.world
        if self.calm:
            assert world.longest_above <= HEALTHY_SECONDS
            assert world.longest_overlap <= HEALTHY_SECONDS
        for member in world.members.values():
            member.store.up, member.store.lost, member.store.delay = True, False, 0.0
            member.wake()
        world.run(ALLOWED_SECONDS)
        assert world.longest_overlap <= ALLOWED_SECONDS
        world.longest_above = 0.0
        world.run(100.0)
        assert world.longest_above == 0.0
        held = world.held()
        assert len(set(held.values())) == len(held)
        # A session of a member that died may be waited for: nobody but the store has it.
        assert held.items() <= world.leased().items()
        newest = None
        for member in list(world.members.values()):
            newest = member.call(member.new_client(HOSTS[2]), "fixed")
            world.run(1.0)
            assert newest.address == FIXED
            assert newest.up
        on = [call for _, call in world.live().values() if call.facts.username == "fixed"]
        assert len(on) == 1
        world.run(95.0)
        world.run(95.0)
        self.log_in(0, "fixed", HOSTS[2], 1.0)
        assert world.held() == world.leased()


SETTINGS = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_limits_and_addresses_stay_true() -> None:
    run_state_machine_as_test(Histories, settings=SETTINGS)


# --- bugs that it must find


def forget_who_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeaseBook, "_end", lambda book, session, _: book._remove(session))


def give_away_what_a_cut_off_member_has(monkeypatch: pytest.MonkeyPatch) -> None:
    admit = LeaseBook.admit
    monkeypatch.setattr(LeaseBook, "admit", lambda book, request, now, _: admit(book, request, now))


def let_everybody_in_without_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def inherit(leases: StoreLeases, asked: Any, left: Any) -> Any:
        return _Answer(asked.terms.static_ip or IPv4Address("10.0.0.2"), left)

    monkeypatch.setattr(StoreLeases, "_inherit", inherit)


def say_too_early_that_all_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(leases: StoreLeases, keys: Any) -> set[str]:
        return {leases._names.name(key) or "" for key in keys}

    monkeypatch.setattr(StoreLeases, "_renew", nothing)


BUGS = (
    forget_who_is_over,
    give_away_what_a_cut_off_member_has,
    let_everybody_in_without_the_store,
    say_too_early_that_all_is_renewed,
)


@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_planted_bugs_are_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = settings(SETTINGS, max_examples=200, phases=[Phase.generate], database=None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Histories, settings=found)
