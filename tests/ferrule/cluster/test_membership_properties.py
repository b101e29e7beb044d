"""Membership under random histories: pauses, deaths, partitions, jumping clocks, failing stores.

Whatever happens, no two members serve one shard, no sequence number is used twice, no address is
two sessions'; and once all is well again, everything is served. Bugs that are planted on purpose
are found, which shows that the machine could find one. FERRULE_HISTORIES=5000 for a long run.
"""

from __future__ import annotations

import os
from itertools import combinations
from math import inf
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from ferrule.cluster.effects import Standing
from ferrule.cluster.members import EpochId, MemberName
from ferrule.cluster.membership import Membership
from ferrule.cluster.suspicion import Suspicion
from support.cluster import NAMES, Make, Violation, World

HISTORIES = int(os.environ.get("FERRULE_HISTORIES", "10"))
SETTINGS = settings(
    max_examples=HISTORIES,
    stateful_step_count=25,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
SECONDS = st.sampled_from([0.05, 0.3, 1.0, 2.0, 3.2, 4.2, 5.0, 9.0])
NAME = st.sampled_from(NAMES)


class Histories(RuleBasedStateMachine):
    """`make` is what a member runs; `forgets`: may the store lose what it acknowledged?"""

    make: Make = Membership
    forgets = False

    @initialize(seed=st.integers(0, 2**32), count=st.integers(1, 5))
    def begin(self, seed: int, count: int) -> None:
        self.world = World(seed, self.make)
        for name in NAMES[:count]:
            self.world.start(name)
        self.world.run(12.0)
        assert self.world.settled()

    def _live(self, name: MemberName) -> bool:
        return name in self.world.nodes

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(name=NAME, seconds=st.sampled_from([0.5, 2.0, 3.5, 4.0, 6.0, 20.0]))
    def a_member_is_stopped_for_a_while(self, name: MemberName, seconds: float) -> None:
        if self._live(name):
            self.world.pause(name, seconds)

    @rule(name=NAME)
    def a_member_dies(self, name: MemberName) -> None:
        self.world.kill(name)

    @rule(name=NAME)
    def a_member_starts(self, name: MemberName) -> None:
        if not self._live(name):
            self.world.start(name)

    @rule(name=NAME)
    def a_container_restarts(self, name: MemberName) -> None:
        if self._live(name):
            self.world.start(name, predecessor_gone=True)

    @rule(name=NAME)
    def a_member_drains(self, name: MemberName) -> None:
        if self._live(name):
            self.world.drain(name)

    @rule(name=NAME)
    def a_member_leaves(self, name: MemberName) -> None:
        if self._live(name):
            self.world.close(name)

    @rule(name=NAME, seconds=st.sampled_from([-30.0, -2.0, 1.5, 3.0, 30.0]))
    def a_clock_jumps(self, name: MemberName, seconds: float) -> None:
        """One that goes back does so while the process runs, and can see it. CLOCK_BOOTTIME never
        does; one that went back while the process slept would be one that went too slowly."""
        if not self._live(name) or self.world.now < self.world.nodes[name].paused_until:
            return
        self.world.jump(name, seconds)
        if seconds < 0.0:
            self.world.run(1.5)

    @rule(pairs=st.sets(st.sampled_from(list(combinations(NAMES, 2))), max_size=6))
    def the_ring_is_cut(self, pairs: set[tuple[MemberName, MemberName]]) -> None:
        self.world.cut |= {frozenset(pair) for pair in pairs}

    @rule(names=st.sets(NAME))
    def the_ring_is_cut_in_two(self, names: set[MemberName]) -> None:
        self.world.cut = {
            frozenset(pair) for pair in combinations(NAMES, 2) if len(names & set(pair)) == 1
        }

    @rule()
    def the_ring_heals(self) -> None:
        self.world.cut.clear()

    @rule(names=st.sets(NAME))
    def some_are_cut_off_from_the_store(self, names: set[MemberName]) -> None:
        self.world.store_cut = set(names)

    @rule(name=NAME, others=st.sets(NAME, max_size=2), seconds=st.sampled_from([5.0, 9.0]))
    def one_is_cut_off_from_the_store_and_some_others(
        self, name: MemberName, others: set[MemberName], seconds: float
    ) -> None:
        self.world.heal()
        self.world.store_cut = {name}
        self.world.cut = {frozenset((name, other)) for other in others if other != name}
        self.world.run(seconds)

    @rule(up=st.booleans())
    def the_store_stops_or_starts(self, up: bool) -> None:
        self.world.store_up = up

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.4]))
    def the_store_is_slow(self, seconds: float) -> None:
        self.world.store_delay = seconds

    @precondition(lambda self: self.forgets)
    @rule()
    def the_store_is_emptied(self) -> None:
        """Whoever serves can reach it then: what it does to one that cannot, nobody could know."""
        self.world.heal()
        self.world.empty_store()
        self.world.run(6.0)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.heal()
        for name in [n for n, node in world.nodes.items() if gone(node.membership)]:
            world.kill(name)
        world.run(60.0)
        for name in NAMES:
            if not self._live(name):
                world.start(name)
        world.run(30.0)
        assert world.settled(), [(n.name, n.membership.standing) for n in world.nodes.values()]


def gone(membership: Membership) -> bool:
    """It was told to go, so it will not come back."""
    return membership._draining or membership.standing in (Standing.LEAVING, Standing.LEFT)


def test_no_history_breaks_it() -> None:
    run_machine(Histories, settings=SETTINGS)


def test_no_history_with_a_forgetful_store_breaks_it() -> None:
    class Forgetful(Histories):
        forgets = True

    run_machine(Forgetful, settings=SETTINGS)


# --- planted bugs ------------------------------------------------------------------------------


class Unfenced(Membership):
    """Serves on, whether anybody answers or not."""

    @property
    def serves_until(self) -> float:
        return inf if self.epoch is not None else -inf


class Impatient(Suspicion):
    """Does not wait until all the others have said that they live in the epoch."""

    def all_live_in(self, epoch: EpochId) -> bool:
        return True


class Rash(Membership):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._suspicion = Impatient(self.timing, self._now)


@pytest.mark.parametrize("bug", [Unfenced, Rash])
def test_a_planted_bug_is_found(bug: type[Membership]) -> None:
    class Broken(Histories):
        make = bug

    # Another one is planted in test_membership.py, where it takes one history and not thousands.
    hunt = settings(SETTINGS, max_examples=2000, phases=[Phase.generate], derandomize=True)
    with pytest.raises(Violation, match="serve"):
        run_machine(Broken, settings=hunt)
