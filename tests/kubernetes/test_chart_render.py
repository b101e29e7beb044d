"""The chart as real Helm renders it: every variant, and what the values decide."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from ferrule_operator import settings, uninstall
from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.models.user import VpnUserSpec
from ferrule_operator.names import password_secret, psk_secret
from ferrule_operator.objects import child_labels
from tests.kubernetes.chart.render import (
    CHART,
    LIVE,
    MONITORING,
    OURS,
    VARIANTS,
    HelmRefused,
    Manifest,
    helm,
    of_kind,
    one,
    render,
)
from tests.kubernetes.cluster.binaries import binary

CRDS = CHART.parents[1] / "crds"
NEWEST = sorted(
    {tuple(map(int, v.split(".")[:2])) for v in kubernetes_validate.utils.all_versions()}
)[-3:]
GOLDEN = CHART.parents[1] / "tests" / "ferrule_operator" / "golden" / "default.yaml"
UNCHECKED = ("ferrule.dev", "monitoring.coreos.com")  # by the API server, in test_chart_install.py
EVERYTHING = CHART / "ci" / "everything-values.yaml"
GATEWAYS = CHART / "ci" / "gateways-values.yaml"
GATEWAY = '{"pools": [{"name": "default", "cidr": "10.20.0.0/16"}]}'

each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)


@each_variant
def test_lint_has_nothing_to_say(variant: Path) -> None:
    helm("lint", "--strict", "--quiet", str(CHART), "--values", str(variant))


@each_variant
@pytest.mark.parametrize("version", NEWEST, ids=lambda version: f"{version[0]}.{version[1]}")
def test_manifests_are_strictly_valid(variant: Path, version: tuple[int, int]) -> None:
    checked = 0
    for item in render(variant, apis=MONITORING):
        if item["apiVersion"].partition("/")[0] in UNCHECKED:
            continue
        kubernetes_validate.validate(item, f"{version[0]}.{version[1]}", strict=True)
        checked += 1
    assert checked >= 4


@each_variant
def test_every_object_has_its_place_and_its_labels(variant: Path) -> None:
    manifests = render(variant, apis=MONITORING)
    seen = set()
    for item in manifests:
        meta = item["metadata"]
        key = (item["kind"], meta.get("namespace"), meta["name"])
        assert key not in seen
        seen.add(key)
        cluster_wide = item["kind"].startswith("Cluster") or item["kind"].startswith("CustomRes")
        assert ("namespace" in meta) != cluster_wide, key
        labels = meta["labels"]
        assert labels["app.kubernetes.io/name"] == "ferrule"
        assert labels["app.kubernetes.io/instance"] == "ferrule"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/component"]
        assert len(meta["name"]) <= 63


@each_variant
def test_pods_may_do_nothing(variant: Path) -> None:
    """Pod Security's level "restricted", and more: nothing can be written, little is mounted."""
    for item in render(variant):
        pod = item["spec"] if item["kind"] == "Pod" else _template(item)
        if pod is None:
            continue
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is (item["kind"] in ("Deployment", "Job"))
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
        assert not any("hostPath" in volume for volume in pod.get("volumes", ()))


def _template(item: Manifest) -> Any:
    return item.get("spec", {}).get("template", {}).get("spec") if "spec" in item else None


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ({"operator.unheard": "1"}, "'unheard' not allowed"),
        ({"unheard": "1"}, "'unheard' not allowed"),
        ({"gateways.office": '{"pool": []}'}, "'pool' not allowed"),
        ({"users.alice": "{}"}, "users.alice needs gatewayRef.name"),
        (
            {"gateways": f'{{"a": {GATEWAY}, "b": {GATEWAY}}}', "users.alice": "{}"},
            "`gateways` has 2",
        ),
    ],
    ids=str,
)
def test_wrong_values_are_refused(sets: dict[str, str], words: str) -> None:
    with pytest.raises(HelmRefused, match="(?s)" + words):
        render(sets=sets)


