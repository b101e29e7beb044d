"""What the gateway was told to do: plain values, replaced as a whole at a reload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from ferrule.accounts.admission import Accounts
from ferrule.core.ids import ClientId, SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import PppPolicy


class SessionKey(NamedTuple):
    """Names one L2TP session of one client; the key of accounts' leases."""

    client: ClientId
    tunnel: TunnelId
    session: SessionId


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Times in seconds, sizes in octets; 0 stands for "no limit" in the time-outs."""

    ike: IkePolicy
    l2tp: L2tpPolicy
    ppp: PppPolicy
    outer_mtu: int
    mtu: int  # upper bound of the inner MTU
    clamp_mss: bool = True
    dns: tuple[IPv4Address, ...] = ()
    wins: tuple[IPv4Address, ...] = ()
    domain: str = ""
    routes: tuple[IPv4Network, ...] = ()  # pushed by DHCPINFORM; empty: none
    idle_timeout: float = 0.0
    session_timeout: float = 0.0
    sessions_max: int = 10_000  # 0: no limit
    activity_seconds: float = 10.0  # how often a session's life signs are read
    keepalive_seconds: float = 20.0  # NAT keep-alive from our side after that much silence


@dataclass(slots=True)
class Site:
    """What all clients of a gateway share."""

    settings: GatewaySettings
    accounts: Accounts
    entropy: Callable[[int], bytes]
    wall_offset: float  # wall clock minus the monotonic clock, seconds
    calls: int = 0  # L2TP sessions, whether or not their user is known yet
    to_end: list[tuple[SessionKey, Reason]] = field(default_factory=list)  # drained by the gateway

    def wall(self, now: float) -> float:
        """Unix time in seconds at the monotonic time `now`."""
        return now + self.wall_offset
