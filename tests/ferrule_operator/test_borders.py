"""The operator knows the concentrator by its configuration format, and by the sealed messages of
its remote port; this is the list."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "operator" / "ferrule_operator"
ALLOWED = {
    "ferrule",  # __version__
    "ferrule.accounts.pools",  # the gateway's own address
    "ferrule.accounts.users",  # USERNAME_MAX
    "ferrule.accounts.verifiers",  # the stored forms of passwords
    "ferrule.core.secret",
    "ferrule.runtime.config",
    "ferrule.runtime.config_problems",
    "ferrule.runtime.config_values",
    "ferrule.runtime.gateway_spec",
    "ferrule.runtime.sealing",
}


def test_what_is_imported_of_the_concentrator() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module)
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    ours = {name for name in found if name == "ferrule" or name.startswith("ferrule.")}
    assert ours == ALLOWED


def test_the_folder_is_no_package() -> None:
    """`operator` is a module of the standard library."""
    assert not (PACKAGE.parent / "__init__.py").exists()
