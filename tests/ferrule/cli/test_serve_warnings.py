"""`ferrule serve`: warnings of the configuration go where the operator's tools look."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from ferrule.cli import serve
from ferrule.cli.main import app

FILE = """
gateway:
  ipsec: {psk: a-long-random-secret}
  pools: [{name: default, cidr: 10.20.0.0/24}]
log: {format: json}
users: [{username: ada, password: Notes.on.the.engine, validUntil: 2020-02-29}]
"""


class Idle:
    """A server that ends at once."""

    def __init__(self, *_: object) -> None: ...

    async def run(self) -> None: ...


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_warnings_of_the_configuration_are_lines_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "Server", Idle)
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE)
    result = CliRunner().invoke(app, ["serve", "--config", str(file)])
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    (warning,) = [line for line in lines if line["level"] == "warning"]
    assert "validUntil" in warning["problem"]
