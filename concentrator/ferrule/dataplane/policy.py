"""A session's policy made fast: prefixes as a few masks and hash sets, rates as token buckets.

A look-up costs one step for each prefix length in use, however many prefixes there are. Compiled
lists are shared by all sessions that have the same ones.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network
from typing import Final, TypeAlias

from ferrule.dataplane.interface import Policy

BURST_SECONDS: Final = 0.25  # of the rate may come at once
LEAST_BURST_OCTETS: Final = 32_768  # a TCP sender's burst, also at low rates

Prefixes: TypeAlias = tuple[tuple[int, frozenset[int]], ...]


@lru_cache(maxsize=4096)
def compile_prefixes(networks: tuple[IPv4Network, ...]) -> Prefixes:
    """(mask, networks under that mask) for each prefix length in use."""
    by_mask: dict[int, set[int]] = {}
    for network in networks:
        by_mask.setdefault(int(network.netmask), set()).add(int(network.network_address))
    return tuple((mask, frozenset(values)) for mask, values in by_mask.items())


def covers(prefixes: Prefixes, address: int) -> bool:
    """True if one of the prefixes holds `address`."""
    for mask, networks in prefixes:  # noqa: SIM110 - a generator costs more than the loop
        if address & mask in networks:
            return True
    return False


class TokenBucket:
    """`rate` tokens a second, `burst` at most. Something is let through while any token is left,
    so that what exceeds the burst is delayed, never stuck."""

    __slots__ = ("_at", "_level", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._level = burst
        self._at = now

    def take(self, amount: float, now: float) -> bool:
        level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now
        if level <= 0:
            self._level = level
            return False
        self._level = level - amount
        return True


def rate_bucket(rate: int, now: float) -> TokenBucket | None:
    """The bucket of a rate in octets a second; None for no limit."""
    return TokenBucket(rate, max(rate * BURST_SECONDS, LEAST_BURST_OCTETS), now) if rate else None


def punt_bucket(rate: int, now: float) -> TokenBucket:
    """The bucket of a number of punts a second; one second's worth may come at once."""
    return TokenBucket(rate, rate, now)


class CompiledPolicy:
    """`Policy` as the packet path uses it."""

    __slots__ = ("_allowed", "_denied", "client_to_client", "down", "source", "up")

    def __init__(self, policy: Policy, now: float) -> None:
        self.source = policy
        self._allowed = compile_prefixes(policy.allowed)
        self._denied = compile_prefixes(policy.denied)
        self.client_to_client = policy.client_to_client
        self.up = rate_bucket(policy.rate_up, now)
        self.down = rate_bucket(policy.rate_down, now)

    def reaches(self, remote: bytes) -> bool:
        """The session may talk with `remote`: not denied, and allowed where a list is given.

        Never "this network", loopback, multicast and broadcast (RFC 6890).
        """
        first = remote[0]
        if first >= 224 or first in (0, 127):
            return False
        address = int.from_bytes(remote, "big")
        if covers(self._denied, address):
            return False
        return not self._allowed or covers(self._allowed, address)
