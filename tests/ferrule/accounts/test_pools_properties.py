from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ferrule.accounts.pools import ANY_ADDRESS, Pools, PoolSpec
from ferrule.core.reasons import Reason
from support.accounts import pool

SPECS: list[list[PoolSpec]] = [
    [pool("10.0.0.0/28", exclude=("10.0.0.3-10.0.0.5",))],
    [pool("10.0.0.0/29"), pool("10.0.1.0/30", "b")],
    [pool("10.0.1.0/28", "c", exclude=("10.0.1.0-10.0.1.9", "10.0.1.7"))],
]
STATICS = [[], [IPv4Address("10.0.0.6")], [IPv4Address("10.0.0.2"), IPv4Address("10.0.1.9")]]
KEYS = st.integers(0, 25)
USERS = st.sampled_from(["alice", "bob", "carol", "dave", "erin"])
WISHES = st.integers(0, 15).map(lambda n: IPv4Address("10.0.0.0") + n) | st.just(ANY_ADDRESS)


class PoolMachine(RuleBasedStateMachine):
    """Against a model that is nothing but a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.specs, self.static = SPECS[0], STATICS[1]
        self.pools = Pools(self.specs, self.static)
        self.leases: dict[int, IPv4Address] = {}

    def may_give(self, address: IPv4Address) -> bool:
        spec = next((s for s in self.specs if address in s.cidr), None)
        if spec is None or address in self.static or address == self.pools.gateway_address:
            return False
        if address in (spec.cidr.network_address, spec.cidr.broadcast_address):
            return False
        return not any(r.first <= address <= r.last for r in spec.exclude)

    def free(self) -> set[IPv4Address]:
        every = {a for spec in self.specs for a in IPv4Network(spec.cidr) if self.may_give(a)}
        return every - set(self.leases.values())

    @rule(key=KEYS, username=USERS, wish=WISHES)
    def lease(self, key: int, username: str, wish: IPv4Address) -> None:
        got = self.pools.lease(key, username, wish, None, 0.0)
        if key in self.leases:
            assert got == self.leases[key]
        elif not self.free():
            assert got is Reason.POOL_EXHAUSTED
        else:
            assert isinstance(got, IPv4Address)
            assert got in self.free()
            self.leases[key] = got

    @rule(key=KEYS, which=st.integers(0, 1))
    def lease_static(self, key: int, which: int) -> None:
        if which >= len(self.static):
            return
        address = self.static[which]
        got = self.pools.lease(key, "static", ANY_ADDRESS, address, 0.0)
        if any(a == address and k != key for k, a in self.leases.items()):
            assert got is Reason.STATIC_ADDRESS_TAKEN
        else:
            assert got == address
            self.leases[key] = address

    @rule(key=KEYS)
    def release(self, key: int) -> None:
        self.pools.release(key)
        self.leases.pop(key, None)

    @rule(specs=st.sampled_from(SPECS), static=st.sampled_from(STATICS))
    def reload(self, specs: list[PoolSpec], static: list[IPv4Address]) -> None:
        self.specs, self.static = specs, static
        self.pools.replace(specs, static)

    @invariant()
    def nobody_shares_and_counts_agree(self) -> None:
        assert len(set(self.leases.values())) == len(self.leases) == len(self.pools)
        for key, address in self.leases.items():
            held = self.pools.lease_of(key)
            assert held is not None
            assert held.address == address
            assert self.pools.holder(address) == key
        assert sum(use.free for use in self.pools.use()) == len(self.free())


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