# --- the definitions


@pytest.mark.parametrize("keep", [True, False])
def test_the_definitions_are_those_of_crds(keep: bool) -> None:
    found = of_kind(render(sets={"crds.keep": json.dumps(keep)}), "CustomResourceDefinition")
    assert len(found) == 2
    for item in found:
        del item["metadata"]["labels"]
        annotations = item["metadata"].pop("annotations", {})
        assert annotations == ({"helm.sh/resource-policy": "keep"} if keep else {})
        plural = item["spec"]["names"]["plural"]
        assert item == YAML(typ="safe").load(CRDS / f"{plural}.yaml")


def test_the_definitions_can_be_left_out() -> None:
    assert not of_kind(render(sets={"crds.enabled": "false"}), "CustomResourceDefinition")


# --- the operator


@each_variant
def test_the_operator_understands_what_it_is_told(variant: Path) -> None:
    manifests = render(variant)
    deployment = one(manifests, "Deployment")
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    told = settings.from_environment(
        {entry["name"]: entry.get("value", "vpn") for entry in container["env"]}
    )
    assert dict(told.own_labels) == deployment["spec"]["selector"]["matchLabels"]
    assert dict(told.own_labels).items() <= template["metadata"]["labels"].items()
    assert told.leader_election == (deployment["spec"]["replicas"] > 1)
    (port,) = container["ports"]
    assert told.listen.endswith(f":{port['containerPort']}")
    roles = {(item["kind"], item["metadata"].get("namespace")) for item in _operators(manifests)}
    if told.namespaces:
        assert roles == {("Role", name) for name in told.namespaces}
    else:
        assert roles == {("ClusterRole", None)}


def _operators(manifests: list[Manifest]) -> list[Manifest]:
    return [
        item
        for item in manifests
        if item["kind"] in ("Role", "ClusterRole")
        and item["metadata"]["name"].endswith("-operator")
    ]


def test_a_namespaced_operator_has_no_right_elsewhere() -> None:
    manifests = render(CHART / "ci" / "namespaced-values.yaml")
    assert not [item for item in manifests if item["kind"].startswith(("Cluster", "Custom"))]
    bindings = of_kind(manifests, "RoleBinding")
    assert {item["metadata"]["namespace"] for item in bindings} == {"vpn", "branch"}
    for item in bindings:
        assert item["subjects"] == [
            {"kind": "ServiceAccount", "name": "ferrule", "namespace": "vpn"}
        ]


