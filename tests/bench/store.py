"""What a store costs one member with many sessions, and what it costs the store.

Run it with `python tests/bench/store.py [--json] [--clients N] ...`. The same server, load and
phases with `Memory`, with a snapshot in a file (in TMPDIR), and as a member with a real Valkey.
What is more than with `Memory` is the store's share. Each phase is a CPU share of one core, by
/proc: without traffic (leases are renewed, keepalives), and with so many pings a second of all
clients together, each of which makes its client's check-point stale. All is on loopback in a
network namespace; nothing here decides whether a test passes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.setups import (
    CONFIG,
    GATEWAY_ADDRESS,
    HOST,
    PASSWORD,
    enter_namespace,
    server,
    settings_of,
)
from ferrule.client.driver import Server
from ferrule.client.load import Load
from ferrule.client.server_process import ServerProcess
from support.valkey import ValkeyServer

HTTP_PORT, RING_PORT = 9190, 4510
PHASE1, PHASE2 = "aes256-sha1-modp2048", "aes256-sha1"
USER = "bench-{number}"
KINDS = ("Memory", "snapshot", "Valkey")
FIRST = 5  # clients that are not counted
SETTLE_SECONDS = 6.0  # a round of the sweep, so that a phase begins with everybody written down


@dataclass
class Phase:
    """`share`s are of one core, of CPU time; `written` are check-points a second."""

    pings: float  # a second, of all clients together
    lost: int
    share: float
    store_share: float
    written: float


@dataclass
class Result:
    """Of one kind of store. Milliseconds of CPU are those of the member, and of the store."""

    store: str
    up: int
    median_ms: float  # from a client's first message to its address
    failures: dict[str, int]
    set_up_ms: float
    store_set_up_ms: float
    octets_a_session: float
    store_octets: int
    phases: list[Phase] = field(default_factory=list)


KEYS = {
    "key": "a-key-that-is-only-for-the-bench-012345",
    "namesKey": "another-one-that-is-for-the-bench-only",
}


@contextmanager
def stored(kind: str, folder: Path) -> Iterator[tuple[dict[str, Any], ServerProcess | None]]:
    """The configuration's `store`, and the process behind it, if there is one."""
    if kind == "Valkey":
        valkey = ValkeyServer(folder).start()
        try:
            yield {"type": "Valkey", "url": valkey.url, **KEYS}, ServerProcess(valkey.pid)
        finally:
            valkey.stop()
    elif kind == "snapshot":
        yield {"type": "Memory", "snapshot": str(folder / "sessions"), **KEYS}, None
    else:
        yield {"type": "Memory"}, None


@contextmanager
def member(store: dict[str, Any], users: int) -> Iterator[ServerProcess]:
    """The server, with that store."""
    config = json.loads(json.dumps(CONFIG))
    config["listen"]["http"] = f"{HOST}:{HTTP_PORT}"
    config["gateway"]["limits"]["sessionsMax"] = 0
    config["gateway"]["store"] = store
    config["users"] = [
        {"username": USER.format(number=number), "password": PASSWORD} for number in range(users)
    ]
    if store["type"] == "Valkey":
        config["listen"] |= {"ring": f"{HOST}:{RING_PORT}", "member": "bench-0"}
    with server(settings=config) as process:
        yield process


def check_points() -> float:
    """How many were written so far."""
    with urlopen(f"http://{HOST}:{HTTP_PORT}/metrics") as page:
        for line in page.read().decode().splitlines():
            if line.startswith("ferrule_checkpoints_written_total "):
                return float(line.split()[1])
    return 0.0


async def measure(
    options: argparse.Namespace, kind: str, process: ServerProcess, store: ServerProcess | None
) -> Result:
    def cpu() -> tuple[float, float]:
        return process.cpu_seconds(), store.cpu_seconds() if store is not None else 0.0

    def since(before: tuple[float, float], per: float) -> list[float]:
        return [(now - then) / per for now, then in zip(cpu(), before, strict=True)]

    load = Load(
        Server(HOST),
        lambda number: settings_of(number, PHASE1, PHASE2, USER.format(number=number)),
        process=process,
    )
    await load.grow(FIRST)  # what is done once is done
    octets, before = process.resident_octets(), cpu()
    growth = await load.grow(
        options.clients, at_once=options.at_once, most_seconds=options.most_seconds
    )
    each = since(before, max(1, growth.up))
    result = Result(
        store=kind,
        up=growth.up,
        median_ms=growth.total.values[50] * 1000,
        failures=growth.failures,
        set_up_ms=each[0] * 1000,
        store_set_up_ms=each[1] * 1000,
        octets_a_session=(process.resident_octets() - octets) / max(1, growth.up),
        store_octets=0 if store is None else store.resident_octets(),
    )
    for pings in (0.0, *options.pings):
        await asyncio.sleep(SETTLE_SECONDS)
        result.phases.append(await phase(load, pings, options.seconds, cpu, since))
    await load.leave()
    return result


async def phase(load: Load, pings: float, seconds: float, cpu: Any, since: Any) -> Phase:
    written, before, sent, received = check_points(), cpu(), 0, 0
    if pings:
        rate = pings / len(load.ups)
        traffic = await load.traffic(GATEWAY_ADDRESS, seconds=seconds, pings_per_second=rate)
        sent, received, seconds = traffic.sent, traffic.received, traffic.seconds
    else:
        await asyncio.sleep(seconds)
    share, store_share = since(before, seconds)
    written = (check_points() - written) / seconds
    return Phase(sent / seconds, sent - received, share, store_share, written)


def print_table(results: list[Result]) -> None:
    for one in results:
        print(
            f"{one.store}: {one.up} sessions, {sum(one.failures.values())} failed;"
            f" a set-up {one.set_up_ms:.2f} ms of CPU, of the store {one.store_set_up_ms:.2f} ms,"
            f" done in {one.median_ms:.0f} ms;"
            f" {one.octets_a_session / 1000:.1f} kB each; the store {one.store_octets / 1e6:.0f} MB"
        )
        if one.failures:
            print(f"  failures: {one.failures}")
        for at in one.phases:
            print(
                f"  {at.pings:6.0f} pings/s ({at.lost} lost): {at.share:6.1%} of a core,"
                f" store {at.store_share:5.1%}, {at.written:.0f} check-points/s"
            )
    first = results[0]
    for one in results[1:]:
        ratio = first.set_up_ms / one.set_up_ms
        print(f"set-ups a second of a core, {one.store} to {first.store}: {ratio:.2f}")
        for before, after in zip(first.phases, one.phases, strict=True):
            print(f"  {after.pings:6.0f} pings/s: {after.share - before.share:+6.1%} of a core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=16, help="set-ups in progress")
    parser.add_argument("--most-seconds", type=float, default=300.0, help="for the growth")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each phase")
    parser.add_argument(
        "--pings", type=float, nargs="*", default=[200.0], help="a second, of all together"
    )
    parser.add_argument("--stores", nargs="*", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    enter_namespace(2 * (options.clients + FIRST))
    results = []
    for kind in options.stores:
        with (
            tempfile.TemporaryDirectory(prefix="ferrule-bench-") as folder,
            stored(kind, Path(folder)) as (place, store),
            member(place, options.clients + FIRST) as process,
        ):
            results.append(asyncio.run(measure(options, kind, process, store)))
    if options.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        print_table(results)


if __name__ == "__main__":
    main()
