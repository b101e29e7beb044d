"""Rekeys of both phases by the client, under traffic: at most one packet lost for each."""

from __future__ import annotations

import pytest

from interop.rig.soak import LIFETIMES, Soak
from support.measured import Measured


@pytest.mark.parametrize("name", ["carol", "dora"], ids=["strongswan", "libreswan"])
def test_pings_through_rekeys(name: str, soak: Soak, measured: Measured) -> None:
    result = soak.result(name)
    measured.add(
        f"{result.lost} of {result.sent} pings lost in {result.phase1_rekeys} rekeys of phase 1"
        f" and {result.phase2_rekeys} of phase 2"
    )
    assert result.phase1_rekeys >= LIFETIMES, result.output
    assert result.phase2_rekeys >= LIFETIMES, result.output
    assert result.lost <= result.phase1_rekeys + result.phase2_rekeys, result.output
    users = {row["user"] for row in soak.server.sessions()}
    assert name in users
    assert soak.server.metric("ferrule_rekeys_total", kind="isakmp") >= LIFETIMES
    assert soak.server.metric("ferrule_rekeys_total", kind="ipsec") >= LIFETIMES
    assert soak.server.bugs() == []
