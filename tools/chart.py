"""Writes the chart's values.schema.json and the table in its README.md; --check only compares.

Both come from charts/ferrule/values.yaml: a key's comment is its description, its default gives
the type, and a comment line "@schema {...}" says the rest in JSON Schema, where {crd: PATH} is the
schema of a field of a resource, such as VpnGateway.spec, and {without: [...]} leaves fields out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "ferrule"
CRDS = ROOT / "crds"
BEGIN, END = "<!-- values: begin (tools/chart.py) -->", "<!-- values: end -->"
_KEY: Final = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):(?: |$)")
_COMMENT: Final = re.compile(r"^ *# ?(.*)$")
_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


class ChartError(Exception):
    """What is wrong with values.yaml."""


@dataclass(slots=True)
class Value:
    """A key of values.yaml: a leaf, or a group of `inner` ones."""

    path: str
    default: Any
    text: str
    schema: dict[str, Any]
    inner: list[Value] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    wrong = 0
    for path, text in files().items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        if there == text:
            continue
        name = str(path.relative_to(ROOT))
        if check:
            wrong += 1
            lines = unified_diff(there.splitlines(), text.splitlines(), name, name, lineterm="")
            print(*list(lines)[:40], sep="\n")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if wrong:
        print("The chart's schema or README differs from values.yaml: run `make chart`.",
              file=sys.stderr)  # fmt: skip
    return min(wrong, 1)


def files() -> dict[Path, str]:
    """What must stand where."""
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    readme = CHART / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return {
        CHART / "values.schema.json": json.dumps(_schema(values), indent=1, ensure_ascii=False)
        + "\n",
        readme: f"{before}{BEGIN}\n{_table(values)}\n{END}{after}",
    }


# --- values.yaml


def read_values(text: str) -> list[Value]:
    """The keys with their comments. Raises ChartError for a leaf without one."""
    comments = dict(_comments(text))
    return _values(YAML(typ="safe").load(text), "", comments)


def _comments(text: str) -> Iterator[tuple[str, list[str]]]:
    """The lines of comment right above each key, by path."""
    stack: list[tuple[int, str]] = []
    block: list[str] = []
    for line in text.splitlines():
        if comment := _COMMENT.match(line):
            block.append(comment[1].rstrip())
            continue
        if key := _KEY.match(line):
            indent = len(key[1])
            while stack and stack[-1][0] >= indent:
                stack.pop()
            stack.append((indent, key[2]))
            yield ".".join(name for _, name in stack), block
        block = []


def _values(given: Mapping[str, Any], above: str, comments: Mapping[str, list[str]]) -> list[Value]:
    found = []
    for name, default in given.items():
        path = f"{above}.{name}".lstrip(".")
        lines = comments.get(path, [])
        at = [i for i, line in enumerate(lines) if line.startswith("@schema ")]
        text = " ".join(lines[: at[0] if at else None]).strip()
        schema = YAML(typ="safe").load(lines[at[0]].removeprefix("@schema ")) if at else {}
        value = Value(path, default, text, schema)
        if isinstance(default, dict) and default and not schema:
            value.inner = _values(default, path, comments)
        elif not text:
            raise ChartError(f"values.yaml: {path} has no comment")
        found.append(value)
    return found


def leaves(values: list[Value]) -> Iterator[Value]:
    for value in values:
        yield from leaves(value.inner) if value.inner else (value,)


# --- values.schema.json


def _schema(values: list[Value]) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    properties = {value.name: _value_schema(value, definitions) for value in values}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart ferrule",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **properties,
            # Helm's own, where this chart is a part of another.
            "global": {"type": "object", "description": "Not used by this chart."},
        },
        "definitions": dict(sorted(definitions.items())),
    }


def _value_schema(value: Value, definitions: dict[str, Any]) -> dict[str, Any]:
    head = {"description": value.text} if value.text else {}
    if value.inner:
        inner = {one.name: _value_schema(one, definitions) for one in value.inner}
        return {**head, "type": "object", "additionalProperties": False, "properties": inner}
    said = _with_resources(value.schema, definitions)
    if "$ref" in said:  # in draft 7 nothing beside a reference counts
        return {**head, "allOf": [said]}
    return {**head, "type": _TYPES[type(value.default)], **_closed(said)}


def _with_resources(schema: Any, definitions: dict[str, Any]) -> Any:
    """{crd: PATH} becomes a reference to that field's schema among the definitions."""
    if isinstance(schema, list):
        return [_with_resources(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "crd" not in schema:
        return {key: _with_resources(inner, definitions) for key, inner in schema.items()}
    path, without = schema["crd"], schema.get("without", [])
    found = _strict(_field(path))
    if without:
        found["properties"] = {k: v for k, v in found["properties"].items() if k not in without}
        found["required"] = [name for name in found.get("required", ()) if name not in without]
        # A field left out is still allowed, only not demanded.
        found["properties"].update({k: _strict(_field(f"{path}.{k}")) for k in without})
    definitions[path] = found
    return {"$ref": f"#/definitions/{path}"}


def _field(path: str) -> dict[str, Any]:
    kind, *names = path.split(".")
    crd = YAML(typ="safe").load(CRDS / f"{kind.lower()}s.yaml")
    here = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in names:
        here = here["properties"][name]
    return dict(here)


def _strict(schema: Any) -> Any:
    """A structural schema as JSON Schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if not any(isinstance(schema.get(key), str | list) for key in ("type", "anyOf")):
        return {key: _strict(inner) for key, inner in schema.items()}  # a map of fields
    kept = {
        key: _strict(inner)
        for key, inner in schema.items()
        if not key.startswith("x-kubernetes-") and not (key == "default" and inner in ({}, []))
    }
    return _closed(kept)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Nothing but its properties in an object that names them."""
    closed = {
        key: _closed(inner)
        if isinstance(inner, dict) and key in ("items", "additionalProperties")
        else inner
        for key, inner in schema.items()
    }
    if "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


# --- README.md


def _table(values: list[Value]) -> str:
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for value in leaves(values):
        default = json.dumps(value.default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{value.path}` | `{default}` | {_cell(value.text)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    raise SystemExit(main())
