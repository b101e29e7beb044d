"""`ferrule status`, `ferrule sessions`, `ferrule cluster`, `ferrule kick`: ask a running one."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ferrule.runtime.admin import AdminError, ask

_Socket = Annotated[
    str, typer.Option("--socket", envvar="FERRULE_ADMIN", help="The admin socket's path.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEFAULT_SOCKET = "/run/ferrule/admin.sock"
_PIPE_WIDTH = 240  # characters


def status(socket: _Socket = DEFAULT_SOCKET, as_json: _Json = False) -> None:
    """How the concentrator is."""
    answer = _ask(socket, "GET", "/status")
    if as_json:
        print(json.dumps(answer))
        return
    for name, value in answer.items():
        print(f"{name.replace('_', ' '):24} {_text(value)}")


def sessions(socket: _Socket = DEFAULT_SOCKET, as_json: _Json = False) -> None:
    """Who is on."""
    rows = _ask(socket, "GET", "/sessions")
    if as_json:
        print(json.dumps(rows))
        return
    table = Table(box=None, header_style="bold")
    for column in ("SESSION", "USER", "ADDRESS", "FROM", "STATE", "FOR", "UP", "DOWN"):
        table.add_column(column, no_wrap=True)
    table.add_column("CLIENT", overflow="fold")
    for row in rows:
        table.add_row(
            row["session"],
            row["user"] or "-",
            row["address"] or "-",
            row["peer"],
            row["state"],
            _duration(row["seconds"]),
            _octets(row["octets_up"]),
            _octets(row["octets_down"]),
            row["client"],
        )
    # Into a pipe nothing is shortened: other programs read it.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def cluster(socket: _Socket = DEFAULT_SOCKET, as_json: _Json = False) -> None:
    """The replicas that share the sessions, as one of them sees them."""
    answer = _ask(socket, "GET", "/cluster")
    if as_json:
        print(json.dumps(answer))
        return
    store = answer["store"]
    relayed = answer["relayed"]
    for name, value in (
        ("member", answer["member"]),
        ("standing", f"{answer['standing']}" + (f" ({answer['why']})" if answer["why"] else "")),
        ("epoch", answer["epoch"]),
        ("store", "answers" if store["up"] else f"away: {store['why']}"),
        ("shards", f"{answer['shards']} served, {answer['shards_coming']} coming"),
        ("relay share", f"{answer['relay_share']:.1%} of the ESP packets of the last minute"),
        ("relayed", _text({name.replace(" ", "/"): n for name, n in relayed.items() if n}) or "0"),
        ("clients moved", _text(answer["clients"])),
        ("check-points", answer["checkpoints"]),
    ):
        print(f"{name:16} {value}")
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    members = Table(box=None, header_style="bold")
    for column in ("MEMBER", "RING", "STATE", "SHARDS", "SESSIONS"):
        members.add_column(column, no_wrap=True)
    for row in answer["members"]:
        members.add_row(
            row["name"], row["address"], row["state"], str(row["shards"]), str(row["sessions"])
        )
    console.print(members)
    if answer["take_overs"]:
        taken = Table(box=None, header_style="bold")
        for column in ("TAKEN OVER AT", "SHARDS", "CLIENTS", "SECONDS"):
            taken.add_column(column, no_wrap=True)
        for row in answer["take_overs"]:
            at = datetime.fromtimestamp(row["at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            taken.add_row(at, str(row["shards"]), str(row["clients"]), f"{row['seconds']:.3f}")
        console.print(taken)


def kick(
    session: Annotated[str, typer.Argument(help="A session as `ferrule sessions` shows it.")] = "",
    user: Annotated[str, typer.Option("--user", help="All sessions of this user.")] = "",
    everyone: Annotated[bool, typer.Option("--all", help="All sessions.")] = False,
    socket: _Socket = DEFAULT_SOCKET,
) -> None:
    """End sessions; each client is told."""
    wish = {"session": session, "user": user, "all": everyone}
    ended = _ask(socket, "POST", "/kick", wish)["ended"]
    print(f"{ended} session{'' if ended == 1 else 's'} ended")
    if not ended:
        raise typer.Exit(1)


def _ask(socket: str, method: str, what: str, wish: dict[str, Any] | None = None) -> Any:
    try:
        return asyncio.run(ask(socket, method, what, wish))
    except AdminError as error:
        print(f"ferrule: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{name}={item}" for name, item in value.items())
    return str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def _octets(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
