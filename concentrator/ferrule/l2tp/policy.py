"""What the operator decides about L2TP; plain data."""

from __future__ import annotations

from dataclasses import dataclass

from ferrule.core.secret import Secret


@dataclass(frozen=True, slots=True)
class L2tpPolicy:
    """Of one endpoint, so of one remote host. Text is cut to what an AVP holds.

    `tunnel_secret`: the peer must know it, and AVPs hidden with it are read; None: no tunnel
    authentication. `receive_window` is what we advertise, in messages. `tunnels_max` a client,
    `sessions_max` a tunnel. As LAC: `tie_breaker` asks for one tunnel when both sides open one at
    once, `sequencing` asks for sequence numbers on data.
    """

    host_name: str = "ferrule"
    vendor: str = "Ferrule"
    tunnel_secret: Secret | None = None
    hello_seconds: float = 60.0
    receive_window: int = 16
    tunnels_max: int = 4
    sessions_max: int = 8
    hide_avps: bool = False
    tie_breaker: bool = False
    sequencing: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.receive_window <= 1024:
            raise ValueError(f"receive_window is 1 to 1024, not {self.receive_window}")
        if self.hello_seconds <= 0 or self.tunnels_max < 1 or self.sessions_max < 1:
            raise ValueError("hello_seconds, tunnels_max and sessions_max are above 0")
