"""The Secrets that the operator writes: bundles of files, keys, passwords."""

from __future__ import annotations

from collections.abc import Mapping

from ferrule_operator.manifests.child import Parent
from ferrule_operator.names import (
    GATEWAY_LABEL,
    MANAGED_BY_LABEL,
    MANAGER,
    ROTATED_ANNOTATION,
    USER_LABEL,
    password_secret,
    store_secret,
)
from ferrule_operator.objects import Object, encoded, name_of, namespace_of, owner_reference

PASSWORD_KEY = "password"
STORE_KEY = "key"
STORE_NAMES_KEY = "names-key"


def files_secret(parent: Parent, name: str, files: Mapping[str, str]) -> Object:
    """A bundle of files, mounted into the pods."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": parent.metadata(name),
        "type": "Opaque",
        "data": encoded(files),
    }


def generated_store_keys(parent: Parent, key: str, names_key: str, rotated_for: str) -> Object:
    """What seals the state that replicas share, and what hides names in it."""
    annotations = {ROTATED_ANNOTATION: rotated_for} if rotated_for else None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": parent.metadata(store_secret(parent.name), annotations),
        "type": "Opaque",
        "data": encoded({STORE_KEY: key, STORE_NAMES_KEY: names_key}),
    }


def generated_psk(parent: Parent, name: str, psk: str, rotated_for: str) -> Object:
    """A pre-shared key that the operator made."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": parent.metadata(
            name, {ROTATED_ANNOTATION: rotated_for} if rotated_for else None
        ),
        "type": "Opaque",
        "data": encoded({"psk": psk}),
    }


def generated_password(
    user: Object, gateway: str, username: str, password: str, rotated_for: str
) -> Object:
    """A password that the operator made; it goes with the VpnUser."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": password_secret(name_of(user)),
            "namespace": namespace_of(user),
            "labels": {
                MANAGED_BY_LABEL: MANAGER,
                GATEWAY_LABEL: gateway,
                USER_LABEL: name_of(user)[:63].rstrip("-."),
            },
            **({"annotations": {ROTATED_ANNOTATION: rotated_for}} if rotated_for else {}),
            "ownerReferences": [owner_reference(user)],
        },
        "type": "Opaque",
        "data": encoded({"username": username, PASSWORD_KEY: password}),
    }
