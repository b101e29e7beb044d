"""The command itself: its version, its commands, what it says to nonsense."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from ferrule import __version__
from ferrule.cli.main import app

COMMANDS = {
    "serve",
    "probe",
    "status",
    "init-tun",
    "sessions",
    "cluster",
    "kick",
    "check-config",
    "hash-password",
    "demo",
    "demo-cluster",
}


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"ferrule {__version__}\n")


def test_every_command_is_there() -> None:
    named = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in app.registered_commands
        if command.callback is not None
    }
    assert named == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_nonsense_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2
