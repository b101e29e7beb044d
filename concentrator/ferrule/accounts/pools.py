"""Addresses for clients: named networks with exclusions, leased and released.

Who asks again gets the same address where that is free: by the client's wish, by the memory of
what each user had last. Else an address that was never used, else the one released longest ago,
so that late packets for its former holder find nobody. Static addresses of users are never given
to anybody else. Constant time for each lease, amortised. Left out: IPv6.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from operator import itemgetter
from typing import Final, TypeAlias

from ferrule.core.reasons import Reason

LeaseKey: TypeAlias = Hashable
REMEMBERED_USERS_MAX: Final = 65_536
ANY_ADDRESS: Final = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """From `first` to `last`, both included."""

    first: IPv4Address
    last: IPv4Address

    @classmethod
    def of_network(cls, network: IPv4Network) -> AddressRange:
        return cls(network.network_address, network.broadcast_address)


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pool as configured. Network and broadcast address are never leased (but in /31, /32)."""

    name: str
    cidr: IPv4Network
    exclude: tuple[AddressRange, ...] = ()


@dataclass(slots=True)
class Lease:
    address: IPv4Address
    username: str
    since: float  # seconds of the caller's clock


@dataclass(slots=True)
class PoolUse:
    """Of one pool: what may be leased to anybody, and how much of it is free. `leased` also
    counts static addresses."""

    name: str
    size: int
    leased: int
    free: int


@dataclass(slots=True)
class _Pool:
    """`blocked` are the intervals that are never leased dynamically: sorted, merged, in ints.
    `cursor` is the next address that was perhaps never used."""

    spec: PoolSpec
    first: int
    last: int
    blocked: list[tuple[int, int]]
    cursor: int
    capacity: int
    leased: int = 0
    leased_static: int = 0

    def holds(self, address: int) -> bool:
        return self.first <= address <= self.last

    def blocked_until(self, address: int) -> int | None:
        """The end of the blocked interval around `address`, or None if it may be leased."""
        at = bisect_right(self.blocked, address, key=itemgetter(0)) - 1
        if at < 0 or self.blocked[at][1] < address:
            return None
        return self.blocked[at][1]


