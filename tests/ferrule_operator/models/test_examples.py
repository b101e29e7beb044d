"""The examples make what they say, and name no field that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from ferrule_operator.objects import Object
from ferrule_operator.rendering import load_bundles
from support.operator import World, gateway, resource, secret

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "kubernetes"


def examples(folder: Path = EXAMPLES) -> list[dict[str, Any]]:
    yaml = YAML(typ="safe")
    return [
        item for path in sorted(folder.glob("*.yaml")) for item in yaml.load_all(path.read_text())
    ]


def test_the_examples_make_a_gateway_with_two_users() -> None:
    items: list[Object] = []
    for item in examples():
        name = item["metadata"]["name"]
        if item["kind"] == "VpnGateway":
            items.append(gateway(name, item["spec"]))
        elif item["kind"] == "VpnUser":
            items.append(resource("VpnUser", name, item["spec"]))
        else:
            items.append(secret(name, item["stringData"]))
    plan = World(*items).settle()
    assert [finding for finding in plan.findings if not finding.holds] == []
    assert {user.findings[0].reason for user in plan.users} == {"Active"}
    config = load_bundles(plan.files)
    assert [user.username for user in config.users] == ["alice", "bob@example.org"]
    assert config.warnings == ()


def test_the_example_of_several_replicas() -> None:
    scaler, large = examples(EXAMPLES / "scaled")
    item = gateway(large["metadata"]["name"], large["spec"])
    world = World(item, secret("ferrule-valkey", {"password": "open"}))
    plan = world.plan(name="large")
    assert [finding for finding in plan.findings if not finding.holds] == []
    config = load_bundles(plan.files)
    assert config.gateway.store.type == "Valkey"
    assert [problem.field for problem in config.warnings] == ["users"]  # there are none
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": large["apiVersion"],
        "kind": large["kind"],
        "name": large["metadata"]["name"],
    }
    assert scaler["spec"]["minReplicas"] >= 2
