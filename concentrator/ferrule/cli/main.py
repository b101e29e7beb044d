"""The command `ferrule`: puts the commands of this package together."""

from __future__ import annotations

from typing import Annotated

import typer

from ferrule import __version__
from ferrule.cli.admin import cluster, kick, sessions, status
from ferrule.cli.check_config import check_config
from ferrule.cli.demo import demo
from ferrule.cli.demo_cluster import demo_cluster
from ferrule.cli.hash_password import hash_password
from ferrule.cli.init_tun import init_tun
from ferrule.cli.probe import probe
from ferrule.cli.serve import serve

app = typer.Typer(
    name="ferrule",
    help="A user-space L2TP/IPsec concentrator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print variables, and some hold secrets
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ferrule {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


for command in (
    serve,
    init_tun,
    probe,
    status,
    sessions,
    cluster,
    kick,
    check_config,
    hash_password,
    demo,
    demo_cluster,
):
    app.command()(command)

if __name__ == "__main__":
    app()
