"""`ferrule hash-password`: turns a password into what stands at a user's `verifier`."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, NoReturn

import typer

from ferrule.accounts.verifiers import build_verifier


def hash_password(
    nt: Annotated[
        bool, typer.Option("--nt", help="The NT hash: for MS-CHAP and PAP. The default.")
    ] = False,
    scrypt: Annotated[
        bool, typer.Option("--scrypt", help="scrypt: only for PAP, and the best protected.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Clear text: for every method, CHAP too.")
    ] = False,
) -> None:
    """Print the verifier of a password, which is typed twice, or comes on standard input.

    Several forms may be asked for at once. The NT hash protects against a glance only: MS-CHAP
    takes it in place of the password.
    """
    wanted = {"nt": nt, "scrypt": scrypt, "plain": plain}
    forms = tuple(name for name, on in wanted.items() if on) or ("nt",)
    try:
        password = _read_password()
        if not password:
            raise ValueError("the password is empty")
        print(build_verifier(password, forms, secrets.token_bytes))
    except UnicodeError:
        _refuse("the password is not UTF-8 text")
    except ValueError as error:
        _refuse(str(error))


def _refuse(why: str) -> NoReturn:
    print(f"ferrule: {why}", file=sys.stderr)
    raise typer.Exit(1)


def _read_password() -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
