"""Builders for tests of the configuration: a small good file, and changes to it."""

from __future__ import annotations

from pathlib import Path

from ferrule.runtime.config import Config, load
from ferrule.runtime.config_problems import ConfigError, Problem

GOOD = """\
gateway:
  ipsec:
    psk: a-long-and-random-key
  pools:
    - name: default
      cidr: 10.20.0.0/24
users:
  - username: alice
    password: correct horse
"""


def write(folder: Path, text: str, name: str = "gateway.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def loaded(folder: Path, text: str = GOOD) -> Config:
    return load(write(folder, text))


def problems_of(folder: Path, text: str) -> tuple[Problem, ...]:
    """Errors and warnings, whether or not it loads."""
    try:
        return loaded(folder, text).warnings
    except ConfigError as error:
        return error.problems