def test_its_roles_name_what_they_mean() -> None:
    (role,) = _operators(render())
    for rule in role["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"nodes", "namespaces", "roles", "clusterroles"} & set(rule["resources"])


def test_an_image_is_named_by_digest_or_tag() -> None:
    manifests = render(EVERYTHING)
    image = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith("registry.example:5000/ferrule/operator@sha256:0123")
    env = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    images = {entry["name"]: entry.get("value") for entry in env}
    assert images["FERRULE_OPERATOR_IMAGE"] == "registry.example:5000/ferrule/concentrator:0.1.0-1"
    assert images["FERRULE_OPERATOR_IMAGE_PULL_SECRETS"] == "registry"


def test_people_get_roles_that_are_told_apart() -> None:
    roles = {
        item["metadata"]["name"]: item
        for item in of_kind(render(), "ClusterRole")
        if not item["metadata"]["name"].endswith("-operator")
    }
    assert set(roles) == {"ferrule-edit-gateways", "ferrule-edit-users", "ferrule-view"}
    aggregated = {
        name: {label for label in item["metadata"]["labels"] if "aggregate" in label}
        for name, item in roles.items()
    }
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert aggregated == {
        "ferrule-edit-gateways": {f"{prefix}admin"},
        "ferrule-edit-users": {f"{prefix}admin"},
        "ferrule-view": {f"{prefix}view"},
    }
    resources = {
        name: {word for rule in item["rules"] for word in rule["resources"]}
        for name, item in roles.items()
    }
    assert not any("users" in word for word in resources["ferrule-edit-gateways"])
    assert not any("gateways" in word for word in resources["ferrule-edit-users"])
    assert not any("secrets" in words for words in resources.values())


# --- gateways and users


def test_gateways_and_users_are_what_the_operator_reads() -> None:
    manifests = render(GATEWAYS)
    gateway = one(manifests, "VpnGateway")
    assert VpnGatewaySpec.model_validate(gateway["spec"]).pools[0].name == "default"
    users = {item["metadata"]["name"]: item["spec"] for item in of_kind(manifests, "VpnUser")}
    assert users["alice"] == {"gatewayRef": {"name": "office"}}
    assert VpnUserSpec.model_validate(users["bob"]).username == "Bob Builder"


def test_a_cluster_without_the_definitions_is_told_what_to_do_first() -> None:
    with pytest.raises(HelmRefused, match="does not know VpnGateways yet") as refused:
        render(GATEWAYS, apis=[LIVE])
    assert "helm upgrade ferrule" in str(refused.value)
    assert of_kind(render(GATEWAYS, apis=[LIVE, *OURS]), "VpnGateway")
    assert render(apis=[LIVE])  # without gateways there is no such trouble


def test_the_test_connects_as_a_user_of_its_own() -> None:
    manifests = render(GATEWAYS)
    user, pod = sorted(hooks(manifests, "test"), key=_weight)
    assert (user["kind"], pod["kind"]) == ("VpnUser", "Pod")
    (container,) = pod["spec"]["containers"]
    assert container["args"][:2] == ["probe", "office.vpn.svc"]
    name = user["metadata"]["name"]
    assert f"--user={name}" in container["args"]
    (volume,) = pod["spec"]["volumes"]
    secrets = [source["secret"]["name"] for source in volume["projected"]["sources"]]
    assert secrets == [psk_secret("office"), password_secret(name)]
    # The log is read after the end: the pod must still be there.
    assert "succeeded" not in pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def hooks(manifests: list[Manifest], event: str) -> list[Manifest]:
    return [
        item
        for item in manifests
        if item["metadata"].get("annotations", {}).get("helm.sh/hook") == event
    ]


def _weight(item: Manifest) -> int:
    return int(item["metadata"]["annotations"].get("helm.sh/hook-weight", 0))


def test_the_test_uses_the_key_that_the_gateway_uses() -> None:
    pod = one(render(EVERYTHING), "Pod")
    source = pod["spec"]["volumes"][0]["projected"]["sources"][0]["secret"]
    assert source == {"name": "office-key", "items": [{"key": "key", "path": "psk"}]}
    assert not of_kind(render(GATEWAYS, sets={"test.enabled": "false"}), "Pod")


# --- uninstall


def test_gateways_go_before_the_operator() -> None:
    job = one(render(GATEWAYS), "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", uninstall.__name__]
    assert container["args"][1:] == [
        "--namespace=vpn",
        "--selector=app.kubernetes.io/managed-by=Helm,app.kubernetes.io/instance=ferrule",
    ]
    gateway = one(render(GATEWAYS), "VpnGateway")
    for pair in container["args"][2].removeprefix("--selector=").split(","):
        name, _, value = pair.partition("=")
        assert gateway["metadata"]["labels"][name] == value


@pytest.mark.parametrize(
    ("sets", "role", "namespaces"),
    [
        ({"gateways.office": GATEWAY}, "Role", ["vpn"]),
        ({"crds.keep": "false"}, "ClusterRole", []),
        (
            {
                "crds.keep": "false",
                "operator.watch": '{"scope": "Namespaces", "namespaces": ["a"]}',
            },
            "Role",
            ["a"],
        ),
        ({}, "", []),
        ({"gateways.office": GATEWAY, "uninstall.gatewaysFirst": "false"}, "", []),
    ],
    ids=str,
)
def test_the_uninstall_may_delete_and_nothing_else(
    sets: dict[str, str], role: str, namespaces: list[str]
) -> None:
    steps = hooks(render(sets=sets), "pre-delete")
    roles = [item for item in steps if item["kind"] in ("Role", "ClusterRole")]
    assert {item["kind"] for item in roles} == ({role} if role else set())
    assert [i["metadata"]["namespace"] for i in roles if role == "Role"] == namespaces
    for item in roles:
        assert item["rules"] == [
            {
                "apiGroups": ["ferrule.dev"],
                "resources": ["vpngateways", "vpnusers"],
                "verbs": ["list", "delete"],
            }
        ]
    jobs = of_kind(steps, "Job")
    assert len(jobs) == (1 if role else 0)
    for job in jobs:
        args = job["spec"]["template"]["spec"]["containers"][0]["args"][1:]
        assert [a.removeprefix("--namespace=") for a in args if "selector" not in a] == namespaces


# --- monitoring


def test_monitoring_is_off_and_waits_for_a_cluster_that_knows_it() -> None:
    kinds = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
    assert not kinds & {item["kind"] for item in render(apis=MONITORING)}
    assert not kinds & {item["kind"] for item in render(EVERYTHING)}
    assert kinds <= {item["kind"] for item in render(EVERYTHING, apis=MONITORING)}


def test_the_pod_monitor_finds_the_pods_of_gateways() -> None:
    monitor = one(render(EVERYTHING, apis=MONITORING), "PodMonitor")
    (requirement,) = monitor["spec"]["selector"]["matchExpressions"]
    assert requirement["operator"] == "Exists"
    assert requirement["key"] in child_labels("office")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (relabeling,) = endpoint["relabelings"]
    assert relabeling["targetLabel"] == "gateway"
    flat = requirement["key"].replace(".", "_").replace("/", "_")
    assert relabeling["sourceLabels"] == [f"__meta_kubernetes_pod_label_{flat}"]
    pods = one(list(YAML(typ="safe").load_all(GOLDEN)), "StatefulSet")["spec"]["template"]
    assert requirement["key"] in pods["metadata"]["labels"]
    ports = {port["name"] for c in pods["spec"]["containers"] for port in c["ports"]}
    assert endpoint["port"] in ports


def test_the_rules_are_those_of_the_file(tmp_path: Path) -> None:
    rule = one(render(EVERYTHING, apis=MONITORING), "PrometheusRule")
    source = YAML(typ="safe").load(CHART / "files" / "alerts.yaml")
    for group in source["groups"]:
        group["rules"] = [
            one for one in group["rules"] if one["alert"] != "FerruleTurnsClientsAway"
        ]
        for one_rule in group["rules"]:
            one_rule["labels"]["team"] = "network"
    assert rule["spec"] == source
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rule["spec"]))
    subprocess.run(
        [str(binary("promtool")), "check", "rules", "--lint=all", "--lint-fatal", str(file)],
        check=True,
        capture_output=True,
    )


def test_a_dashboard_comes_whole() -> None:
    manifests = render(EVERYTHING)
    (path,) = (CHART / "files" / "dashboards").glob("*.json")
    config = next(
        item for item in of_kind(manifests, "ConfigMap") if path.name in item.get("data", {})
    )
    assert json.loads(config["data"][path.name]) == json.loads(path.read_text())
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert config["metadata"]["annotations"] == {"grafana_folder": "VPN"}
    assert config["metadata"]["namespace"] == "monitoring"
    assert sum(len(text) for text in config["data"].values()) < 1_000_000


# --- names


def test_long_names_are_cut() -> None:
    manifests = render(release="a" * 53, sets={"gateways.office": GATEWAY})
    for item in manifests:
        assert len(item["metadata"]["name"]) <= 63, item["kind"]
    names = {item["metadata"]["name"] for item in render(sets={"fullnameOverride": '"vpn"'})}
    assert {"vpn", "vpn-operator", "vpn-view"} <= names