class Pools:
    """The leases of a gateway. Raises ValueError without a pool, and for overlapping ones."""

    __slots__ = (
        "_by_address",
        "_by_key",
        "_last_address",
        "_last_user",
        "_pools",
        "_ranges",
        "_released",
        "_remembered_max",
        "_static",
        "gateway_address",
    )

    def __init__(
        self,
        specs: Iterable[PoolSpec],
        static: Iterable[IPv4Address] = (),
        *,
        remembered_max: int = REMEMBERED_USERS_MAX,
    ) -> None:
        self._remembered_max = remembered_max
        self._by_key: dict[LeaseKey, Lease] = {}
        self._by_address: dict[int, LeaseKey] = {}
        self._released: OrderedDict[int, None] = OrderedDict()  # longest ago first
        self._last_address: OrderedDict[str, int] = OrderedDict()  # of each user
        self._last_user: dict[int, str] = {}
        self._static: frozenset[int] = frozenset()
        self._pools: list[_Pool] = []
        self._ranges: tuple[AddressRange, ...] = ()
        self.gateway_address = ANY_ADDRESS
        self.replace(specs, static)

    def __len__(self) -> int:
        return len(self._by_key)

    def lease(
        self,
        key: LeaseKey,
        username: str,
        requested: IPv4Address,
        static_ip: IPv4Address | None,
        now: float,
    ) -> IPv4Address | Reason:
        """An address for `key`; the one that it has, if it asks again.

        `requested` 0.0.0.0: anything. The reasons are POOL_EXHAUSTED and STATIC_ADDRESS_TAKEN.
        """
        held = self._by_key.get(key)
        if held is not None and static_ip in (None, held.address):
            return held.address
        if static_ip is not None:
            address = int(static_ip)
            if address in self._by_address:
                return Reason.STATIC_ADDRESS_TAKEN
            self.release(key)
        else:
            choice = self._choose(username, int(requested))
            if choice is None:
                return Reason.POOL_EXHAUSTED
            address = choice
        return self._take(key, username, address, now)

    def release(self, key: LeaseKey) -> None:
        """Give the address back; nothing happens if `key` has none."""
        lease = self._by_key.pop(key, None)
        if lease is None:
            return
        address = int(lease.address)
        del self._by_address[address]
        self._count(address, -1)
        if self._pool_of(address) is not None:
            self._released[address] = None
            self._released.move_to_end(address)

    def adopt(self, key: LeaseKey, username: str, address: IPv4Address, now: float) -> None:
        """Somebody else has leased this address to `key`. Whoever had it here has it no more."""
        held = self._by_key.get(key)
        if held is not None and held.address == address:
            return
        self.release(key)
        former = self._by_address.get(int(address))
        if former is not None:
            self.release(former)
        self._take(key, username, int(address), now)

    @property
    def ranges(self) -> tuple[AddressRange, ...]:
        """What may be leased to anybody, in the order of preference."""
        return self._ranges

    def lease_of(self, key: LeaseKey) -> Lease | None:
        return self._by_key.get(key)

    def holder(self, address: IPv4Address) -> LeaseKey | None:
        return self._by_address.get(int(address))

    def use(self) -> tuple[PoolUse, ...]:
        """One row a pool, in the configured order."""
        return tuple(
            PoolUse(
                pool.spec.name,
                pool.capacity,
                pool.leased,
                max(0, pool.capacity - (pool.leased - pool.leased_static)),
            )
            for pool in self._pools
        )

    def replace(self, specs: Iterable[PoolSpec], static: Iterable[IPv4Address]) -> None:
        """Other pools and other static addresses; who has a lease keeps it until release.

        Raises ValueError, and changes nothing, without a pool and for overlapping ones."""
        specs = tuple(specs)
        if not specs:
            raise ValueError("no pool")
        ordered = sorted(specs, key=lambda spec: spec.cidr)
        for spec, after in pairwise(ordered):
            if spec.cidr.overlaps(after.cidr):
                raise ValueError(f"pools {spec.name!r} and {after.name!r} overlap")
        self._static = frozenset(int(address) for address in static)
        self.gateway_address = gateway_address(specs)
        self._pools = [_build_pool(spec, self._static, self.gateway_address) for spec in specs]
        self._ranges = tuple(r for pool in self._pools for r in _open_ranges(pool))
        for address in self._by_address:
            self._count(address, +1)
        for address in [a for a in self._released if self._pool_of(a) is None]:
            del self._released[address]

    def _choose(self, username: str, requested: int) -> int | None:
        for wish in (requested, self._last_address.get(username)):
            if wish and self._may_give(wish, username):
                return wish
        return self._never_used() or self._longest_released()

    def _may_give(self, address: int, username: str) -> bool:
        """Is it free, and not the one that another user will ask for again?"""
        return self._is_free(address) and self._last_user.get(address, username) == username

    def _is_free(self, address: int) -> bool:
        pool = self._pool_of(address)
        return (
            pool is not None
            and address not in self._by_address
            and pool.blocked_until(address) is None
        )

    def _never_used(self) -> int | None:
        for pool in self._pools:
            while pool.cursor <= pool.last:
                address = pool.cursor
                if (end := pool.blocked_until(address)) is not None:
                    pool.cursor = end + 1
                    continue
                pool.cursor += 1
                if address not in self._by_address and address not in self._released:
                    return address
        return None

    def _longest_released(self) -> int | None:
        passed: list[int] = []
        found = None
        for address in self._released:
            if self._is_free(address):
                found = address
                break
            passed.append(address)
        for address in passed:  # blocked by a reload: never to be looked at again
            del self._released[address]
        return found

    def _take(self, key: LeaseKey, username: str, address: int, now: float) -> IPv4Address:
        lease = Lease(IPv4Address(address), username, now)
        self._by_key[key] = lease
        self._by_address[address] = key
        self._released.pop(address, None)
        self._count(address, +1)
        self._remember(username, address)
        return lease.address

    def _remember(self, username: str, address: int) -> None:
        former = self._last_user.get(address)
        if former is not None and self._last_address.get(former) == address:
            del self._last_address[former]
        before = self._last_address.pop(username, None)
        if before is not None and before != address:
            self._last_user.pop(before, None)
        self._last_address[username] = address
        self._last_user[address] = username
        if len(self._last_address) > self._remembered_max:
            _, forgotten = self._last_address.popitem(last=False)
            self._last_user.pop(forgotten, None)

    def _pool_of(self, address: int) -> _Pool | None:
        return next((pool for pool in self._pools if pool.holds(address)), None)

    def _count(self, address: int, change: int) -> None:
        pool = self._pool_of(address)
        if pool is None:
            return
        pool.leased += change
        if pool.blocked_until(address) is not None:
            pool.leased_static += change


def gateway_address(specs: Iterable[PoolSpec]) -> IPv4Address:
    """Ours on the TUN device and in IPCP: the first host address of the first pool."""
    first = next(iter(specs))
    return next(first.cidr.hosts())


def _build_pool(spec: PoolSpec, static: frozenset[int], gateway: IPv4Address) -> _Pool:
    first, last = int(spec.cidr.network_address), int(spec.cidr.broadcast_address)
    intervals = [(int(r.first), int(r.last)) for r in spec.exclude]
    intervals += [(address, address) for address in static]
    intervals.append((int(gateway), int(gateway)))
    if spec.cidr.prefixlen <= 30:
        intervals += [(first, first), (last, last)]
    blocked: list[tuple[int, int]] = []
    for low, high in sorted(intervals):
        low, high = max(low, first), min(high, last)
        if low > high:
            continue
        if blocked and low <= blocked[-1][1] + 1:
            blocked[-1] = (blocked[-1][0], max(blocked[-1][1], high))
        else:
            blocked.append((low, high))
    capacity = last - first + 1 - sum(high - low + 1 for low, high in blocked)
    return _Pool(spec, first, last, blocked, first, capacity)


def _open_ranges(pool: _Pool) -> Iterator[AddressRange]:
    """What lies between the blocked intervals."""
    start = pool.first
    for low, high in (*pool.blocked, (pool.last + 1, pool.last + 1)):
        if start < low:
            yield AddressRange(IPv4Address(start), IPv4Address(low - 1))
        start = high + 1
