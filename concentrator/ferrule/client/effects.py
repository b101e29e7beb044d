"""What the initiator asks of the outside, a closed union: deeds in its data plane, and news.

The deeds are those of `gateway.effects`: client and server write the same tables of the same plane.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ferrule.client.errands import Network
from ferrule.core.reasons import Reason
from ferrule.gateway.effects import (
    ActivateSa,
    AddLink,
    BindSession,
    Dropped,
    InstallSa,
    MoveClient,
    RemoveClient,
    RemoveLink,
    RemoveSa,
    SendIke,
    SendKeepalive,
    SendL2tp,
    SendPpp,
    UnbindSession,
)

__all__ = [
    "ActivateSa",
    "AddLink",
    "BindSession",
    "ClientEffect",
    "Closed",
    "Connected",
    "Dropped",
    "Ended",
    "Failed",
    "InstallSa",
    "MoveClient",
    "News",
    "RemoveClient",
    "RemoveLink",
    "RemoveSa",
    "SendIke",
    "SendKeepalive",
    "SendL2tp",
    "SendPpp",
    "Step",
    "StepDone",
    "UnbindSession",
]


class Step(StrEnum):
    """The steps of a set-up in their order, and what the probe does after it."""

    PHASE1 = "phase1"
    NAT = "nat"
    PHASE2 = "phase2"
    TUNNEL = "tunnel"
    CALL = "call"
    LCP = "lcp"
    AUTH = "auth"
    IPCP = "ipcp"
    PING = "ping"
    HTTP = "http"


@dataclass(slots=True)
class StepDone:
    """`seconds` is what this step took; `facts` is what was negotiated in it."""

    step: Step
    seconds: float
    facts: dict[str, str | float] = field(default_factory=dict)


@dataclass(slots=True)
class Connected:
    """IPCP is open: packets may flow. `seconds` since the first IKE message."""

    network: Network
    seconds: float


@dataclass(slots=True)
class Failed:
    """The set-up ended before it was up. `Closed` follows once the goodbyes are said."""

    step: Step
    reason: Reason
    detail: str


@dataclass(slots=True)
class Ended:
    """What was up is up no more, and not because we closed it. `Closed` follows."""

    reason: Reason
    detail: str


@dataclass(slots=True)
class Closed:
    """Everything is over; nothing more is sent, and nothing heard."""


News: TypeAlias = StepDone | Connected | Failed | Ended | Closed | Dropped
ClientEffect: TypeAlias = (
    SendIke
    | SendKeepalive
    | SendL2tp
    | SendPpp
    | InstallSa
    | ActivateSa
    | RemoveSa
    | MoveClient
    | RemoveClient
    | AddLink
    | RemoveLink
    | BindSession
    | UnbindSession
    | News
)
