"""`ferrule probe`: a complete client of an L2TP/IPsec server, told step by step.

Runs `client.driver`; here are the arguments, the lines for people and the JSON for machines.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ferrule.client.driver import Server, resolve, run_probe
from ferrule.client.effects import Step
from ferrule.client.errands import Errand, Fetch, Ping
from ferrule.client.http import parse_url
from ferrule.client.report import STEP_TITLES, ProbeReport, StepReport, Trouble, explain
from ferrule.client.settings import ClientSettings
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Group
from ferrule.ike.policy import IkePolicy, Phase1Transform
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import METHODS, Credentials, PppPolicy
from ferrule.runtime.proposals import GROUP_WORDS, parse_phase1, parse_phase2

T = TypeVar("T")

DEFAULT_PHASE1: Final = (
    "aes256-aes128-sha256-sha1-modp2048",
    "aes256-aes128-sha256-sha1-ecp256",
    "3des-sha1-modp2048",
)
DEFAULT_PHASE2: Final = ("aes256-aes128-sha256-sha1", "aes256gcm16-aes128gcm16", "3des-sha1")
DEFAULT_AUTH: Final = ("mschapv2", "chap", "pap")

# What a line says of a step; the names are those of the step's facts.
_LINES: Final[Mapping[Step, str]] = {
    Step.PHASE1: "{suite}, the server is {identity}",
    Step.NAT: "{method}, {carrier}",
    Step.PHASE2: "{suite}, PFS {pfs}",
    Step.TUNNEL: "{server}",
    Step.CALL: "tunnel {tunnel}, session {session}",
    Step.LCP: "",
    Step.AUTH: "{method} as {user}",
    Step.IPCP: "{address}, the server is {server_address}, DNS {dns}, MTU {mtu}",
    Step.PING: "{received} of {sent} back from {destination}, {rtt_min} to {rtt_max}",
    Step.HTTP: "{status} from {address}, {octets} octets, {mbit_per_second} Mbit/s",
}


def probe(
    host: Annotated[str, typer.Argument(help="Name or address of the server.")],
    psk_file: Annotated[
        Path, typer.Option(help="File with the pre-shared key; a line end does not count.")
    ],
    user: Annotated[str, typer.Option(help="User name.")],
    password_file: Annotated[
        Path, typer.Option(help="File with the password; a line end does not count.")
    ],
    ping: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Then ping this IPv4 address through the tunnel."),
    ] = None,
    http: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Then fetch this http:// URL through the tunnel."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    timeout: Annotated[
        float, typer.Option(min=1.0, help="Seconds for the whole set-up, errands not counted.")
    ] = 30.0,
    port: Annotated[int, typer.Option(min=1, max=65535, help="IKE at the server.")] = 500,
    natt_port: Annotated[int, typer.Option(min=1, max=65535, help="Its NAT-T port.")] = 4500,
    phase1: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORDS", help="Offer in phase 1, such as aes256-sha1-modp2048; repeatable."
        ),
    ] = None,
    phase2: Annotated[
        list[str] | None,
        typer.Option(metavar="WORDS", help="Offer in phase 2, such as aes256-sha1; repeatable."),
    ] = None,
    pfs: Annotated[str, typer.Option(metavar="GROUP", help="Group of PFS in phase 2.")] = "",
    auth: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD", help="mschapv2, chap, pap or mschapv1; repeatable."),
    ] = None,
    tunnel_secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret of L2TP tunnel authentication.")
    ] = None,
) -> None:
    """Connect as a client would, and tell step by step what the server did.

    Needs neither root nor a TUN device: IKE, ESP, L2TP, PPP and what goes
    through the tunnel all run in this process, from UDP ports of its own.
    Leaves in good order, also after Ctrl-C: LCP, L2TP and IPsec are closed.

    Exit codes:
    0  connected, and every ping and fetch worked
    1  refused or failed; step, reason and likely remedy are named
    2  wrong usage
    3  no answer at all
    """
    methods = tuple(auth or DEFAULT_AUTH)
    if unknown := [method for method in methods if method not in METHODS]:
        _usage(f"unknown --auth {unknown[0]}; the methods are {', '.join(METHODS)}")
    settings = ClientSettings(
        ike=IkePolicy(
            keys=(_secret(psk_file),),
            allow_modp1024=True,  # a probe plays what it is told to; the server decides
            allow_md5=True,
            offer_phase1=tuple(
                Phase1Transform(*suite)
                for words in phase1 or DEFAULT_PHASE1
                for suite in _checked(parse_phase1, words)
            ),
            offer_phase2=tuple(
                suite
                for words in phase2 or DEFAULT_PHASE2
                for suite in _checked(parse_phase2, words)
            ),
            offer_pfs=_group(pfs),
        ),
        l2tp=L2tpPolicy(
            host_name="ferrule-probe",
            tunnel_secret=None if tunnel_secret_file is None else _secret(tunnel_secret_file),
        ),
        ppp=PppPolicy(auth=methods, name=user),
        credentials=Credentials(user, _secret(password_file)),
        timeout=timeout,
    )
    errands: list[Errand] = [Ping(_checked(IPv4Address, to), os.urandom) for to in ping or ()]
    errands += [Fetch(_checked(parse_url, url), os.urandom) for url in http or ()]
    try:
        server = Server(resolve(host), port, natt_port)
    except OSError as error:
        _usage(f"{host}: {error.strerror or error}")
    console = Console(highlight=False, quiet=as_json)
    console.print(
        f"Probing [bold]{escape(host)}[/bold] ({server.host}), UDP ports {port} and {natt_port}"
    )
    raise typer.Exit(_run(server, settings, errands, console, as_json))


def _run(
    server: Server,
    settings: ClientSettings,
    errands: list[Errand],
    console: Console,
    as_json: bool,
) -> int:
    with _spinner(console) as status:

        def watch(news: StepReport | Trouble) -> None:
            if isinstance(news, Trouble):
                _print_trouble(console, news)
            else:
                _print_step(console, news)
                status.update(_following(news.step))

        try:
            report = asyncio.run(run_probe(server, settings, errands, watch))
        except OSError as error:
            _usage(f"no way to {server.host}: {error.strerror or error}")
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        _print_end(console, report)
    return int(report.outcome)


# --- arguments


def _usage(why: str) -> NoReturn:
    raise typer.BadParameter(why)


def _checked(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        _usage(str(error))


def _group(word: str) -> Group | None:
    if not word:
        return None
    group = GROUP_WORDS.get(word.lower())
    if group is None:
        _usage(f"unknown --pfs {word}; the groups are {', '.join(GROUP_WORDS)}")
    return group


def _secret(path: Path) -> Secret:
    try:
        octets = path.read_bytes()
    except OSError as error:
        _usage(f"{path}: {error.strerror}")
    secret = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        _usage(f"{path}: the file is empty")
    return Secret(secret)


# --- lines


def _spinner(console: Console) -> AbstractContextManager[Status]:
    return console.status(_following(None))


def _following(step: Step | None) -> str:
    """What is awaited once `step` is done."""
    order = list(STEP_TITLES)
    at = 0 if step is None else order.index(step) + 1
    return f"{STEP_TITLES[order[at]]} …" if at < len(order) else "leaving …"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _line(step: StepReport) -> str:
    facts = {
        name: value
        if isinstance(value, str | int)
        else f"{value:.1f}"
        if name == "mbit_per_second"
        else f"{value * 1000:.1f} ms"
        for name, value in step.facts.items()
    }
    return _LINES[step.step].format_map(facts)


def _print_step(console: Console, step: StepReport) -> None:
    title = f"{STEP_TITLES[step.step]:<15}"
    console.print(
        f" [green]✓[/green] {title}{_time(step.seconds):>8}  [dim]{escape(_line(step))}[/dim]",
        soft_wrap=True,
    )


def _print_trouble(console: Console, trouble: Trouble) -> None:
    summary, remedy = explain(trouble.reason)
    rows = {"detail": trouble.detail, "reason": trouble.reason.value, "remedy": remedy}
    console.print(
        f" [red]✗[/red] {STEP_TITLES[trouble.step]:<15}{'':>8}  [bold]{escape(summary)}[/bold]",
        soft_wrap=True,
    )
    for name, text in rows.items():
        if text:
            console.print(f"   [dim]{name:<8}[/dim]{escape(text)}", soft_wrap=True)


def _print_end(console: Console, report: ProbeReport) -> None:
    if report.seconds is not None:
        verdict = "[green]Connected[/green]" if report.trouble is None else "Connected"
        console.print(f"{verdict} in {report.seconds:.3f} s.")
