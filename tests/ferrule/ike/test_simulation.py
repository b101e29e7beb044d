"""Two ends in virtual time over a bad link: connected or refused, never stuck."""

from __future__ import annotations

import heapq
import random

import pytest

from ferrule.core.ids import Path
from ferrule.core.secret import Secret
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeEffect,
    IkeFailed,
    InstallIpsecSa,
    IsakmpSaUp,
    SendIke,
)
from ferrule.ike.policy import IkePolicy
from support.ike import KEY, Link, Side, mirrored, policy


class BadLink(Link):
    """Loss, duplication, re-ordering and delay, all of a seed."""

    def __init__(
        self, seed: int, loss: float, client: IkePolicy | None, server: IkePolicy | None
    ) -> None:
        super().__init__(client, server, seed)
        self.random = random.Random(seed)
        self.loss = loss
        self.flying: list[tuple[float, int, Side, Path, bytes]] = []
        self.serial = 0

    def run(self, side: Side, effects: list[IkeEffect]) -> None:
        side.effects += effects
        for effect in effects:
            if isinstance(effect, SendIke):
                self.fly(side, mirrored(effect.path), effect.message)
            if isinstance(effect, IsakmpSaUp) and side is self.client:
                more = side.ike.establish_ipsec_sa(effect.isakmp_sa, self.now)
                self.run(side, more)

    def fly(self, sender: Side, path: Path, message: bytes) -> None:
        receiver = self.server if sender is self.client else self.client
        for _ in range(2 if self.random.random() < 0.1 else 1):
            if self.random.random() >= self.loss:
                delay = 0.05 + self.random.expovariate(20)
                self.serial += 1
                heapq.heappush(
                    self.flying, (self.now + delay, self.serial, receiver, path, message)
                )

    def live(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            dues: list[tuple[float, Side | None]] = [
                (side.ike.deadline.at, side)
                for side in (self.client, self.server)
                if side.ike.deadline is not None
            ]
            if self.flying:
                dues.append((self.flying[0][0], None))
            if not dues:
                return
            at, side = min(dues, key=lambda due: due[0])
            if at > end:
                return
            self.now = max(self.now, at)
            if side is not None:
                self.run(side, side.ike.expire(self.now))
            else:
                _, _, receiver, path, message = heapq.heappop(self.flying)
                self.run(receiver, receiver.ike.receive(path, message, self.now))


def settled(link: BadLink) -> bool:
    """The client knows how it ended, and the keys of what is active agree."""
    activated, failed = link.client.of(ActivateIpsecSa), link.client.of(IkeFailed)
    assert activated or failed
    theirs = {e.inbound_spi: e for e in link.server.of(InstallIpsecSa)}
    for effect in link.client.of(InstallIpsecSa):
        twin = theirs[effect.outbound_spi]
        assert twin.outbound_spi == effect.inbound_spi
        assert twin.inbound_key.reveal() == effect.outbound_key.reveal()
    return bool(activated)


QUIET = {"dpd_seconds": 0}


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.25, 0.6])
def test_connected_or_refused(loss: float) -> None:
    connected = 0
    seeds = 40
    for seed in range(1, seeds + 1):
        link = BadLink(seed, loss, policy(**QUIET), policy(**QUIET))
        link.connect()
        link.live(200)
        connected += settled(link)
        states = {view.state for side in (link.client, link.server) for view in side.ike.sas()}
        assert states <= {"up"}
        assert not any(
            ipsec.quick_mode
            for side in (link.client, link.server)
            for ipsec in side.ike._table.ipsec.values()
        )
    assert connected >= {0.0: seeds, 0.05: seeds, 0.25: seeds * 3 // 4, 0.6: 0}[loss]


@pytest.mark.parametrize(
    "server",
    [{"keys": (Secret(b"wrong"),)}, {"phase2": ()}, {"phase1": ()}],
    ids=["key", "phase 2", "phase 1"],
)
def test_refusals_end_for_both_sides(server: dict[str, object]) -> None:
    for seed in range(1, 21):
        link = BadLink(seed, 0.1, policy(**QUIET), policy(**QUIET | server))
        link.connect()
        link.live(120)
        assert link.client.of(IkeFailed)
        assert not link.client.of(ActivateIpsecSa)
        assert not link.server.of(ActivateIpsecSa)
        assert {view.state for view in link.server.ike.sas()} <= {"up"}


def test_a_connection_with_dpd_survives_a_bad_link_and_ends_when_it_is_cut() -> None:
    for seed in range(1, 6):
        link = BadLink(seed, 0.1, policy(dpd_seconds=10), policy(dpd_seconds=10))
        link.connect()
        link.live(600)
        assert link.server.of(IsakmpSaUp)
        assert link.server.ike.sas()
        link.loss = 1.0
        link.live(120)
        assert not link.server.ike.sas()
        assert not link.client.ike.sas()
        assert KEY.reveal()
