from __future__ import annotations

import io

import pytest
from typer.testing import CliRunner

from ferrule.accounts.verifiers import parse_verifier, verify
from ferrule.cli import hash_password
from ferrule.cli.main import app
from ferrule.core.credentials import Accepted
from support.accounts import METHODS, nt_text, proof

runner = CliRunner()


@pytest.mark.parametrize(
    ("options", "serves"),
    [
        ([], {"pap", "mschapv1", "mschapv2"}),
        (["--nt"], {"pap", "mschapv1", "mschapv2"}),
        (["--scrypt"], {"pap"}),
        (["--nt", "--scrypt"], {"pap", "mschapv1", "mschapv2"}),
        (["--plain"], set(METHODS)),
        (["--plain", "--nt", "--scrypt"], set(METHODS)),
    ],
)
@pytest.mark.parametrize("typed", ["secret\n", "secret", "secret\r\n", "secret\nmore\n"])
def test_what_it_prints_verifies(options: list[str], serves: set[str], typed: str) -> None:
    result = runner.invoke(app, ["hash-password", *options], input=typed)
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    verifier = parse_verifier(result.stdout.removesuffix("\n"))
    accepted = {
        m for m in METHODS if isinstance(verify(proof(m, "u", "secret"), verifier), Accepted)
    }
    assert accepted == serves


def test_salts_differ() -> None:
    printed = {runner.invoke(app, ["hash-password", "--scrypt"], input="x").stdout for _ in "ab"}
    assert len(printed) == 2


@pytest.mark.parametrize(
    ("typed", "says"), [("", "empty"), ("\n", "empty"), (b"\xff\xfe\n", "not UTF-8")]
)
def test_refusals(typed: str | bytes, says: str) -> None:
    result = runner.invoke(app, ["hash-password"], input=typed)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert says in result.stderr


def test_a_person_types_twice_and_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked: dict[str, object] = {}

    def prompt(text: str, **options: object) -> str:
        asked.update(options, text=text)
        return "secret"

    printed: list[str] = []
    monkeypatch.setattr(hash_password.sys, "stdin", Keyboard())
    monkeypatch.setattr(hash_password.typer, "prompt", prompt)
    monkeypatch.setattr("builtins.print", printed.append)
    hash_password.hash_password(nt=True, scrypt=False, plain=False)
    assert printed == [nt_text("secret")]
    assert asked == {
        "text": "Password",
        "hide_input": True,
        "confirmation_prompt": True,
        "err": True,
    }
