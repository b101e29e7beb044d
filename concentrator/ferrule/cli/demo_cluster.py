"""`ferrule demo-cluster`: three gateways that are one; a pod is killed and one drained, meanwhile
twenty clients ping through their tunnels.

Every line that it prints was measured; if anything fails, the exit code is not 0. What it plays
on stands in `runtime.cluster_stage`; here is the play.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Final

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ferrule.cli.teller import Teller, spell_time
from ferrule.client.driver import Server
from ferrule.client.settings import ClientSettings
from ferrule.client.watched_load import Watched, WatchedLoad
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.admin import ask
from ferrule.runtime.cluster_stage import (
    CLIENTS,
    NOTICE_SECONDS,
    PASSWORD,
    PSK,
    SERVICE,
    WEB,
    ClusterStage,
    client_host,
    user,
)
from ferrule.runtime.demo_gateway import DemoGateway, StageError
from ferrule.runtime.demo_net import DemoNetError, enter_own_network

_PINGS_PER_SECOND: Final = 10.0
_PATIENCE_SECONDS: Final = 40.0
_CALM_SECONDS: Final = 3.0
_KILL_SECONDS: Final = 12.0  # that a take-over may be waited for
_WORST_SECONDS: Final = 10.0  # from a pod's death to a client's first answer
_DRAIN_SECONDS: Final = 40.0
_SILENCE_SECONDS: Final = 1.0  # that a planned hand-over may cost
_REFRESH_SECONDS: Final = 0.25


class _Wrong(Exception):
    """Something went otherwise than the demo says it does."""


def demo_cluster() -> None:
    """Three gateways that are one: kill a pod, drain a pod, and nobody has to connect anew.

    Needs no configuration and leaves nothing behind. Runs as root, or as anybody where the system
    lets users have namespaces.
    """
    console = Console(highlight=False)
    began = time.monotonic()
    try:
        how = enter_own_network()
        with ClusterStage() as stage:
            try:
                asyncio.run(_Play(console, stage, how).run())
            except (StageError, _Wrong, TimeoutError) as error:
                text = str(error) or "it took too long"
                console.print(f"\n[bold red]✗ The demo failed:[/bold red] {escape(text)}")
                for pod in stage.pods:
                    end = "\n".join(pod.log_end().splitlines()[-8:])
                    console.print(f"[dim]{pod.name}:\n{escape(end)}[/dim]", soft_wrap=True)
                raise typer.Exit(1) from error
    except DemoNetError as error:
        console.print(f"[red]✗[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(
        f"\n[bold green]All of it worked[/bold green], in {time.monotonic() - began:.1f} s; "
        "nothing is left behind.\nNext: docs/scaling.md tells how it works and what it needs.",
        soft_wrap=True,
    )


class _Play:
    """The acts, in their order."""

    def __init__(self, console: Console, stage: ClusterStage, how: str) -> None:
        self._console = console
        self._say = Teller(console, width=18, patience=_PATIENCE_SECONDS)
        self._stage = stage
        self._how = how
        self._states: dict[str, str] = {}  # of pods, for the table

    async def run(self) -> None:
        self._lay_network()
        await self._start_store()
        await self._start_pods()
        load = WatchedLoad(Server(SERVICE), _settings, local_host=client_host)
        pinging = asyncio.ensure_future(load.ping(IPv4Address(WEB)))
        try:
            await self._connect(load)
            await self._look(load)
            await self._kill(load)
            await self._drain(load)
            await self._sum_up(load)
            await self._leave(load)
        finally:
            pinging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pinging
            self._stage.close()

    # --- how it is told

    async def _watch(
        self, load: WatchedLoad, seconds: float, done: Callable[[], bool] = lambda: False
    ) -> None:
        """Pods and traffic, before your eyes, until something is done or time is over."""
        end = time.monotonic() + seconds
        with Live(console=self._console, transient=True, auto_refresh=False) as live:
            while time.monotonic() < end and not done():
                live.update(await self._table(load), refresh=self._console.is_terminal)
                await asyncio.sleep(_REFRESH_SECONDS)
        self._console.print(await self._table(load))

    async def _table(self, load: WatchedLoad) -> Table:
        now = asyncio.get_running_loop().time()
        silent = sum(now - row.last > _SILENCE_SECONDS for row in load.watched.values())
        table = Table(box=None, padding=(0, 2, 0, 3), header_style="dim")
        for column in ("pod", "", "sessions", "ESP in", "ESP out"):
            table.add_column(column, justify="left" if column in ("pod", "") else "right")
        for pod in self._stage.pods:
            table.add_row(pod.name, self._states[pod.name], *await _figures(pod))
        table.add_row(
            "clients", f"{len(load.ups)} on", "", "", f"{silent} unheard" if silent else "all heard"
        )
        return table

    # --- the acts

    def _lay_network(self) -> None:
        self._say.title("A network of its own")
        began = time.monotonic()
        self._stage.lay_network()
        self._say.tell("five hosts", time.monotonic() - began, f"{self._how}, nothing to clean up")
        self._console.print(
            f"     {CLIENTS} clients ── {SERVICE} [bold]balancer[/bold] ──"
            f" [bold]pod-0, pod-1, pod-2[/bold] ── {WEB} web server",
            soft_wrap=True,
        )

    async def _start_store(self) -> None:
        self._say.title("The store: a real Valkey")
        async with self._say.waiting("starting …"):
            self._say.tell(
                "ready", await self._stage.start_store(), "soft state only, all of it sealed"
            )

    async def _start_pods(self) -> None:
        self._say.title("Three gateways: ferrule serve, with one store and a ring between them")
        async with self._say.waiting("starting …"):
            seconds = await self._stage.start_pods()
        self._stage.use(self._stage.pods)
        self._states = dict.fromkeys((pod.name for pod in self._stage.pods), "serves")
        self._say.tell("ready", seconds, "each owns a third of the shards")

    async def _connect(self, load: WatchedLoad) -> None:
        self._say.title(f"{CLIENTS} clients connect; the balancer parts UDP 500 and 4500 of each")
        async with self._say.waiting("connecting …"):
            growth = await load.grow(CLIENTS, at_once=4, most_seconds=_PATIENCE_SECONDS - 5)
        _expect(growth.up == CLIENTS, f"{growth.up} of {CLIENTS} connected: {growth.failures}")
        worst = growth.total.values[100]
        self._say.tell(
            f"{growth.up} connected", growth.seconds, f"the slowest in {spell_time(worst)}"
        )
        for number in range(3):
            ways = [self._stage.pod_at(number, port) for port in (500, 4500)]
            _expect(ways[0] != ways[1], f"both ports of {client_host(number)} are at {ways[0]}")
            self._say.tell(user(number), None, f"500 at {ways[0]}, 4500 at {ways[1]}")

    async def _look(self, load: WatchedLoad) -> None:
        self._say.title(f"Everybody pings the web server, {_PINGS_PER_SECOND:.0f} times a second")
        load.start_traffic(_PINGS_PER_SECOND)
        await self._watch(load, _CALM_SECONDS)
        rows = await load.settle()
        lost = _lost(rows)
        _expect(lost == 0, f"{lost} pings got lost while nothing happened")
        self._say.tell("none lost", None, f"of {sum(row.sent for row in rows)}")
        await self._show_cluster()

    async def _show_cluster(self) -> None:
        self._console.print("\n   [dim]$ ferrule cluster[/dim]")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ferrule.cli.main", "cluster"),
            *("--socket", str(self._stage.pods[0].admin)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"},
        )
        output, _ = await process.communicate()
        lines = [line.rstrip() for line in output.decode().splitlines()]
        _expect(process.returncode == 0, "\n".join(lines))
        for line in lines:
            self._console.print(f"   {escape(line)}", soft_wrap=True)

    async def _kill(self, load: WatchedLoad) -> None:
        victim = self._stage.pods[1]
        self._say.title(f"kill -9 of {victim.name}: others take its clients over")
        load.start_traffic(_PINGS_PER_SECOND)
        await asyncio.sleep(1.0)
        owned = await _addresses(victim)
        before = {row.address for row in load.report()}
        victim.kill()
        loop = asyncio.get_running_loop()
        died = loop.time()
        self._states[victim.name] = "[red]dead[/red]"
        noticing = asyncio.ensure_future(self._notice(victim))
        hit = [row for row in load.watched.values() if row.address in owned]
        await self._watch(load, _KILL_SECONDS, lambda: all(row.last > died + 0.5 for row in hit))
        await noticing
        rows = load.report()
        waits = sorted(
            back - died
            for row in rows
            if row.address in owned and (back := row.back(died)) is not None
        )
        self._expect_all(rows, before)
        _expect(len(owned) > 0, f"{victim.name} had no clients")
        self._say.tell(
            "taken over", None, f"{len(owned)} of {CLIENTS} clients were {victim.name}'s"
        )
        if waits:
            middle, worst = waits[len(waits) // 2], waits[-1]
            self._say.tell("median silence", middle, "from the pod's death to the first answer")
            self._say.tell("longest silence", worst)
            _expect(worst < _WORST_SECONDS, f"a client waited for {spell_time(worst)}")
        self._say.tell("nobody lost", None, "same addresses, and nobody had to log in again")
        async with self._say.waiting("starting it again …"):
            seconds = await self._stage.start_pod(victim)
        self._stage.use(self._stage.pods)
        self._states[victim.name] = "serves"
        self._say.tell("started again", seconds)

    async def _notice(self, victim: DemoGateway) -> None:
        """As Kubernetes does: a moment later no packet goes there any more."""
        await asyncio.sleep(NOTICE_SECONDS)
        others = [pod for pod in self._stage.pods if pod is not victim]
        self._stage.use(others, move=[victim])

    async def _drain(self, load: WatchedLoad) -> None:
        leaver = self._stage.pods[2]
        self._say.title(
            f"SIGTERM to {leaver.name}, as in an upgrade: it hands its clients over first"
        )
        await asyncio.sleep(_CALM_SECONDS)
        load.start_traffic(_PINGS_PER_SECOND)
        await asyncio.sleep(1.0)
        owned = await _addresses(leaver)
        before = {row.address for row in load.report()}
        others = [pod for pod in self._stage.pods if pod is not leaver]
        self._stage.use(others)
        leaver.tell_to_stop()
        self._states[leaver.name] = "[yellow]drains[/yellow]"
        began = time.monotonic()
        ending = asyncio.ensure_future(self._follow(leaver))
        await self._watch(load, _DRAIN_SECONDS, ending.done)
        await ending
        seconds = time.monotonic() - began
        await asyncio.sleep(1.0)
        rows = await load.settle()
        self._expect_all(rows, before)
        lost, longest = _lost(rows), max(row.longest() for row in rows)
        self._say.tell("gone", seconds, f"{len(owned)} clients were handed over first")
        self._say.tell("pings lost", None, f"{lost} of {sum(row.sent for row in rows)}")
        self._say.tell(
            "longest silence", None, spell_time(longest) if longest else "under half a second"
        )
        _expect(longest <= _SILENCE_SECONDS, f"a client heard nothing for {spell_time(longest)}")

    async def _follow(self, leaver: DemoGateway) -> None:
        """As Kubernetes does: flows move when it is not ready any more, or has ended."""
        others = [pod for pod in self._stage.pods if pod is not leaver]
        ending = asyncio.ensure_future(leaver.await_end(_DRAIN_SECONDS))
        while not ending.done() and await leaver.ready():
            await asyncio.wait([ending], timeout=_REFRESH_SECONDS)
        self._stage.use(others, move=[leaver])
        self._states[leaver.name] = "[yellow]relays[/yellow]"
        await ending
        self._states[leaver.name] = "[dim]gone[/dim]"

    async def _sum_up(self, load: WatchedLoad) -> None:
        self._say.title("What remains")
        load.start_traffic(_PINGS_PER_SECOND)
        await self._watch(load, _CALM_SECONDS)
        logins = ended = bugs = 0.0
        for pod in self._stage.pods[:2]:
            metrics = await pod.metrics()
            bugs += metrics["ferrule_bugs_total"]
            ended += _sum(metrics, "ferrule_sessions_ended_total")
            logins += _sum(metrics, "ferrule_auth_total")
        _expect(bugs == 0, "a gateway met a bug")
        _expect(ended == 0, f"{ended:.0f} sessions ended")
        _expect(logins <= CLIENTS, f"{logins:.0f} logins of {CLIENTS} clients")
        self._say.tell(
            "no session ended", None, f"{len(load.ups)} are on, at two gateways of three"
        )

    async def _leave(self, load: WatchedLoad) -> None:
        self._say.title("The clients say goodbye, and all stops")
        async with self._say.waiting("stopping …"):
            seconds = await load.leave()
        self._say.tell("all left", seconds)

    def _expect_all(self, rows: list[Watched], before: set[str]) -> None:
        ended = [row.ended for row in rows if row.ended]
        _expect(not ended, f"{len(ended)} sessions ended: {ended[:3]}")
        addresses = {row.address for row in rows}
        _expect(addresses == before, "an address changed")


def _settings(number: int) -> ClientSettings:
    """Behind a NAT each host calls itself by its own private address (RFC 2407 4.6.2.1)."""
    return ClientSettings(
        ike=IkePolicy(keys=(Secret(PSK.encode()),), offer_identification=f"192.168.1.{number + 5}"),
        l2tp=L2tpPolicy(host_name=f"laptop-{number}"),
        ppp=PppPolicy(name=user(number)),
        credentials=Credentials(user(number), Secret(PASSWORD.encode())),
        timeout=15.0,
    )


async def _figures(pod: DemoGateway) -> tuple[str, str, str]:
    """Sessions, ESP packets in and out; dashes for a pod that does not answer."""
    try:
        async with asyncio.timeout(0.5):
            metrics = await pod.metrics()
    except (OSError, TimeoutError, StageError):
        return "-", "-", "-"
    taken, sent = (
        metrics[f'ferrule_esp_packets_total{{direction="{way}"}}'] for way in ("in", "out")
    )
    return f"{metrics['ferrule_sessions']:.0f}", f"{taken:,.0f}", f"{sent:,.0f}"


async def _addresses(pod: DemoGateway) -> set[str]:
    """Inner addresses of the pod's sessions."""
    return {row["address"] for row in await ask(str(pod.admin), "GET", "/sessions")}


def _lost(rows: list[Watched]) -> int:
    return sum(row.sent - row.received for row in rows)


def _sum(metrics: dict[str, float], name: str) -> float:
    return sum(value for sample, value in metrics.items() if sample.split("{")[0] == name)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Wrong(otherwise)
