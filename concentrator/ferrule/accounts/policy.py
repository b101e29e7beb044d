"""What a session may reach and how fast: the gateway's egress rules and the user's, joined.

A user's `allowed_cidrs` narrow what the gateway allows and never widen it; denied networks of the
gateway hold for everybody. Plain values: the gateway layer turns them into the data plane's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from typing import Final

from ferrule.accounts.users import User

EVERYWHERE: Final = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Egress:
    """The gateway's rules. `allowed` empty: everything that `denied` does not name."""

    allowed: tuple[IPv4Network, ...] = ()
    denied: tuple[IPv4Network, ...] = ()
    client_to_client: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """Of one session. `allowed` empty: everything that `denied` does not name. Rates in octets a
    second, 0 for no limit; up is from the client."""

    allowed: tuple[IPv4Network, ...] = ()
    denied: tuple[IPv4Network, ...] = ()
    client_to_client: bool = False
    rate_up: int = 0
    rate_down: int = 0


def resolve(user: User | None, egress: Egress) -> Access:
    """The access of a session of `user`; None (a user that is gone) reaches nothing."""
    if user is None:
        return Access(denied=(EVERYWHERE,))
    allowed = _collapse(egress.allowed)
    denied = _collapse(egress.denied)
    if user.allowed_cidrs:
        mine = _collapse(user.allowed_cidrs)
        allowed = _intersect(allowed, mine) if allowed else mine
        if not allowed:  # nothing in common: an empty tuple would mean everything
            denied = (EVERYWHERE,)
    return Access(allowed, denied, egress.client_to_client, user.rate_up, user.rate_down)


def _intersect(
    left: tuple[IPv4Network, ...], right: tuple[IPv4Network, ...]
) -> tuple[IPv4Network, ...]:
    """Two networks overlap only where one holds the other."""
    common = [a if a.prefixlen >= b.prefixlen else b for a in left for b in right if a.overlaps(b)]
    return _collapse(common)


def _collapse(networks: Iterable[IPv4Network]) -> tuple[IPv4Network, ...]:
    return tuple(collapse_addresses(networks))
