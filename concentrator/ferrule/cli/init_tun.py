"""`ferrule init-tun`: prepare TUN, routes and nft table for a `ferrule serve` without privilege."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ferrule.runtime.init_tun import OWNER, InitError, leave_message
from ferrule.runtime.init_tun import init_tun as prepare
from ferrule.telemetry.logs import configure_logging


def init_tun(
    config: Annotated[Path, typer.Option("--config", "-c", help="The file of ferrule serve.")],
    owner: Annotated[
        int, typer.Option(min=0, help="The uid that ferrule serve will run as.")
    ] = OWNER,
    message_file: Annotated[
        Path, typer.Option(help="Where the cause of a failure is left as well, if it exists.")
    ] = Path("/dev/termination-log"),
) -> None:
    """Make the TUN device, its routes and the nft table, for a ferrule serve without privilege.

    Takes uid 0 with CAP_NET_ADMIN, and CAP_MKNOD where /dev/net/tun is missing. Run it before
    `ferrule serve` with `listen.prepared: true`; running it again does no harm.
    """
    configure_logging("auto", "info")
    try:
        loaded = prepare(config, owner)
    except InitError as error:
        print(f"ferrule init-tun: {error}", file=sys.stderr)
        leave_message(message_file, str(error))
        raise typer.Exit(1) from error
    if not loaded.listen.prepared:
        print(
            "ferrule init-tun: listen.prepared is not true: ferrule serve will want to do all of "
            "this itself, and the privilege for it",
            file=sys.stderr,
        )
