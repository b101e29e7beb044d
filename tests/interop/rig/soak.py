"""Minutes of pings through rekeys, in a laboratory of their own, while other tests run.

carol has strongSwan, dora has libreswan; both are behind the NAT. Lifetimes are a minute.
"""

from __future__ import annotations

import concurrent.futures
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .peers import Client, Libreswan, Session, StrongSwan
from .scenario import CONFIGURATION, profile_of
from .server import Server
from .topology import WEB_ADDRESS, Laboratory

LIFETIME_SECONDS = 60
LIFETIMES = 3
_INTERVAL_SECONDS = 0.2
_PINGS = int((LIFETIMES * LIFETIME_SECONDS + 10) / _INTERVAL_SECONDS)


@dataclass(slots=True)
class Pinging:
    """One client under way."""

    client: Client
    session: Session
    pings: concurrent.futures.Future[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it. Rekeys are those that the client's own log tells of."""

    sent: int
    lost: int
    phase1_rekeys: int
    phase2_rekeys: int
    output: str


class Soak:
    """Started at the begin of the test run, asked for its results at the end."""

    def __init__(self, folder: Path, layers: tuple[Path, ...]) -> None:
        self._laboratory = Laboratory(folder)
        self._layers = layers
        self.server = Server(self._laboratory, CONFIGURATION)
        self.runs: dict[str, Pinging] = {}

    def start(self) -> None:
        """Boot, connect, begin to ping; returns while the pings go on."""
        laboratory = self._laboratory
        guests = {name: laboratory.add_guest(name, self._layers) for name in ("carol", "dora")}
        self.server.start()
        for name, guest in guests.items():
            guest.await_boot()
            kind = StrongSwan if name == "carol" else Libreswan
            client = Client(guest, kind(guest))
            client.move(laboratory, "lan")
            client.start()
            # Not the same: strongSwan may forget one of two rekeys that fall due at one moment.
            profile = profile_of(
                name, ike_seconds=LIFETIME_SECONDS, esp_seconds=LIFETIME_SECONDS - 4
            )
            if name == "dora":
                profile = profile.but(ike="aes256-sha2;modp2048", esp="aes256-sha1")
            session = client.connect(profile)
            pings = guest.begin_run(
                *("ping", "-n", "-c", str(_PINGS), "-i", str(_INTERVAL_SECONDS)),
                *("-W", "3", WEB_ADDRESS),
                timeout=_PINGS * _INTERVAL_SECONDS * 2,
            )
            self.runs[name] = Pinging(client, session, pings)

    def result(self, name: str) -> Result:
        """Wait for a client's last ping."""
        run = self.runs[name]
        patience = _PINGS * _INTERVAL_SECONDS * 2
        outcome = run.client.guest.finish(run.pings, patience)
        output = outcome.output
        match = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        assert match, output
        ike = run.client.ike
        journal = "\n".join(
            f"{at:9.3f} {text}"
            for at, source, text in run.client.guest.lines(run.session.mark)
            if source == ike.source and at <= outcome.ended  # it goes on while other tests run
        )
        return Result(
            sent=int(match[1]),
            lost=int(match[1]) - int(match[2]),
            phase1_rekeys=len(re.findall(ike.phase1, journal)) - 1,
            phase2_rekeys=len(re.findall(ike.phase2, journal)) - 1,
            output=f"{output[-400:]}\n{journal}",
        )

    def close(self) -> None:
        """End it."""
        self._laboratory.close()
