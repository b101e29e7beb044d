"""Builders for tests of the operator: resources as the API server would give them, plans."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from ferrule_operator.accounts import Memory
from ferrule_operator.manifests.child import Parent
from ferrule_operator.models.definitions import definitions
from ferrule_operator.names import API_VERSION, FINALIZER
from ferrule_operator.objects import Object, Ref, encoded, name_of, ref_of, texts_of
from ferrule_operator.plan import Observed, Plan, plan_gateway, read_spec
from ferrule_operator.settings import Settings

NAMESPACE = "vpn"
NOW = 1_790_000_000.0  # 2026-09-21
SETTINGS = Settings("registry.example/ferrule:1", own_namespace="ferrule-system")
POOLS = [{"name": "default", "cidr": "10.20.0.0/16"}]

_numbers = itertools.count(1)


def entropy(count: int) -> bytes:
    """The same octets always."""
    return bytes(range(count))


def completed(kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with the defaults that the API server writes into it."""
    done = _complete(dict(spec), schema_of(kind))
    assert isinstance(done, dict)
    return done


@cache
def schema_of(kind: str) -> dict[str, Any]:
    """The schema of the kind's spec."""
    crd = definitions()[f"{kind.lower()}s.yaml"]
    whole = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema: dict[str, Any] = whole["properties"]["spec"]
    return schema


def _complete(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict) and "properties" in schema:
        value = dict(value)
        for name, inner in schema["properties"].items():
            if name not in value and "default" in inner:
                value[name] = inner["default"]
            if name in value:
                value[name] = _complete(value[name], inner)
    elif isinstance(value, list):
        value = [_complete(item, schema["items"]) for item in value]
    return value


def resource(kind: str, name: str, spec: Mapping[str, Any], **meta: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"{kind}-{name}-uid",
            "resourceVersion": str(next(_numbers)),
            "generation": 1,
            "creationTimestamp": "2026-09-01T00:00:00Z",
            **meta,
        },
        "spec": completed(kind, spec),
    }


def gateway(name: str = "office", spec: Mapping[str, Any] | None = None, **meta: Any) -> Object:
    meta.setdefault("finalizers", [FINALIZER])
    return resource("VpnGateway", name, {"pools": POOLS, **(spec or {})}, **meta)


def user(name: str, spec: Mapping[str, Any] | None = None, **meta: Any) -> Object:
    return resource("VpnUser", name, {"gatewayRef": {"name": "office"}, **(spec or {})}, **meta)


def with_password(secret: str, key: str = "password") -> dict[str, Any]:
    """The part of a user's spec."""
    return {"password": {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}}


def secret(name: str, texts: Mapping[str, str], **meta: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"Secret-{name}-uid",
            "resourceVersion": str(next(_numbers)),
            **meta,
        },
        "data": encoded(texts),
    }


def pod(name: str, *, ready: bool = True, address: str = "127.0.0.1", **status: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"{name}-uid"},
        "status": {
            "podIP": address,
            "hostIP": "192.0.2.1",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {"name": "concentrator", "ready": ready, "state": {"running": {}}}
            ],
            **status,
        },
    }


def parent(spec: Mapping[str, Any] | None = None, settings: Settings = SETTINGS) -> Parent:
    item = gateway(spec=spec)
    read, problem = read_spec(item)
    assert read is not None, problem
    return Parent(item, read, settings)


class World:
    """The objects of one namespace; applies plans to itself as the API server would."""

    def __init__(self, *items: Object, now: float = NOW) -> None:
        self.items: dict[Ref, Object] = {ref_of(item): item for item in items}
        self.memory = Memory()
        self.known: dict[Ref, frozenset[str]] = {}
        self.now = now

    def put(self, *items: Object) -> None:
        for item in items:
            self.items[ref_of(item)] = item

    def of_kind(self, kind: str) -> list[Object]:
        return [item for ref, item in self.items.items() if ref.kind == kind]

    def get(self, kind: str, name: str) -> Object:
        return self.items[Ref(kind, NAMESPACE, name)]

    def texts(self, name: str) -> dict[str, str]:
        """A Secret's data."""
        return texts_of(self.get("Secret", name))

    def observed(self, name: str = "office", pods: Sequence[Object] = ()) -> Observed:
        return Observed(
            NAMESPACE,
            name,
            self.items.get(Ref("VpnGateway", NAMESPACE, name)),
            [
                item
                for item in self.of_kind("VpnUser")
                if item["spec"]["gatewayRef"]["name"] == name
            ],
            {name_of(item): item for item in self.of_kind("Secret")},
            {
                ref: item
                for ref, item in self.items.items()
                if ref.kind not in ("VpnGateway", "VpnUser", "Pod")
            },
            pods or self.of_kind("Pod"),
        )

    def plan(self, settings: Settings = SETTINGS, **pods: Any) -> Plan:
        return plan_gateway(
            self.observed(**pods), settings, self.now, entropy, self.memory, self.known
        )

    def settle(self, settings: Settings = SETTINGS) -> Plan:
        """Plan, and take what it says over. Returns the plan."""
        plan = self.plan(settings)
        for item in (*plan.create, *plan.apply):
            ref = ref_of(item)
            before = self.items.get(ref)
            uid = before["metadata"]["uid"] if before else f"{ref.kind}-{ref.name}-uid"
            meta = {**item["metadata"], "uid": uid, "resourceVersion": str(next(_numbers))}
            self.items[ref] = {**item, "metadata": meta}
        for item in plan.delete:
            del self.items[ref_of(item)]
        return plan


def edited(item: Object, **spec: Any) -> Object:
    """A newer version with these fields of the spec."""
    meta = item["metadata"]
    generation = meta.get("generation", 1) + 1
    return {
        **item,
        "metadata": {
            **meta, "generation": generation, "resourceVersion": str(next(_numbers))
        },
        "spec": {**item["spec"], **spec},
    }  # fmt: skip


def annotated(item: Object, **annotations: str) -> Object:
    """A newer version with these annotations of ferrule.dev."""
    meta = item["metadata"]
    named = {f"ferrule.dev/{name}": text for name, text in annotations.items()}
    return {
        **item,
        "metadata": {
            **meta,
            "annotations": {**(meta.get("annotations") or {}), **named},
            "resourceVersion": str(next(_numbers)),
        },
    }


def found(plan: Plan, kind: str, name: str = "") -> list[Object]:
    """What the plan applies of a kind."""
    return [
        item for item in plan.apply if item["kind"] == kind and (not name or name_of(item) == name)
    ]


def finding(plan: Plan, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of the plan's first finding of that kind."""
    first = next(item for item in plan.findings if item.type == kind)
    return first.status, first.reason, first.message
