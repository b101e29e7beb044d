"""The retransmission time-out by the formulas of RFC 6298."""

from __future__ import annotations

import pytest

from ferrule.client.tcp_rto import RetransmissionTimeout


def test_the_first_sample_and_the_next() -> None:
    timeout = RetransmissionTimeout()
    assert timeout.seconds == 1.0
    timeout.measure(0.4)  # SRTT 0.4, RTTVAR 0.2
    assert timeout.seconds == pytest.approx(1.2)
    timeout.measure(0.8)  # RTTVAR 3/4 * 0.2 + 1/4 * 0.4, SRTT 7/8 * 0.4 + 1/8 * 0.8
    assert timeout.seconds == pytest.approx(0.45 + 4 * 0.25)


def test_it_doubles_and_has_bounds() -> None:
    timeout = RetransmissionTimeout()
    for expected in (2.0, 4.0, 8.0, 8.0):
        timeout.back_off()
        assert timeout.seconds == expected
    for _ in range(50):
        timeout.measure(0.001)
    assert timeout.seconds == 0.2
