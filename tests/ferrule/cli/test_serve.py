"""`ferrule serve` before it serves: what is wrong is told, and no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from ferrule.cli.main import app
from support.runtime import GOOD, write


def serve(file: Path) -> Result:
    return CliRunner().invoke(app, ["serve", "--config", str(file)])


def test_a_wrong_configuration_is_told_line_by_line(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("psk:", "pks:"))
    result = serve(file)
    assert result.exit_code == 1
    assert "gateway.ipsec.pks, line 3: " in result.stderr
    assert "did you mean psk?" in result.stderr
    assert "Traceback" not in result.output


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    result = serve(tmp_path / "none.yaml")
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_what_keeps_it_from_starting_is_told(tmp_path: Path) -> None:
    """In a process of its own, for it sets up the log."""
    # An address of nobody's: RFC 5737 keeps it for documents.
    listen = "listen: {address: 203.0.113.77, http: 'off', admin: ''}\n"
    file = write(tmp_path, listen + GOOD)
    run = subprocess.run(
        [sys.executable, "-m", "ferrule.cli.main", "serve", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "ferrule: can't start: " in run.stderr
    assert "Traceback" not in run.stderr
