"""Objects of the API as plain dicts: reading their parts, owners, comparing wanted with live."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ferrule_operator.names import (
    API_VERSION,
    APPLIED_ANNOTATION,
    COMPONENT_LABEL,
    GATEWAY_LABEL,
    INSTANCE_LABEL,
    MANAGED_BY_LABEL,
    MANAGER,
    NAME_LABEL,
)

Object: TypeAlias = dict[str, Any]

_DIGEST_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """An object by kind, namespace and name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def metadata(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = item.get("metadata") or {}
    return found


def name_of(item: Mapping[str, Any]) -> str:
    return str(metadata(item).get("name", ""))


def namespace_of(item: Mapping[str, Any]) -> str:
    return str(metadata(item).get("namespace", ""))


def uid_of(item: Mapping[str, Any]) -> str:
    return str(metadata(item).get("uid", ""))


def generation_of(item: Mapping[str, Any]) -> int:
    return int(metadata(item).get("generation", 0))


def version_of(item: Mapping[str, Any]) -> str:
    return str(metadata(item).get("resourceVersion", ""))


def annotation(item: Mapping[str, Any], name: str) -> str:
    return str((metadata(item).get("annotations") or {}).get(name, ""))


def label(item: Mapping[str, Any], name: str) -> str:
    return str((metadata(item).get("labels") or {}).get(name, ""))


def deleting(item: Mapping[str, Any]) -> bool:
    return bool(metadata(item).get("deletionTimestamp"))


def ref_of(item: Mapping[str, Any]) -> Ref:
    return Ref(str(item["kind"]), namespace_of(item), name_of(item))


def owned_by(item: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Is `owner` among the owners of the object?"""
    uid = uid_of(owner)
    return any(ref.get("uid") == uid for ref in metadata(item).get("ownerReferences") or ())


def owner_reference(owner: Mapping[str, Any]) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def selector_labels(gateway: str) -> dict[str, str]:
    """Labels by which a gateway's pods are found. They can't change in a StatefulSet's life."""
    return {NAME_LABEL: "ferrule", INSTANCE_LABEL: gateway, COMPONENT_LABEL: "concentrator"}


def child_labels(gateway: str) -> dict[str, str]:
    """Labels of everything that the operator makes for a gateway."""
    return {**selector_labels(gateway), MANAGED_BY_LABEL: MANAGER, GATEWAY_LABEL: gateway}


def data_of(secret: Mapping[str, Any]) -> dict[str, bytes]:
    """A Secret's data, decoded; what is no base64 is left out."""
    found = {}
    for key, text in (secret.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(text, validate=True)
        except ValueError:
            continue
    return found


def texts_of(secret: Mapping[str, Any]) -> dict[str, str]:
    """A Secret's data as texts; what is no UTF-8 is left out."""
    found = {}
    for key, octets in data_of(secret).items():
        try:
            found[key] = octets.decode()
        except UnicodeDecodeError:
            continue
    return found


def encoded(texts: Mapping[str, str]) -> dict[str, str]:
    """For a Secret's `data`."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}


# --- wanted and live


def digest(value: Any) -> str:
    """A short digest of plain data. Never of secrets: a digest of a weak one can be searched."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


def stamped(wanted: Object) -> Object:
    """The object with the digest of itself, so that a field that is wanted no more is noticed."""
    shown = wanted
    if wanted["kind"] == "Secret":
        shown = {**wanted, "data": sorted(wanted.get("data", {}))}
    meta = wanted["metadata"]
    annotations = {**(meta.get("annotations") or {}), APPLIED_ANNOTATION: digest(shown)}
    return {**wanted, "metadata": {**meta, "annotations": annotations}}


def differences(wanted: Any, live: Any, path: str = "") -> Iterator[str]:
    """Paths of `wanted` that `live` does not have so. What `live` has more does not count."""
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            yield path
            return
        for key, value in wanted.items():
            if key in live:
                yield from differences(value, live[key], f"{path}.{key}")
            elif value not in ({}, [], "", None, False):
                yield f"{path}.{key}"
    elif isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            yield path
            return
        for i, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from differences(one, other, f"{path}[{i}]")
    elif wanted != live:
        yield path
