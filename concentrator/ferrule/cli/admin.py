"""`ferrule status`, `ferrule sessions`, `ferrule kick`: ask a running concentrator."""

from __future__ import annotations

import asyncio
import json
import sys
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
