"""values.yaml, its schema and its variants; tools/chart.py, which makes one of the other."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "ferrule"
VARIANTS = sorted((CHART / "ci").glob("*-values.yaml"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = YAML(typ="safe").load(CHART / "values.yaml")
SPECS = ("VpnGateway.spec", "VpnUser.spec")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_tool", ROOT / "tools" / "chart.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def merged(below: Any, above: Any) -> Any:
    """As Helm lays values over the chart's own."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {
        key: merged(below.get(key), above[key]) if key in above else below[key]
        for key in {**below, **above}
    }


def refusals(values: Any) -> list[str]:
    checker = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    return [error.message for error in checker.iter_errors(values)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_a_variant_is_accepted(variant: Path) -> None:
    assert refusals(merged(VALUES, YAML(typ="safe").load(variant))) == []


def test_the_examples_in_the_comments_are_accepted() -> None:
    text = (CHART / "values.yaml").read_text()
    for name in ("gateways", "users"):
        example = re.search(rf"^{name}: {{}}\n((?:#  .*\n)+)", text, re.MULTILINE)
        assert example is not None
        lines = example[1].replace("#  ", "  ")
        assert refusals(merged(VALUES, YAML(typ="safe").load(f"{name}:\n{lines}"))) == []


README = (CHART / "README.md").read_text()


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", README, re.S | re.M))
def test_the_examples_in_the_readme_are_accepted(block: str) -> None:
    assert refusals(merged(VALUES, YAML(typ="safe").load(block))) == []


def test_the_readme_names_values_and_files_that_exist() -> None:
    prose, _, _ = README.partition("## Values")
    known = set(_paths(VALUES))
    named = set(re.findall(r"--set ([\w.]+)=", prose))
    named |= {word for word in re.findall(r"`([\w.]+)`", prose) if word.partition(".")[0] in VALUES}
    assert len(named) > 8
    assert {f".{word}" for word in named} <= known
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (CHART / link).exists(), link
    for path in re.findall(r"`?((?:templates|files|tools)/[\w./-]*\w)", prose):
        assert (CHART / path).exists() or (ROOT / path).exists(), path


def groups(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The maps whose keys are the chart's own."""
    yield path
    for key, inner in values.items():
        if isinstance(inner, dict) and inner and key not in ("resources", "nodeSelector"):
            yield from groups(inner, (*path, key))


@pytest.mark.parametrize("path", list(groups(VALUES)), ids=lambda path: ".".join(path) or "top")
def test_an_unknown_key_is_refused(path: tuple[str, ...]) -> None:
    values: Any = {"unheard": 1}
    for key in reversed(path):
        values = {key: values}
    assert any("unheard" in message for message in refusals(merged(VALUES, values)))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"gateways": {"office": {}}}, "pools"),
        ({"gateways": {"office": {"pools": [{"name": "a", "cidr": "10.0.0.0/8", "x": 1}]}}}, "x"),
        ({"gateways": {"Office": {"pools": [{"name": "a", "cidr": "10.0.0.0/8"}]}}}, "Office"),
        ({"users": {"alice": {"rateLimit": {"dwn": "1Mbit"}}}}, "dwn"),
        ({"users": {"alice": {"password": "wonderland"}}}, "wonderland"),
        ({"operator": {"replicas": 3}}, "3"),
        ({"operator": {"image": {"digest": "sha256:12"}}}, "sha256:12"),
        ({"operator": {"tolerations": [{"keys": "a"}]}}, "keys"),
        ({"operator": {"resources": {"limits": {"memory": "much"}}}}, "much"),
        ({"test": {"http": ["https://example.com"]}}, "https"),
        ({"podMonitor": {"interval": "often"}}, "often"),
        ({"imagePullSecrets": ["registry"]}, "registry"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(values: Any, word: str) -> None:
    assert any(word in message for message in refusals(merged(VALUES, values)))


def test_a_chart_above_this_one_may_have_globals() -> None:
    assert refusals({**VALUES, "global": {"anything": 1}}) == []


def test_the_specs_are_those_of_the_definitions() -> None:
    for name, kind in zip(SPECS, ("vpngateways", "vpnusers"), strict=True):
        crd = YAML(typ="safe").load(ROOT / "crds" / f"{kind}.yaml")
        spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert SCHEMA["definitions"][name]["properties"].keys() == spec["properties"].keys()
    assert SCHEMA["definitions"]["VpnGateway.spec"]["required"] == ["pools"]
    assert SCHEMA["definitions"]["VpnUser.spec"]["required"] == []  # gatewayRef: the only gateway


def test_a_secret_has_no_place_in_values() -> None:
    names = {value.rpartition(".")[2].lower() for value in _paths(VALUES)}
    assert not names & {"password", "psk", "secret", "key", "token"}


def _paths(values: Any, above: str = "") -> Iterator[str]:
    for key, inner in values.items():
        yield f"{above}.{key}"
        if isinstance(inner, dict):
            yield from _paths(inner, f"{above}.{key}")


# --- the tool


def test_comments_defaults_and_schemas_are_read(tool: ModuleType) -> None:
    values = tool.read_values(
        "# About the file.\n\n"
        "# How many, at\n# most.\n# @schema {minimum: 1}\nmany: 3\n"
        "# All of it.\nouter:\n  # A name.\n  name: x\n"
    )
    many, outer = values
    assert (many.path, many.text, many.schema) == ("many", "How many, at most.", {"minimum": 1})
    assert [(one.path, one.default, one.text) for one in outer.inner] == [
        ("outer.name", "x", "A name.")
    ]


def test_a_value_without_a_comment_is_an_error(tool: ModuleType) -> None:
    with pytest.raises(tool.ChartError, match=r"outer\.name has no comment"):
        tool.read_values("# Outer.\nouter:\n  name: x\n")


def test_what_is_generated_is_up_to_date(tool: ModuleType) -> None:
    for path, text in tool.files().items():
        assert path.read_text() == text, f"{path.name}: run `make chart`"


def test_the_chart_has_the_versions_of_the_program() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = YAML(typ="safe").load(CHART / "Chart.yaml")
    assert chart["appVersion"] == version


def test_the_chart_carries_the_definitions() -> None:
    for path in (ROOT / "crds").glob("vpn*.yaml"):
        assert (CHART / "files" / "crds" / path.name).read_text() == path.read_text()
