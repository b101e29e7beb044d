"""`ferrule serve`: run the concentrator until SIGTERM."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import structlog
import typer

from ferrule.runtime.config_problems import ConfigError
from ferrule.runtime.egress import EGRESS_ERRORS
from ferrule.runtime.server import Server, load_newest
from ferrule.telemetry.logs import configure_logging


def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The YAML file to run on.")],
) -> None:
    """Run the concentrator until SIGTERM; SIGHUP, or a changed file, reloads the configuration."""
    try:
        loaded = load_newest(config)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        raise typer.Exit(1) from error
    configure_logging(loaded.log.format, loaded.log.level)
    for warning in loaded.warnings:
        structlog.get_logger("ferrule").warning("configuration", problem=str(warning))
    try:
        asyncio.run(Server(loaded, config).run())
    except EGRESS_ERRORS as error:
        print(f"ferrule: can't start: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
