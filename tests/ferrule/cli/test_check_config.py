from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from ferrule import __version__
from ferrule.cli.main import app
from support.runtime import GOOD, write

runner = CliRunner()


def test_a_good_file_is_silent_on_standard_output(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD)
    result = runner.invoke(app, ["check-config", str(file)])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == f"{file}: good\n"


def test_errors_look_like_a_compilers(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("10.20.0.0/24", "10.20.0.0/33") + "lgo: {}\n")
    result = runner.invoke(app, ["check-config", str(file)])
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{file}:6: error: gateway.pools[0].cidr: '10.20.0.0/33' is not")
    assert second.startswith(f"{file}:10: error: lgo: there is no such field; did you mean log?")
    assert all(re.match(r"[^:]+:\d+: (error|warning): ", line) for line in (first, second))


def test_warnings_are_printed_and_count_only_when_strict(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("a-long-and-random-key", "short"))
    result = runner.invoke(app, ["check-config", str(file)])
    assert result.exit_code == 0
    assert f"{file}:3: warning: gateway.ipsec.psk: shorter than 12" in result.stdout
    assert "no errors" in result.stderr
    assert runner.invoke(app, ["check-config", "--strict", str(file)]).exit_code == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = runner.invoke(app, ["check-config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "cannot be read: No such file" in result.stdout


def test_version_and_help() -> None:
    assert runner.invoke(app, ["--version"]).stdout == f"ferrule {__version__}\n"
    shown = runner.invoke(app, []).output
    assert "check-config" in shown
    assert "hash-password" in shown
