"""`ferrule check-config FILE`: tells what is wrong with a configuration, as a compiler would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ferrule.runtime.config import load
from ferrule.runtime.config_problems import ConfigError, Problem


def check_config(
    file: Annotated[Path, typer.Argument(help="The YAML file.", metavar="FILE")],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors too.")] = False,
) -> None:
    """Check a configuration without using it.

    Prints one line a problem, FILE:LINE: error: FIELD: what is wrong and what to write, and exits
    with 1 if there are errors. Files that it names (secrets, users) are read too.
    """
    try:
        config = load(file)
    except ConfigError as error:
        _print(error.problems)
        raise typer.Exit(1) from None
    _print(config.warnings)
    print(f"{file}: {'no errors' if config.warnings else 'good'}", file=sys.stderr)
    if strict and config.warnings:
        raise typer.Exit(1)


def _print(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        print(problem.compiler_style())
