"""Each module of the operator has tests: a file of its name, or one that is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parents[1] / "operator" / "ferrule_operator"
ELSEWHERE = {
    "kinds": "test_api.py",
    "logs": "../kubernetes/test_operator.py",
    "main": "../kubernetes/test_operator.py",
    "names": "manifests/test_golden.py",
    "pods": "test_status.py",
    "rendering": "test_plan.py",
    "watches": "../kubernetes/test_operator_faults.py",
    "manifests.child": "manifests/test_golden.py",
    "manifests.disruption_budget": "manifests/test_golden.py",
    "manifests.network_policy": "manifests/test_golden.py",
    "manifests.secrets": "manifests/test_golden.py",
    "manifests.service_account": "manifests/test_golden.py",
    "manifests.services": "manifests/test_golden.py",
    "manifests.stateful_set": "manifests/test_pod_security.py",
    "models.pods": "models/test_definitions.py",
    "models.rules": "../kubernetes/test_definitions.py",
}


def modules() -> Iterator[Path]:
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)):
            yield path


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


@pytest.mark.parametrize("path", list(modules()), ids=name_of)
def test_has_tests(path: Path) -> None:
    name = name_of(path)
    if name in ELSEWHERE:
        assert (TESTS / ELSEWHERE[name]).exists()
    else:
        folder = path.parent.relative_to(PACKAGE)
        assert list((TESTS / folder).glob(f"test_{path.stem}*.py")), f"no test of {name}"


def test_nothing_is_excused_that_is_not_there() -> None:
    assert set(ELSEWHERE) <= {name_of(path) for path in modules()}
