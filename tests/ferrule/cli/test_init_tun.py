"""`ferrule init-tun` as it is typed: what it says, where it leaves it, how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ferrule.cli import init_tun as module
from ferrule.cli.main import app
from ferrule.runtime.config import Config
from ferrule.runtime.init_tun import OWNER, InitError
from support.runtime import GOOD, loaded, write

PREPARED = "listen: {prepared: true}\n" + GOOD


@pytest.fixture(autouse=True)
def _no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is the process's, which is the tests' here."""
    monkeypatch.setattr(module, "configure_logging", lambda *_: None)


def run(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["init-tun", "--config", str(file), *arguments])


@pytest.mark.parametrize(("text", "says"), [(PREPARED, ""), (GOOD, "listen.prepared is not true")])
def test_it_prepares_for_the_owner(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Path, int]] = []

    def prepare(file: Path, owner: int) -> Config:
        calls.append((file, owner))
        return loaded(tmp_path, text)

    monkeypatch.setattr(module, "prepare", prepare)
    file = write(tmp_path, text)
    for arguments in ([], ["--owner", "1000"]):
        result = run(file, *arguments)
        assert result.exit_code == 0
        assert says in result.stderr
        assert bool(result.stderr) == bool(says)
    assert calls == [(file, OWNER), (file, 1000)]


def test_a_failure_is_said_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(file: Path, owner: int) -> Config:
        raise InitError("TunNodeDenied", "keeps it away")

    monkeypatch.setattr(module, "prepare", prepare)
    message = tmp_path / "message"
    message.touch()
    result = run(write(tmp_path, PREPARED), "--message-file", str(message))
    assert result.exit_code == 1
    assert result.stderr == "ferrule init-tun: TunNodeDenied: keeps it away\n"
    assert message.read_text() == "TunNodeDenied: keeps it away"


def test_a_wrong_configuration_is_told_and_no_file_is_made(tmp_path: Path) -> None:
    message = tmp_path / "message"
    file = write(tmp_path, GOOD.replace("psk:", "pks:"))
    result = run(file, "--message-file", str(message))
    assert result.exit_code == 1
    assert result.stderr.startswith("ferrule init-tun: ConfigInvalid: ")
    assert "did you mean psk?" in result.stderr
    assert not message.exists()
