"""The tests mirror the packages: a module with code has a test file of its name, or a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "concentrator" / "ferrule"
TESTS = ROOT / "tests" / "ferrule"

# Modules that are a part of another one's test, with the file where that is.
ELSEWHERE: dict[str, str] = {
    "cli.demo_cluster": "../cluster/test_demo.py",
    "gateway.call": "gateway/test_gateway.py",
    "gateway.client": "gateway/test_gateway.py",
    "gateway.deeds": "runtime/test_driver.py",
    "gateway.settings": "gateway/test_gateway.py",
    "l2tp.authentication": "l2tp/test_tunnel.py",
    "l2tp.calls": "l2tp/test_endpoint.py",
    "l2tp.identifiers": "l2tp/test_endpoint.py",
    "l2tp.policy": "l2tp/test_endpoint.py",
    "runtime.config_accounts": "runtime/test_config.py",
    "runtime.config_checks": "runtime/test_config.py",
    "runtime.config_problems": "runtime/test_config.py",
    "runtime.egress": "runtime/test_server.py",
    "runtime.gateway_spec": "runtime/test_config.py",
    "runtime.report": "runtime/test_server.py",
    "store.interface": "../stores/test_store_interface.py",
    "store.valkey": "../stores/test_store_valkey.py",
}


def modules() -> Iterator[Path]:
    """Modules that define a function; plain vocabulary (dataclasses, enums, tables) needs none."""
    for path in sorted(PACKAGE.glob("*/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
            yield path


def name_of(path: Path) -> str:
    return f"{path.parent.name}.{path.stem}"


@pytest.mark.parametrize("path", list(modules()), ids=name_of)
def test_has_tests(path: Path) -> None:
    own = list((TESTS / path.parent.name).glob(f"test_{path.stem}*.py"))
    elsewhere = ELSEWHERE.get(name_of(path))
    if elsewhere is None:
        assert own, f"no tests/ferrule/{path.parent.name}/test_{path.stem}*.py"
    else:
        assert own or (TESTS / elsewhere).exists()


def test_nothing_is_excused_that_is_not_there() -> None:
    assert set(ELSEWHERE) <= {name_of(path) for path in modules()}
