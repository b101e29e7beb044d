"""A bad link: loss, delay, re-ordering and duplication on a guest's card, both ways.

The host's kernel may lack netem; the guest's has it. What comes in is sent through an `ifb` device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .uml import Guest


@contextmanager
def bad_link(
    guest: Guest,
    *,
    loss_percent: float = 0,
    delay_milliseconds: float = 0,
    reorder_percent: float = 0,
    duplicate_percent: float = 0,
) -> Iterator[None]:
    """Spoil the guest's link; percentages are those of each direction, the delay is one way's."""
    netem = (
        f"netem delay {delay_milliseconds}ms {delay_milliseconds / 10}ms"
        f" loss {loss_percent}% duplicate {duplicate_percent}%"
    )
    if reorder_percent:
        netem += f" reorder {reorder_percent}% 50%"  # so many overtake those that are delayed
    guest.shell(
        "ip link add ifb7 type ifb; ip link set ifb7 up\n"
        f"tc qdisc add dev ifb7 root {netem}\n"
        "tc qdisc add dev vec0 handle ffff: ingress\n"
        "tc filter add dev vec0 parent ffff: matchall action mirred egress redirect dev ifb7\n"
        f"tc qdisc replace dev vec0 root {netem}\n"
    )
    try:
        yield
    finally:
        guest.shell("tc qdisc del dev vec0 root; tc qdisc del dev vec0 ingress; ip link del ifb7\n")
