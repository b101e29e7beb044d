"""Set-ups a second and memory a session: the load generator against a real `ferrule serve`.

Run it with `python tests/bench/setups.py [--json] [--clients N] [--more N] ...`. Server and
clients live in one network namespace of their own (root, or an unprivileged user namespace), over
loopback, each in its own process, so that on two cores they do not share one. The load generator
does as much work as the server: what counts is set-ups a second of the server's CPU time. The time
of everything is bounded; nothing here decides whether a test passes.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from ferrule.client.driver import Server
from ferrule.client.load import Growth, Load, Percentiles, Traffic
from ferrule.client.server_process import ServerProcess
from ferrule.client.settings import ClientSettings
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy, Phase1Transform
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.proposals import parse_phase1, parse_phase2

HOST = "127.0.0.1"
GATEWAY_ADDRESS = IPv4Address("10.64.0.1")  # the first of the pool; its host answers pings
KEY, USER, PASSWORD = "a-pre-shared-key-only-for-the-bench", "bench", "a password"
START_SECONDS = 15.0
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

CONFIG = {
    "listen": {"address": HOST, "http": "off", "admin": "", "tun": "ferrule0"},
    "log": {"format": "json"},
    "gateway": {
        "ipsec": {"psk": KEY},
        "pools": [{"name": "default", "cidr": "10.64.0.0/16"}],
        "limits": {"perSourceRate": 100_000, "halfOpenMax": 100_000},
    },
    "users": [{"username": USER, "password": PASSWORD, "maxSessions": 0}],
}


@dataclass
class Result:
    """Octets are resident memory of the server; times are seconds."""

    phase1: str
    phase2: str
    octets_before: int
    growths: list[Growth] = field(default_factory=list)
    traffic: Traffic | None = None
    sessions: int = 0
    leave_seconds: float = 0.0
    octets_after: int = 0
    ended_by_themselves: dict[str, int] = field(default_factory=dict)

    def octets_a_session(self) -> list[float]:
        """Of each growth: what its sessions added."""
        before, figures = self.octets_before, []
        for growth in self.growths:
            assert growth.server_octets is not None
            figures.append((growth.server_octets - before) / max(growth.up, 1))
            before = growth.server_octets
        return figures


# --- the place


def allow_files(sockets: int) -> None:
    """So many sockets, and what else a process opens. Raises SystemExit where it may not."""
    wanted = sockets + 256
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = most == resource.RLIM_INFINITY or most >= wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most if enough else wanted))
    except (ValueError, OSError):
        raise SystemExit(f"{wanted} open files are needed, {most} allowed: fewer clients") from None


def enter_namespace(sockets: int) -> None:
    """A network namespace with nothing but loopback, and so many sockets. Raises SystemExit where
    that is not allowed."""
    allow_files(sockets)
    try:
        _unshare()
    except OSError as error:
        raise SystemExit(f"cannot run here: {error}") from error
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNET if user == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        code = ctypes.get_errno()
        raise OSError(code, f"no network namespace: {os.strerror(code)}")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


@contextmanager
def server(
    profile: Path | None = None, settings: Mapping[str, Any] = CONFIG
) -> Iterator[ServerProcess]:
    """`ferrule serve` until the block ends; then its profile is in `profile`."""
    with tempfile.TemporaryDirectory(prefix="ferrule-bench-") as folder:
        config = Path(folder, "gateway.yaml")
        config.write_text(json.dumps(settings))  # JSON is YAML
        profiler = [] if profile is None else ["-m", "cProfile", "-o", str(profile)]
        command = [sys.executable, *profiler, "-m", "ferrule.cli.main", "serve"]
        command += ["--config", str(config)]
        log = Path(folder, "log")
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=errors, stderr=errors)
        try:
            await_ready(process, log)
            yield ServerProcess(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it says that it is ready."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if '"event": "ready"' in log.read_text():
            return
        time.sleep(0.05)
    raise SystemExit(f"the server did not start: {log.read_text()}")


def settings_of(number: int, phase1: str, phase2: str, user: str = USER) -> ClientSettings:
    """Clients have private addresses as identities, each its own, as behind one NAT."""
    return ClientSettings(
        ike=IkePolicy(
            keys=(Secret(KEY.encode()),),
            allow_modp1024=True,
            offer_phase1=tuple(Phase1Transform(*suite) for suite in parse_phase1(phase1)),
            offer_phase2=parse_phase2(phase2),
            offer_identification=str(IPv4Address(0x0A800000 + number)),
        ),
        l2tp=L2tpPolicy(host_name=f"load{number}"),
        ppp=PppPolicy(auth=("mschapv2",)),
        credentials=Credentials(user, Secret(PASSWORD.encode())),
        timeout=30.0,
        rekey=False,
    )


# --- where the time goes


def place_of(filename: str, function: str) -> str:
    """The layer of a profiled function; built-in ones are told apart by what they belong to."""
    if "/ferrule/" in filename:
        return filename.partition("/ferrule/")[2].partition("/")[0]
    for mark, place in _PLACES:
        if mark in function or mark in filename:
            return place
    return "Python itself"


_PLACES = (
    ("cryptography", "OpenSSL"),
    ("_openssl", "OpenSSL"),
    ("hazmat", "OpenSSL"),
    ("_hashlib", "OpenSSL"),
    ("hmac", "OpenSSL"),
    ("socket", "sockets"),
    ("posix", "sockets"),
    ("epoll", "waiting"),
    ("select", "waiting"),
    ("asyncio", "asyncio"),
    ("structlog", "log"),
    ("prometheus_client", "metrics"),
)


async def set_up_only(options: argparse.Namespace, count: int) -> int:
    load = Load(Server(HOST), lambda number: settings_of(number, options.phase1, options.phase2))
    growth = await load.grow(count, at_once=options.at_once, most_seconds=options.most_seconds)
    await load.leave()
    return growth.up


def where_the_time_goes(options: argparse.Namespace) -> dict[str, float]:
    """Share of each layer in the server's time, of set-up and teardown, the start not counted.

    The profiler makes small functions look dearer than they are: read it as an order."""
    shares: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ferrule-bench-") as folder:
        counts = (0, options.profile_clients)
        for sign, count in zip((-1, 1), counts, strict=True):
            file = Path(folder, f"profile-{count}")
            with server(file):
                asyncio.run(set_up_only(options, count))
            profile = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
            for (filename, _, function), (_, _, own, _, _) in profile.items():
                place = place_of(filename, function)
                shares[place] = shares.get(place, 0.0) + sign * own
    shares.pop("waiting", None)
    total = sum(value for value in shares.values() if value > 0)
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return {place: round(value / total, 3) for place, value in ordered if value / total > 0.005}


# --- the run


async def run(options: argparse.Namespace, process: ServerProcess) -> Result:
    load = Load(
        Server(HOST),
        lambda number: settings_of(number, options.phase1, options.phase2),
        process=process,
    )
    result = Result(options.phase1, options.phase2, process.resident_octets())
    for count in (options.clients, options.more):
        if count:
            growth = await load.grow(
                count, at_once=options.at_once, most_seconds=options.most_seconds
            )
            result.growths.append(growth)
    result.traffic = await load.traffic(
        GATEWAY_ADDRESS, seconds=options.traffic_seconds, pings_per_second=options.pings
    )
    result.sessions = len(load.ups)
    result.ended_by_themselves = dict(load.ended)
    result.leave_seconds = await load.leave()
    result.octets_after = process.resident_octets()
    return result


def as_json(result: Result) -> dict[str, Any]:
    def times(percentiles: Percentiles) -> dict[str, float]:
        return {f"p{percent}": round(value, 6) for percent, value in percentiles.values.items()}

    traffic = result.traffic
    assert traffic is not None
    return {
        "phase1": result.phase1,
        "phase2": result.phase2,
        "octets_before": result.octets_before,
        "growths": [
            {
                "wanted": growth.wanted,
                "up": growth.up,
                "seconds": round(growth.seconds, 3),
                "failures": growth.failures,
                "setups_per_second": round(growth.per_second, 1),
                "setups_per_server_core_second": round(growth.per_server_core_second or 0.0, 1),
                "octets": growth.server_octets,
                "octets_per_session": round(octets),
                "total_seconds": times(growth.total),
                "step_seconds": {step: times(p) for step, p in growth.steps.items()},
            }
            for growth, octets in zip(result.growths, result.octets_a_session(), strict=True)
        ],
        "traffic": {
            "clients": traffic.clients,
            "sent": traffic.sent,
            "received": traffic.received,
            "per_second": round(traffic.sent / traffic.seconds, 1),
            "server_cpu_seconds": round(traffic.server_cpu or 0.0, 3),
            "round_trip_seconds": times(traffic.round_trip),
        },
        "sessions": result.sessions,
        "ended_by_themselves": result.ended_by_themselves,
        "leave_seconds": round(result.leave_seconds, 3),
        "octets_after": result.octets_after,
    }


def print_table(report: dict[str, Any]) -> None:
    print(f"{report['phase1']}, {report['phase2']}, mschapv2; one server process, Python plane")
    heads = ("sessions", "up", "failed", "set-ups/s", "/server core s", "median", "p99", "kB each")
    print("".join(f"{head:>15}" for head in heads))
    for growth in report["growths"]:
        total = growth["total_seconds"]
        row = (
            growth["wanted"],
            growth["up"],
            sum(growth["failures"].values()),
            growth["setups_per_second"],
            growth["setups_per_server_core_second"],
            f"{total.get('p50', 0) * 1000:.0f} ms",
            f"{total.get('p99', 0) * 1000:.0f} ms",
            f"{growth['octets_per_session'] / 1000:.1f}",
        )
        print("".join(f"{cell!s:>15}" for cell in row))
        if growth["failures"]:
            print(f"  failures: {growth['failures']}")
    last = report["growths"][-1]
    print("step            " + "".join(f"{name:>12}" for name in ("p50", "p95", "p99")))
    for step, times in last["step_seconds"].items():
        cells = "".join(f"{times[p] * 1000:>9.1f} ms" for p in ("p50", "p95", "p99"))
        print(f"  {step:<14}{cells}")
    traffic = report["traffic"]
    print(
        f"traffic: {traffic['clients']} of {report['sessions']} clients answered, "
        f"{traffic['received']} of {traffic['sent']} pings back at {traffic['per_second']}/s, "
        f"median {traffic['round_trip_seconds'].get('p50', 0) * 1000:.1f} ms, "
        f"server CPU {traffic['server_cpu_seconds']} s"
    )
    print(
        f"memory: {report['octets_before'] / 1e6:.1f} MB at the start, "
        f"{last['octets'] / 1e6:.1f} MB with {report['sessions']} sessions, "
        f"{report['octets_after'] / 1e6:.1f} MB after all left in {report['leave_seconds']} s"
    )
    if report["ended_by_themselves"]:
        print(f"ended by themselves: {report['ended_by_themselves']}")
    if where := report.get("where"):
        print("where the server's time goes, profiled:")
        print("  " + ", ".join(f"{place} {share:.0%}" for place, share in where.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--more", type=int, default=500, help="clients on top, for the slope")
    parser.add_argument("--at-once", type=int, default=16, help="set-ups in progress")
    parser.add_argument("--pings", type=float, default=0.5, help="a second and client")
    parser.add_argument("--traffic-seconds", type=float, default=10.0)
    parser.add_argument("--most-seconds", type=float, default=120.0, help="for each growth")
    parser.add_argument("--phase1", default="aes256-sha1-modp2048")
    parser.add_argument("--phase2", default="aes256-sha1")
    parser.add_argument(
        "--profile-clients", type=int, default=200, help="of a second run, profiled; 0 for none"
    )
    options = parser.parse_args()
    enter_namespace(2 * (options.clients + options.more))
    with server() as process:
        result = asyncio.run(run(options, process))
    report = as_json(result)
    if options.profile_clients:
        report["where"] = where_the_time_goes(options)
    if options.json:
        print(json.dumps(report))
    else:
        print_table(report)


if __name__ == "__main__":
    main()
