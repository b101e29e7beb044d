"""What a client is told to do: plain values."""

from __future__ import annotations

from dataclasses import dataclass

from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Of one client. Times in seconds; sizes in octets, of IP packets.

    `timeout` bounds the whole set-up, 0 for no bound but those of the layers. Of `ike`, what is
    named `offer_...` is what this client proposes; `rekey` lets it renew its SAs before they end.
    """

    ike: IkePolicy
    l2tp: L2tpPolicy
    ppp: PppPolicy
    credentials: Credentials
    timeout: float = 30.0
    outer_mtu: int = 1500
    mtu: int = 1400
    keepalive_seconds: float = 20.0  # NAT keep-alives once up (RFC 3948 4)
    farewell_seconds: float = 1.5  # how long the server has to acknowledge our goodbye
    rekey: bool = True
