"""`ferrule demo`: a gateway, two clients and a web server in namespaces of their own, end to end.

Every line that it prints was measured; if anything fails, the exit code is not 0. What it plays
on stands in `runtime.demo_stage`, the clients in `demo_client`; here is the play.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from ipaddress import IPv4Address
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ferrule.cli.demo_client import ClientError, DemoClient
from ferrule.cli.teller import Teller, spell_time
from ferrule.client.driver import Server
from ferrule.client.effects import Step, StepDone
from ferrule.client.errands import ErrandDone, Fetch, Ping
from ferrule.client.http import parse_url
from ferrule.client.report import STEP_TITLES, explain
from ferrule.client.settings import ClientSettings
from ferrule.core.reasons import Reason, info
from ferrule.core.secret import Secret
from ferrule.ike.policy import IkePolicy
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.demo_gateway import StageError
from ferrule.runtime.demo_net import DemoNetError, enter_own_network
from ferrule.runtime.demo_stage import (
    CLIENT,
    GATEWAY,
    PSK,
    USERS,
    WEB,
    WEB_PORT,
    Stage,
)

_FIRST_OCTETS: Final = 256 * 1024  # of the download that has to come whole
_ENDLESS_OCTETS: Final = 1 << 30  # of the one that is broken off
_PATIENCE_SECONDS: Final = 30.0  # for what should take one
# Behind a NAT each host calls itself by its own private address (RFC 2407 4.6.2.1).
_HOSTS: Final = {"alice": "192.168.1.5", "bob": "192.168.1.6", "stranger": "192.168.1.7"}
_METRICS: Final = (
    "ferrule_sessions",
    'ferrule_setups_total{outcome="up"}',
    'ferrule_setups_total{outcome="failed"}',
    'ferrule_failures_total{stage="auth",reason="wrong_password"}',
    'ferrule_sessions_ended_total{reason="user_removed"}',
    'ferrule_traffic_bytes_total{direction="up"}',
    'ferrule_traffic_bytes_total{direction="down"}',
    'ferrule_esp_packets_total{direction="in"}',
    'ferrule_esp_packets_total{direction="out"}',
    "process_resident_memory_bytes",
)


class _Wrong(Exception):
    """Something went otherwise than the demo says it does."""


def demo(
    seconds: Annotated[
        float, typer.Option(min=1.0, max=60.0, help="How long the download should take.")
    ] = 4.0,
) -> None:
    """Show everything at once: a gateway and clients in network namespaces of their own.

    Needs no configuration and leaves nothing behind. Runs as root, or as anybody where the system
    lets users have namespaces.
    """
    console = Console(highlight=False)
    began = time.monotonic()
    try:
        how = enter_own_network()
        with Stage() as stage:
            try:
                asyncio.run(_Play(console, stage, how, seconds).run())
            except (ClientError, StageError, _Wrong, TimeoutError) as error:
                _print_failure(console, error, stage)
                raise typer.Exit(1) from error
    except DemoNetError as error:
        console.print(f"[red]✗[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(
        f"\n[bold green]All of it worked[/bold green], in {time.monotonic() - began:.1f} s; "
        "nothing is left behind.\n"
        "Next: examples/gateway.yaml is a whole configuration; docs/connect.md is for clients.",
        soft_wrap=True,
    )


def _print_failure(console: Console, error: Exception, stage: Stage) -> None:
    text = str(error) or "it took too long"
    console.print(f"\n[bold red]✗ The demo failed:[/bold red] {escape(text)}", soft_wrap=True)
    if isinstance(error, ClientError):
        summary, remedy = explain(error.trouble.reason)
        console.print(f"  {escape(summary)}\n  {escape(remedy)}", soft_wrap=True)
    if not isinstance(error, StageError) and (log := stage.gateway.log_end()):
        console.print(f"[dim]The end of the gateway's log:\n{escape(log)}[/dim]", soft_wrap=True)


class _Play:
    """The acts, in their order."""

    def __init__(self, console: Console, stage: Stage, how: str, seconds: float) -> None:
        self._console = console
        self._say = Teller(console, width=15, patience=_PATIENCE_SECONDS)
        self._stage = stage
        self._how = how
        self._seconds = seconds

    async def run(self) -> None:
        self._lay_network()
        await self._start_gateway()
        alice = await self._connect_alice()
        await self._ping(alice)
        await self._download(alice)
        bob = await self._connect_bob(alice)
        await self._refuse()
        await self._show_sessions()
        await self._disable(alice, bob)
        await self._show_metrics()
        await self._stop(alice, bob)

    # --- the acts

    def _lay_network(self) -> None:
        self._say.title("A network of its own")
        began = time.monotonic()
        self._stage.lay_network()
        self._say.tell("three hosts", time.monotonic() - began, f"{self._how}, nothing to clean up")
        self._console.print(
            f"     client {CLIENT} ── {GATEWAY} [bold]gateway[/bold] ── {WEB} web server",
        )

    async def _start_gateway(self) -> None:
        self._say.title("The gateway: ferrule serve, on its defaults")
        async with self._say.waiting("starting …"):
            seconds = await self._stage.start_gateway()
        egress = "masquerade by nftables" if self._stage.snat else "routed (no nft program here)"
        self._say.tell("ready", seconds, f"IKE on UDP 500 and 4500, {egress}")

    async def _connect_alice(self) -> DemoClient:
        self._say.title("alice connects, with a client that runs in user space too")
        async with self._say.waiting("IKE phase 1 …") as update:

            def watch(done: StepDone) -> None:
                self._say.tell(STEP_TITLES[done.step], done.seconds, _facts(done))
                update(_following(done.step))

            client = DemoClient(_SERVER, _settings("alice"), watch)
            connected = await client.connect()
        self._say.tell("connected", connected.seconds, f"as {connected.network.address}")
        return client

    async def _ping(self, client: DemoClient) -> None:
        self._say.title(f"A ping through the tunnel, to the web server {WEB}")
        async with self._say.waiting("ping …"):
            done = await client.carry_out(Ping(IPv4Address(WEB), os.urandom, 5))
        low, high = float(done.facts["rtt_min"]), float(done.facts["rtt_max"])
        self._say.tell(
            "answered",
            low,
            f"{done.facts['received']} of {done.facts['sent']},"
            f" {spell_time(low)} to {spell_time(high)}",
        )
        _expect(done.facts["received"] == done.facts["sent"], "a ping got lost")

    async def _download(self, client: DemoClient) -> None:
        self._say.title("A download through the tunnel: TCP, IPsec and L2TP, all of it in Python")
        done = await _fetch(client, _FIRST_OCTETS)
        self._say.tell("whole", done.seconds, f"{_FIRST_OCTETS // 1024} kB, every octet of it")
        progress = Progress(
            TextColumn("   "),
            BarColumn(40),
            TextColumn("{task.fields[rate]:>5.1f} Mbit/s"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        fetching = asyncio.ensure_future(_fetch(client, _ENDLESS_OCTETS))
        began, before = time.monotonic(), client.octets_received
        with progress:
            task = progress.add_task("", total=self._seconds, rate=0.0)
            while (elapsed := time.monotonic() - began) < self._seconds and not fetching.done():
                rate = (client.octets_received - before) * 8e-6 / max(elapsed, 0.1)
                progress.update(task, completed=elapsed, rate=rate)
                await asyncio.wait([fetching], timeout=0.1)
        octets, seconds = client.octets_received - before, time.monotonic() - began
        fetching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await fetching
        self._say.tell(
            f"{octets * 8e-6 / seconds:.1f} Mbit/s",
            seconds,
            f"{octets / 1e6:.1f} MB, one core for the gateway and one for the client",
        )

    async def _connect_bob(self, alice: DemoClient) -> DemoClient:
        self._say.title("bob connects from the same address: two clients behind one NAT")
        async with self._say.waiting("connecting …"):
            bob = DemoClient(_SERVER, _settings("bob"), lambda _: None)
            connected = await bob.connect()
            self._say.tell("connected", connected.seconds, f"as {connected.network.address}")
            for name, client in (("alice", alice), ("bob", bob)):
                done = await client.carry_out(Ping(IPv4Address(WEB), os.urandom, 3))
                self._say.tell(
                    f"{name}'s ping", float(done.facts["rtt_min"]), f"from {client.local}"
                )
        return bob

    async def _refuse(self) -> None:
        self._say.title("A wrong password is refused at once, by name")
        client = DemoClient(
            _SERVER, _settings("stranger", ("alice", "not her password")), lambda _: None
        )
        began = time.monotonic()
        async with self._say.waiting("connecting …"):
            try:
                await client.connect()
            except ClientError as error:
                trouble = error.trouble
            else:
                raise _Wrong("a wrong password was accepted")
            finally:
                await client.close()
        _expect(trouble.step is Step.AUTH, f"refused at {trouble.step}, not at the login")
        summary, _ = explain(trouble.reason)
        self._say.tell(
            "refused", time.monotonic() - began, f"stage {trouble.step.value}: {summary}"
        )

    async def _show_sessions(self) -> None:
        self._say.title("Who is on?  $ ferrule sessions")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ferrule.cli.main",
            "sessions",
            "--socket",
            str(self._stage.gateway.admin),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
        )
        output, _ = await process.communicate()
        lines = [line.rstrip() for line in output.decode().splitlines()]
        _expect(process.returncode == 0, "\n".join(lines))
        for line in lines:
            self._console.print(f"   {escape(line)}", soft_wrap=True)
        users = [line.split()[1] for line in lines[1:] if line]
        _expect(sorted(users) == sorted(USERS), f"expected {sorted(USERS)}, saw {sorted(users)}")

    async def _disable(self, alice: DemoClient, bob: DemoClient) -> None:
        self._say.title(
            "alice is disabled in the configuration file, which is loaded as it changes"
        )
        began = time.monotonic()
        self._stage.write_config(disabled=["alice"])
        async with self._say.waiting("the file is noticed within two seconds …"):
            await alice.ended
            seconds = time.monotonic() - began
            metrics = await self._stage.gateway.metrics()
            ended = metrics.get(f'ferrule_sessions_ended_total{{reason="{Reason.USER_REMOVED}"}}')
            _expect(ended == 1, "the gateway did not count alice's session as ended by us")
            self._say.tell("alice is off", seconds, info(Reason.USER_REMOVED).summary)
            done = await bob.carry_out(Ping(IPv4Address(WEB), os.urandom, 3))
        self._say.tell("bob is not", float(done.facts["rtt_min"]), "his ping goes on")

    async def _show_metrics(self) -> None:
        self._say.title("What Prometheus sees: /metrics, a few of them")
        metrics = await self._stage.gateway.metrics()
        for name in _METRICS:
            if name in metrics:
                self._console.print(f"   {metrics[name]:>12,.0f}  {escape(name)}", soft_wrap=True)
        setups = metrics['ferrule_setups_total{outcome="up"}']
        _expect(setups == len(USERS), f"{setups:.0f} set-ups were counted")
        _expect(metrics["ferrule_bugs_total"] == 0, "the gateway met a bug")

    async def _stop(self, alice: DemoClient, bob: DemoClient) -> None:
        self._say.title("SIGTERM: the gateway says goodbye to its clients")
        began = time.monotonic()
        async with self._say.waiting("stopping …"):
            stopping = asyncio.ensure_future(self._stage.stop_gateway())
            await bob.ended
            self._say.tell("bob was told", time.monotonic() - began)
            await stopping
            self._say.tell("stopped", time.monotonic() - began, "exit code 0")
            for client in (alice, bob):
                await client.close()


_SERVER: Final = Server(GATEWAY)


def _settings(host: str, login: tuple[str, str] | None = None) -> ClientSettings:
    """Of the client on `host`, who logs in as the user of that name, or with `login`."""
    user, password = login or (host, USERS[host])
    return ClientSettings(
        ike=IkePolicy(keys=(Secret(PSK.encode()),), offer_identification=_HOSTS[host]),
        l2tp=L2tpPolicy(host_name=f"{host}s-laptop"),
        ppp=PppPolicy(name=user),
        credentials=Credentials(user, Secret(password.encode())),
        timeout=15.0,
    )


async def _fetch(client: DemoClient, octets: int) -> ErrandDone:
    url = parse_url(f"http://{WEB}:{WEB_PORT}/{octets}")
    done = await client.carry_out(Fetch(url, os.urandom))
    _expect(done.facts["octets"] == octets, f"{done.facts['octets']} octets came, not {octets}")
    return done


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Wrong(otherwise)


def _following(step: Step) -> str:
    order = list(STEP_TITLES)
    at = order.index(step) + 1
    return f"{STEP_TITLES[order[at]]} …"


def _facts(done: StepDone) -> str:
    shown = ("suite", "carrier", "server", "method", "address", "mtu")
    return ", ".join(str(done.facts[name]) for name in shown if done.facts.get(name))
