"""The definitions on a real API server: what each rule refuses and accepts, defaults, pruning,
scale, columns, explanations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ferrule_operator.models.rules import GATEWAY_RULES, NAME_MAX, USER_RULES, Rule
from tests.kubernetes.cluster.api import Api, CommandRefused, eventually

ROOT = Path(__file__).resolve().parents[2]
POOL = {"name": "default", "cidr": "10.20.0.0/16"}


@pytest.fixture(scope="module")
def crds(api: Api) -> Api:
    """The API server with our definitions, put there as the documentation says."""
    api.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    api.kubectl(
        "wait", "--for=condition=Established", "crd/vpngateways.ferrule.dev",
        "crd/vpnusers.ferrule.dev",
    )  # fmt: skip
    return api


def gateway(spec: Mapping[str, Any], name: str = "office") -> dict[str, Any]:
    return {
        "apiVersion": "ferrule.dev/v1alpha1",
        "kind": "VpnGateway",
        "metadata": {"name": name},
        "spec": {"pools": [POOL], **spec},
    }


def user(spec: Mapping[str, Any], name: str = "alice") -> dict[str, Any]:
    return {
        "apiVersion": "ferrule.dev/v1alpha1",
        "kind": "VpnUser",
        "metadata": {"name": name},
        "spec": {"gatewayRef": {"name": "office"}, **spec},
    }


@dataclass(frozen=True)
class Case:
    """Specs (or whole objects) that the rule with this message refuses and accepts. With `before`
    they are changes of it."""

    message: str
    refused: Mapping[str, Any]
    accepted: Mapping[str, Any]
    before: Mapping[str, Any] | None = None
    name: tuple[str, str] = ("office", "office")  # of the refused, of the accepted
    at: str = field(default="")  # of the rule, where several have the message


def exposed(kind: str, **more: Any) -> dict[str, Any]:
    return {"exposure": {"type": kind, **more}}


def pool(cidr: str, name: str = "default") -> dict[str, Any]:
    return {"name": name, "cidr": cidr}


NETWORK = "must be an IPv4 network without host bits, such as 10.20.0.0/16"
LABELS = "labels of ferrule.dev and app.kubernetes.io are the operator's"
VALKEY = {"type": "Valkey", "url": "valkey://store:6379"}
TLS = {"type": "Valkey", "url": "valkeys://s:6379", "tls": {"serverName": "s"}}
GATEWAY_CASES = (
    Case(
        f"the name must be a DNS label of at most {NAME_MAX} characters",
        {},
        {},
        name=("o" * (NAME_MAX + 1), "o" * NAME_MAX),
    ),
    Case("the name must be a DNS label", {}, {}, name=("1office", "office-1")),
    Case(
        "more than one replica needs a store",
        {"replicas": 2},
        {"replicas": 2, "store": VALKEY},
    ),
    Case(
        "mschapv1 is weak",
        {"ppp": {"auth": ["mschapv1"]}},
        {"ppp": {"auth": ["mschapv1"]}, "ipsec": {"allowWeak": ["mschapv1"]}},
    ),
    Case(
        "loadBalancerClass is only for type LoadBalancer",
        exposed("NodePort", loadBalancerClass="x/y"),
        exposed("LoadBalancer", loadBalancerClass="x/y"),
    ),
    Case(
        "sourceRanges is only for type LoadBalancer",
        exposed("ClusterIP", sourceRanges=["192.0.2.0/24"]),
        exposed("LoadBalancer", sourceRanges=["192.0.2.0/24"]),
    ),
    Case(
        "nodePorts is only for type NodePort",
        exposed("LoadBalancer", nodePorts={"ike": 30500}),
        exposed("NodePort", nodePorts={"ike": 30500}),
    ),
    Case(
        "annotations are the Service's",
        exposed("HostPort", annotations={"a": "b"}),
        exposed("NodePort", annotations={"a": "b"}),
    ),
    Case(
        "loadBalancerClass can't be changed",
        exposed("LoadBalancer", loadBalancerClass="x/z"),
        exposed("NodePort"),
        before=exposed("LoadBalancer", loadBalancerClass="x/y"),
    ),
    Case(
        "ike and natt must differ",
        exposed("NodePort", nodePorts={"ike": 30500, "natt": 30500}),
        exposed("NodePort", nodePorts={"ike": 30500, "natt": 30501}),
    ),
    Case(
        NETWORK,
        exposed("LoadBalancer", sourceRanges=["192.0.2.1/24"]),
        exposed("LoadBalancer", sourceRanges=["192.0.2.1"]),
        at="spec.exposure.sourceRanges[]",
    ),
    Case(NETWORK, {"pools": [pool("10.20.0.1/16")]}, {}, at="spec.pools[].cidr"),
    Case(NETWORK, {"pools": [pool("2001:db8::/64")]}, {}, at="spec.pools[].cidr"),
    Case(NETWORK, {"pools": [pool("10.20.0.0")]}, {}, at="spec.pools[].cidr"),
    Case(
        "the first pool must have a prefix of /30 or shorter",
        {"pools": [pool("10.20.0.0/31")]},
        {"pools": [pool("10.20.0.0/30"), pool("10.21.0.0/31", "more")]},
    ),
    Case(
        "pools must have nothing in common",
        {"pools": [POOL, pool("10.20.8.0/24", "more")]},
        {"pools": [POOL, pool("10.21.0.0/24", "more")]},
    ),
    Case(
        "a pool keeps its name",
        {"pools": [pool("10.20.0.0/16", "renamed")]},
        {"pools": [POOL, pool("10.30.0.0/16", "new")]},
        before={},
    ),
    *(
        Case(
            NETWORK,
            {"egress": {name: ["10.0.0.1/8"]}},
            {"egress": {name: ["10.0.0.0/8", "192.0.2.1"]}},
            at=f"spec.egress.{name}[]",
        )
        for name in ("allowedCIDRs", "deniedCIDRs", "routes")
    ),
    Case(
        "type Valkey needs url",
        {"store": {"type": "Valkey"}},
        {"store": {"type": "Valkey", "url": "redis://store:6379/1"}},
    ),
    Case("type Valkey needs url", {"store": {"url": "redis://store"}}, {"store": {}}),
    Case(
        "tls needs a url that begins with valkeys",
        {"store": {**TLS, "url": "valkey://s:6379"}},
        {"store": TLS},
    ),
    Case(
        "tls needs a url that begins with valkeys",
        {"store": {**TLS, "url": "redis+sentinel://s,t/main"}},
        {"store": {**TLS, "url": "rediss+sentinel://alice@s:26379,t:26379/main"}},
    ),
    Case(
        "profile DevicePlugin needs tunResource",
        {"podSecurity": {"profile": "DevicePlugin"}},
        {"podSecurity": {"profile": "DevicePlugin", "tunResource": "squat.ai/tun"}},
    ),
    Case(
        "profile DevicePlugin needs tunResource",
        {"podSecurity": {"tunResource": "squat.ai/tun"}},
        {"podSecurity": {"profile": "HostPath"}},
    ),
    Case(
        "hostUsers: false needs profile DevicePlugin",
        {"podSecurity": {"hostUsers": False}},
        {
            "podSecurity": {
                "profile": "DevicePlugin",
                "tunResource": "squat.ai/tun",
                "hostUsers": False,
            }
        },
    ),
    Case(
        LABELS,
        {"podTemplate": {"labels": {"app.kubernetes.io/name": "x"}}},
        {"podTemplate": {"labels": {"team": "x"}}},
    ),
    Case(
        "annotations of ferrule.dev are the operator's",
        {"podTemplate": {"annotations": {"ferrule.dev/x": "y"}}},
        {"podTemplate": {"annotations": {"x": "y"}}},
    ),
    Case(
        "value and valueFrom exclude each other",
        {
            "podTemplate": {
                "env": [
                    {
                        "name": "A",
                        "value": "b",
                        "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}},
                    }
                ]
            }
        },
        {"podTemplate": {"env": [{"name": "A", "value": "b"}]}},
    ),
    Case(
        "exactly one source must be given",
        {"podTemplate": {"env": [{"name": "A", "valueFrom": {}}]}},
        {
            "podTemplate": {
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]
            }
        },
    ),
)
USER_CASES = (
    Case("at most 240 characters", {}, {}, name=("u" * 241, "u" * 240)),
    Case("username can't be changed", {"username": "b"}, {"enabled": False}, before={}),
    Case("username can't be changed", {}, {"username": "a", "groups": ["x"]},
         before={"username": "a"}),
    Case(
        "a user with a staticIP is on once",
        {"staticIP": "10.20.0.9", "maxSessions": 2},
        {"staticIP": "10.20.0.9", "maxSessions": 1},
    ),
    Case(NETWORK, {"allowedCIDRs": ["10.0.0.1/8"]}, {"allowedCIDRs": ["10.0.0.0/8"]},
         at="spec.allowedCIDRs[]"),
    Case("must be a time with its zone", {"validUntil": "2027-01-31T18:00:00"},
         {"validUntil": "2027-01-31T18:00:00Z"}),
    Case("must be a time with its zone", {"validUntil": "2027-02-29"},
         {"validUntil": "2028-02-29"}),
    Case("must be a time with its zone", {"validUntil": "on New Year's Eve"},
         {"validUntil": "2027-01-31T18:00:00.5+02:00"}),
)  # fmt: skip


def refusal(api: Api, namespace: str, item: Mapping[str, Any]) -> str:
    """What the API server says; "" if it takes the object."""
    try:
        api.apply(item, namespace=namespace, force=True)
    except CommandRefused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("make", "case"),
    [(gateway, case) for case in GATEWAY_CASES] + [(user, case) for case in USER_CASES],
    ids=lambda value: getattr(value, "message", "")[:40],
)
def test_rules(crds: Api, namespace: str, make: Any, case: Case) -> None:
    if case.before is not None:
        assert refusal(crds, namespace, make(case.before, case.name[0])) == ""
    assert case.message in refusal(crds, namespace, make(case.refused, case.name[0]))
    assert refusal(crds, namespace, make(case.accepted, case.name[1])) == ""


@pytest.mark.parametrize(
    ("rules", "cases"), [(GATEWAY_RULES, GATEWAY_CASES), (USER_RULES, USER_CASES)]
)
def test_every_rule_is_tested(rules: tuple[Rule, ...], cases: tuple[Case, ...]) -> None:
    for rule in rules:
        assert any(
            rule.message.startswith(case.message) or case.message in rule.message
            for case in cases
            if case.at in ("", rule.path)
        ), rule.message
    for case in cases:
        assert any(case.message in rule.message for rule in rules), case.message


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (gateway({"replicas": 65}), "spec.replicas"),
        (gateway({"pools": []}), "spec.pools"),
        (gateway({"pools": [POOL, {**POOL, "cidr": "10.9.0.0/16"}]}), "duplicate"),
        (gateway({"ppp": {"auth": ["pap", "pap"]}}), "duplicate"),
        (gateway({"ppp": {"dns": ["nine"]}}), "spec.ppp.dns"),
        (gateway({"ipsec": {"ikeLifetime": "1 day"}}), "spec.ipsec.ikeLifetime"),
        (gateway({"store": {"type": "Valkey", "url": "valkey://u:p@host"}}), "spec.store.url"),
        (gateway({"store": {"type": "Valkey", "url": "unix:///run/valkey"}}), "spec.store.url"),
        (gateway({"podTemplate": {"resources": {"limits": {"cpu": "much"}}}}), "limits.cpu"),
        (user({"username": "DOMAIN\\alice"}), "spec.username"),
        (user({"username": " alice"}), "spec.username"),
        (user({"staticIP": "10.20.0"}), "spec.staticIP"),
        (user({"validUntil": "tomorrow"}), "spec.validUntil"),
        (user({"onLimit": "panic"}), "spec.onLimit"),
        (user({"rateLimit": {"down": "fast"}}), "spec.rateLimit.down"),
    ],
)
def test_the_schema_refuses(crds: Api, namespace: str, item: dict[str, Any], part: str) -> None:
    assert part.lower() in refusal(crds, namespace, item).lower()


def test_unknown_fields_are_refused_by_kubectl_and_pruned_by_the_server(
    crds: Api, namespace: str
) -> None:
    item = gateway({"relpicas": 3})
    with pytest.raises(CommandRefused, match="relpicas"):
        crds.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(item))
    crds.kubectl("create", "-n", namespace, "--validate=false", "-f", "-", stdin=json.dumps(item))
    assert "relpicas" not in crds.get("vpngateway", "office", namespace)["spec"]


def test_defaults(crds: Api, namespace: str) -> None:
    crds.apply(gateway({"egress": {"snat": False}}), user({}), namespace=namespace)
    spec = crds.get("vpngw", "office", namespace)["spec"]
    assert spec["replicas"] == 1
    assert spec["exposure"]["type"] == "LoadBalancer"
    assert spec["exposure"]["externalTrafficPolicy"] == "Local"
    assert spec["egress"]["snat"] is False
    assert "169.254.0.0/16" in spec["egress"]["deniedCIDRs"]
    assert spec["ipsec"]["ikeLifetime"] == "24h"
    assert spec["ipsec"]["proposals"] == {}
    assert spec["pools"][0]["exclude"] == []
    assert crds.get("vpngw", "office", namespace)["status"]["observedGeneration"] == -1
    alice = crds.get("vpnu", "alice", namespace)
    assert (alice["spec"]["enabled"], alice["spec"]["onLimit"]) == (True, "replace-oldest")
    assert alice["status"]["observedGeneration"] == -1


def test_scaling_goes_through_the_rules(crds: Api, namespace: str) -> None:
    crds.apply(gateway({}), namespace=namespace)
    crds.kubectl("scale", "-n", namespace, "vpngw/office", "--replicas=0")
    assert crds.get("vpngw", "office", namespace)["spec"]["replicas"] == 0
    with pytest.raises(CommandRefused, match="store that they share"):
        crds.kubectl("scale", "-n", namespace, "vpngw/office", "--replicas=2")
    crds.apply(gateway({"store": VALKEY}), namespace=namespace, force=True)
    crds.kubectl("scale", "-n", namespace, "vpngw/office", "--replicas=2")
    assert crds.get("vpngw", "office", namespace)["spec"]["replicas"] == 2
    with pytest.raises(CommandRefused, match="less than or equal to 64"):
        crds.kubectl("scale", "-n", namespace, "vpngw/office", "--replicas=65")
    crds.kubectl(
        "patch", "-n", namespace, "vpngw/office", "--subresource=status", "--type=merge",
        "-p", json.dumps({"status": {"replicas": 1, "selector": "app=x"}}),
    )  # fmt: skip
    scale = json.loads(
        crds.kubectl("get", "--raw",
                     f"/apis/ferrule.dev/v1alpha1/namespaces/{namespace}/vpngateways/office/scale")
    )  # fmt: skip
    assert scale["status"] == {"replicas": 1, "selector": "app=x"}


def test_when_an_account_ends(crds: Api, namespace: str) -> None:
    crds.apply(user({"validUntil": "2027-01-31"}), namespace=namespace)
    crds.apply(user({"validUntil": "2027-01-31T18:00:00Z"}, "bob"), namespace=namespace)
    wide = crds.kubectl("get", "vpnu", "-n", namespace, "-o", "wide")
    assert "2027-01-31 " in wide
    assert "2027-01-31T18:00:00Z" in wide
    said = eventually(lambda: crds.kubectl("explain", "vpnuser.spec.validUntil"))
    assert "or a date, such as 2027-01-31" in " ".join(said.split())


def test_the_status_is_written_apart(crds: Api, namespace: str) -> None:
    crds.apply({**gateway({}), "status": {"address": "192.0.2.1"}}, namespace=namespace)
    assert crds.get("vpngw", "office", namespace)["status"]["address"] == ""


def test_columns_and_categories(crds: Api, namespace: str) -> None:
    crds.apply(gateway({}), user({}), namespace=namespace)
    said = crds.kubectl("get", "vpn", "-n", namespace)
    assert said.splitlines()[0].split() == [
        "NAME",
        "READY",
        "REPLICAS",
        "SESSIONS",
        "ADDRESS",
        "AGE",
    ]
    assert "GATEWAY" in said
    wide = crds.kubectl("get", "vpngw", "-n", namespace, "-o", "wide").splitlines()[0]
    assert wide.endswith("REASON   STORE    VERSION   POOL FREE")


@pytest.mark.parametrize(
    "path",
    ["vpngateway.spec.exposure.type", "vpngateway.spec.pools.cidr", "vpnuser.spec.validUntil",
     "vpngateway.status.conditions.reason"],
)  # fmt: skip
def test_fields_are_explained(crds: Api, path: str) -> None:
    said = eventually(lambda: crds.kubectl("explain", path), what="the API server's OpenAPI")
    assert "DESCRIPTION:" in said
    assert "<empty>" not in said
