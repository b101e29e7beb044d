"""The CustomResourceDefinitions, out of the models: structural schemas, columns, subresources.

A structural schema has no references, no `null`, no alternatives of types. The default of an object
repeats those of its fields, for rules look at it before these come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.models.rules import (
    GATEWAY_EXTRAS,
    GATEWAY_RULES,
    NO_DEFAULT,
    USER_EXTRAS,
    USER_RULES,
    Rule,
)
from ferrule_operator.models.status import VpnGatewayStatus, VpnUserStatus
from ferrule_operator.models.user import VpnUserSpec
from ferrule_operator.names import GROUP, VERSION

Schema: TypeAlias = dict[str, Any]

_DROPPED: Final = ("title", "examples", "$defs", "additionalProperties")
_STRING_MAX: Final = 1024
_ITEMS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; `wide`: only with -o wide."""

    name: str
    type: str
    path: str
    description: str
    wide: bool = False

    def as_schema(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
            **({"priority": 1} if self.wide else {}),
        }


def _condition(kind: str, what: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{what}'


GATEWAY_COLUMNS: Final = (
    Column("Ready", "string", _condition("Ready", "status"), "Whether all is as the spec says."),
    Column("Replicas", "integer", ".status.readyReplicas", "Pods that serve clients."),
    Column("Sessions", "integer", ".status.sessions", "Clients that are connected."),
    Column("Address", "string", ".status.address", "What clients connect to."),
    Column("Age", "date", ".metadata.creationTimestamp", "Since when there is the gateway."),
    Column("Reason", "string", _condition("Ready", "reason"), "Why it is ready or not.", True),
    Column("Store", "string", ".spec.store.type", "Where shared state lives.", True),
    Column("Version", "string", ".status.version", "Version of the concentrators.", True),
    Column("Pool free", "integer", ".status.poolFree", "Addresses that are still free.", True),
)
USER_COLUMNS: Final = (
    Column("Gateway", "string", ".spec.gatewayRef.name", "The gateway of the account."),
    Column("Username", "string", ".status.username", "The name typed into the client."),
    Column("Ready", "string", _condition("Ready", "status"), "Whether the user can log in."),
    Column("Sessions", "integer", ".status.activeSessions", "Sessions that are connected."),
    Column("Age", "date", ".metadata.creationTimestamp", "Since when there is the account."),
    Column("Reason", "string", _condition("Ready", "reason"), "Why it is ready or not.", True),
    Column("Secret", "string", ".status.secretName", "Where the password stands.", True),
    Column("Static IP", "string", ".spec.staticIP", "The address of the user.", True),
    Column("Valid until", "string", ".spec.validUntil", "When the account expires.", True),
    Column("Connected", "date", ".status.lastConnectedTime", "The last connection.", True),
)


def definitions() -> dict[str, Schema]:
    """The definitions by file name."""
    return {"vpngateways.yaml": _vpn_gateway(), "vpnusers.yaml": _vpn_user()}


def _vpn_gateway() -> Schema:
    return _definition(
        kind="VpnGateway",
        short="vpngw",
        description="An L2TP/IPsec gateway: pods that terminate IKEv1, ESP, L2TP and PPP.",
        schema=_object_schema(VpnGatewaySpec, VpnGatewayStatus, GATEWAY_RULES, GATEWAY_EXTRAS),
        columns=GATEWAY_COLUMNS,
        subresources={
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            }
        },
    )


def _vpn_user() -> Schema:
    return _definition(
        kind="VpnUser",
        short="vpnu",
        description="An account of a VpnGateway.",
        schema=_object_schema(VpnUserSpec, VpnUserStatus, USER_RULES, USER_EXTRAS),
        columns=USER_COLUMNS,
        subresources={},
    )


def _definition(
    *,
    kind: str,
    short: str,
    description: str,
    schema: Schema,
    columns: Iterable[Column],
    subresources: Schema,
) -> Schema:
    singular = kind.lower()
    plural = f"{singular}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": singular,
                "shortNames": [short],
                "categories": ["vpn"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"description": description, **schema}},
                    "subresources": {"status": {}, **subresources},
                    "additionalPrinterColumns": [column.as_schema() for column in columns],
                }
            ],
        },
    }


def _object_schema(
    spec: type[BaseModel],
    status: type[BaseModel],
    rules: Iterable[Rule],
    extras: Mapping[str, Mapping[str, Any]],
) -> Schema:
    schema: Schema = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": "The version of this object's form: ferrule.dev/v1alpha1.",
            },
            "kind": {"type": "string", "description": "The kind of this object."},
            "metadata": {"type": "object"},  # the API server's own; nothing more is allowed
            "spec": _structural(spec, "spec"),
            "status": {
                **_structural(status, "status"),
                "default": {"observedGeneration": -1},
            },
        },
    }
    for path, extra in extras.items():
        here = _at(schema, path)
        here.update(extra)
        for keyword in [keyword for keyword, value in extra.items() if value is None]:
            del here[keyword]
    for rule in rules:
        _at(schema, rule.path).setdefault("x-kubernetes-validations", []).append(rule.as_schema())
    return schema


def _at(schema: Schema, path: str) -> Schema:
    """The schema at "spec.pools[].cidr"; KeyError where there is none."""
    here = schema
    for part in path.split(".") if path else ():
        here = here["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            here = here["items"]
    return here


def _structural(model: type[BaseModel], path: str) -> Schema:
    # Of serialization: there the defaults are texts, as they are typed.
    source = model.model_json_schema(by_alias=True, mode="serialization")
    return _Converter(source.get("$defs", {})).convert(source, path)


class _Converter:
    """JSON Schema of pydantic into a structural schema."""

    def __init__(self, named: Mapping[str, Schema]) -> None:
        self._named = named

    def convert(self, source: Mapping[str, Any], path: str) -> Schema:
        source = self._resolved(source)
        schema = {key: value for key, value in source.items() if key not in _DROPPED}
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
        if "default" in schema and (schema["default"] is None or path in NO_DEFAULT):
            del schema["default"]
        match schema.get("type"):
            case "object":
                self._object(source, schema, path)
            case "array":
                schema["items"] = self.convert(source["items"], f"{path}[]")
                schema.setdefault("maxItems", _ITEMS_MAX)
            case "string" if "enum" not in schema and "format" not in schema:
                schema.setdefault("maxLength", _STRING_MAX)
        return schema

    def _object(self, source: Mapping[str, Any], schema: Schema, path: str) -> None:
        if "properties" in source:
            schema["properties"] = {
                name: self.convert(inner, f"{path}.{name}")
                for name, inner in source["properties"].items()
            }
            if "default" in schema:
                schema["default"] = _default_of(schema["properties"])
        else:
            schema["additionalProperties"] = self.convert(
                source["additionalProperties"], f"{path}{{}}"
            )

    def _resolved(self, source: Mapping[str, Any]) -> Schema:
        """Without references and without "or null"; what stands beside a reference wins."""
        resolved = dict(source)
        alternatives = resolved.get("anyOf", ())
        if any(option == {"type": "null"} for option in alternatives):
            kept = [option for option in alternatives if option != {"type": "null"}]
            del resolved["anyOf"]
            resolved = {**(kept[0] if len(kept) == 1 else {"anyOf": kept}), **resolved}
        while (reference := resolved.pop("$ref", None)) is not None:
            resolved = {**self._named[reference.rpartition("/")[2]], **resolved}
        return resolved


def _default_of(properties: Mapping[str, Schema]) -> Schema:
    return {name: inner["default"] for name, inner in properties.items() if "default" in inner}
