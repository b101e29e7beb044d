"""The order of the clockwork's numbers is what makes it safe."""

from __future__ import annotations

import pytest

from ferrule.cluster.timing import Timing


def test_nobody_serves_five_seconds_after_it_was_heard_last() -> None:
    timing = Timing()
    assert timing.fence < timing.depose < 5.0


@pytest.mark.parametrize(
    "fields",
    [
        {"heartbeat": 0.0},
        {"suspect": 1.0},
        {"fence": 3.0},
        {"fence": 4.5},
        {"depose": 4.0},
        {"lost": 4.0},
    ],
)
def test_another_order_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="heartbeat < suspect < fence < depose"):
        Timing(**fields)
