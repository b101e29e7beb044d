"""The definitions are structural, explain every field, and say the same as the models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ferrule_operator.models.definitions import definitions
from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.models.rules import GATEWAY_RULES, NO_DEFAULT, USER_RULES
from ferrule_operator.models.user import VpnUserSpec

ROOT = Path(__file__).resolve().parents[3]
CRDS = definitions()
# What kube-apiserver takes in a structural schema, as far as it is used.
KEYWORDS = {
    "type", "description", "default", "enum", "format", "pattern", "required", "properties",
    "items", "additionalProperties", "minimum", "maximum", "minLength", "maxLength", "minItems",
    "maxItems", "minProperties", "maxProperties", "anyOf", "x-kubernetes-validations",
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string",
}  # fmt: skip


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, crd in CRDS.items():
        yield from walk(name, schema_of(crd))


def walk(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(f"{path}.{name}", inner)
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from walk(f"{path}[]", schema[key])


def test_schemas_are_structural() -> None:
    for path, schema in schemas():
        assert set(schema) <= KEYWORDS, path
        if schema.get("x-kubernetes-int-or-string"):
            assert "type" not in schema
            assert schema["anyOf"] == [{"type": "integer"}, {"type": "string"}]
        else:
            assert schema["type"] in {"object", "array", "string", "integer", "boolean"}, path
            assert "anyOf" not in schema, path
        assert not {"properties", "additionalProperties"} <= set(schema), path


def test_every_field_is_explained() -> None:
    for path, schema in schemas():
        if not path.endswith(("[]", ".metadata")):
            assert schema.get("description", "").strip(), path
            assert "\n" not in schema["description"], path


def test_everything_is_bounded() -> None:
    """Else the cost of rules is reckoned for objects of three megabytes."""
    for path, schema in schemas():
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
        if schema.get("type") == "string" and ".spec." in path:
            assert {"maxLength", "enum", "format"} & set(schema), path


def test_defaults_of_objects_repeat_those_of_their_fields() -> None:
    """Rules are evaluated on an object's default before the defaults of its fields come in."""
    for path, schema in schemas():
        if "default" in schema and "properties" in schema and not path.endswith(".status"):
            assert schema["default"] == complete({}, schema), path
            assert not schema.get("required"), f"{path} has no default that is valid"


def test_list_map_keys_are_required() -> None:
    for path, schema in schemas():
        if schema.get("x-kubernetes-list-type") == "map":
            keys = set(schema["x-kubernetes-list-map-keys"])
            assert keys <= set(schema["items"]["required"]), path


@pytest.mark.parametrize(
    ("crd", "rules"), [("vpngateways.yaml", GATEWAY_RULES), ("vpnusers.yaml", USER_RULES)]
)
def test_every_rule_is_there_once(crd: str, rules: Any) -> None:
    found = [
        rule["rule"]
        for _, schema in walk("", schema_of(CRDS[crd]))
        for rule in schema.get("x-kubernetes-validations", ())
    ]
    assert sorted(found) == sorted(rule.cel for rule in rules)


def test_transition_rules_can_find_the_old_value() -> None:
    """oldSelf exists only where the API server can match old and new: not in atomic lists."""
    for rule in (*GATEWAY_RULES, *USER_RULES):
        if "oldSelf" in rule.cel:
            assert "[]" not in rule.path


def test_what_the_program_chooses_is_not_written_into_objects() -> None:
    for path, schema in schemas():
        short = path.partition(".yaml.")[2]
        if short in NO_DEFAULT:
            assert "default" not in schema


def test_the_models_read_what_the_api_server_completes() -> None:
    """An object with every default of the schema is valid for the model, and equals it."""
    for model, crd, given in (
        (VpnGatewaySpec, "vpngateways.yaml", {"pools": [{"name": "a", "cidr": "10.0.0.0/24"}]}),
        (VpnUserSpec, "vpnusers.yaml", {"gatewayRef": {"name": "gw"}}),
    ):
        schema = schema_of(CRDS[crd])["properties"]["spec"]
        completed = complete(given, schema)
        assert completed != given
        assert model.model_validate(completed) == model.model_validate(given)


def complete(value: Any, schema: dict[str, Any]) -> Any:
    """As the API server does it: defaults of absent fields, then those inside them."""
    if isinstance(value, dict) and "properties" in schema:
        value = dict(value)
        for name, inner in schema["properties"].items():
            if name not in value and "default" in inner:
                value[name] = inner["default"]
            if name in value:
                value[name] = complete(value[name], inner)
    elif isinstance(value, list):
        value = [complete(item, schema["items"]) for item in value]
    return value


@pytest.mark.parametrize("name", sorted(CRDS))
def test_files_are_as_generated(name: str) -> None:
    for folder in (ROOT / "crds", ROOT / "charts" / "ferrule" / "files" / "crds"):
        there = YAML(typ="safe").load(folder / name)
        assert there == CRDS[name], f"{folder / name}: run `make crds`"


def test_names() -> None:
    for crd in CRDS.values():
        names = crd["spec"]["names"]
        assert names["categories"] == ["vpn"]
        assert crd["metadata"]["name"] == f"{names['plural']}.{crd['spec']['group']}"
    assert CRDS["vpngateways.yaml"]["spec"]["names"]["shortNames"] == ["vpngw"]
    assert CRDS["vpnusers.yaml"]["spec"]["names"]["shortNames"] == ["vpnu"]


def test_columns_have_something_to_show() -> None:
    for crd in CRDS.values():
        for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]:
            path = column["jsonPath"].lstrip(".").split(".")
            if path[0] == "metadata" or "[?" in column["jsonPath"]:
                continue
            schema = schema_of(crd)
            for part in path:
                schema = schema["properties"][part]
            assert schema
