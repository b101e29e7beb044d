"""Two ends in virtual time over a bad line: every run ends, up or refused, and none is stuck."""

from __future__ import annotations

import pytest

from ferrule.ppp.effects import LinkDown, SendPpp
from support.ppp import Badness, Line, make_line

METHODS = [("mschapv2",), ("pap",), ("chap",), ("mschapv1",), ("mschapv2", "pap")]
DELAYS = [(0.01, 0.01), (0.01, 0.2), (0.0, 1.5)]  # the wider, the more is re-ordered
CHUNK = 500


def run(seed: int, loss: float, password: str = "correct horse") -> Line:
    badness = Badness(loss, (0.0, 0.1, 0.3)[seed % 3], DELAYS[seed // 7 % 3])
    line = make_line(METHODS[seed % 5], badness=badness, seed=seed, password=password)
    line.start()
    line.run(400.0, line.is_settled)
    assert line.is_settled(), f"seed {seed} is stuck"
    return line


@pytest.mark.parametrize("first", range(0, 4 * CHUNK, CHUNK))
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2])
def test_an_honest_client_connects(loss: float, first: int) -> None:
    refused = 0
    for seed in range(first, first + CHUNK):
        line = run(seed, loss)
        refused += not line.is_up("server")
        sends = sum(isinstance(effect, SendPpp) for effect in line.said["server"])
        assert sends < 120, f"seed {seed}: {sends} frames"
    assert refused <= (0 if loss < 0.1 else CHUNK // 50)


@pytest.mark.parametrize("loss", [0.4, 0.7])
def test_even_a_dreadful_line_comes_to_an_end(loss: float) -> None:
    outcomes = {run(seed, loss).is_up("server") for seed in range(CHUNK)}
    assert outcomes == {True, False}


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_wrong_password_never_gets_in(loss: float) -> None:
    for seed in range(CHUNK):
        line = run(seed, loss, password="wrong")
        for name in ("server", "client"):
            assert isinstance(line.down(name), LinkDown)


def test_a_clean_line_is_quick() -> None:
    for seed in range(50):
        line = make_line(METHODS[seed % 5], seed=seed)
        line.start()
        line.run(10.0, line.is_settled)
        assert line.now < 0.3
