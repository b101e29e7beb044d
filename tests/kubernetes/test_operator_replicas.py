"""Several replicas on a real API server with the real controllers: StatefulSet, autoscaler. What is
played are the kubelet and the pods' remote ports; tests/cluster has real members."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from ferrule.crypto.compare import equal
from ferrule_operator.manifests.stateful_set import SETTLE_SECONDS
from tests.kubernetes.cluster.api import CommandRefused, eventually
from tests.kubernetes.operator.pods import Concentrator
from tests.kubernetes.test_operator import REST_SECONDS, Stage, gateway, stage

__all__ = ["stage"]  # a fixture

STORE = {"type": "Valkey", "url": "valkey://valkey.vpn:6379/0"}
NAMES = ("office-0", "office-1", "office-2")


def running(stage: Stage, replicas: int) -> list[Concentrator]:
    """A gateway whose pods are members."""
    stage.apply(gateway(replicas=replicas, store=STORE))
    members = [stage.kubelet.run(name) for name in NAMES[:replicas]]
    for member in members:
        member.members = list(NAMES[:replicas])
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=40)
    return members


def pods(stage: Stage) -> dict[str, str]:
    """Names and uids."""
    items = stage.api.list("pods", stage.namespace)
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}


def events(stage: Stage) -> dict[str, str]:
    """Reasons, and the message of the last of each."""
    return {
        item["reason"]: item["message"]
        for item in stage.api.list("events", stage.namespace)
        if item["involvedObject"]["name"] == "office"
    }


def scale(stage: Stage, replicas: int) -> None:
    stage.api.kubectl("scale", "vpngateway/office", f"--replicas={replicas}", "-n", stage.namespace)


def test_members_tell_who_they_are(stage: Stage) -> None:
    first, second = running(stage, 2)
    for member in (first, second):
        store = member.config.gateway.store
        assert (store.type, store.gateway) == ("Valkey", f"{stage.namespace}/office")
        assert store.key is not None
        assert store.names_key is not None
    assert first.files == second.files
    status = stage.status("vpngw", "office")
    assert status["members"] == ["office-0", "office-1"]
    assert status["replicas"] == status["readyReplicas"] == 2
    assert stage.reason("vpngw", "office", "StoreReady") == "Reachable"
    template = stage.get("pod", "office-1")["spec"]["containers"][0]
    told = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in template["env"]}
    assert told == {"FERRULE_MEMBER": "metadata.name", "FERRULE_ADDRESS": "status.podIP"}
    budget = stage.get("pdb", "office")["spec"]
    assert budget["maxUnavailable"] == 1
    ring = stage.get("service", "office-pods")["spec"]
    assert ring["publishNotReadyAddresses"] is True
    assert [port["port"] for port in ring["ports"]] == [9190, 4510]


def test_members_at_rest_cost_no_write(stage: Stage) -> None:
    running(stage, 2)
    stage.operator.rest()
    mark = stage.api.audit.mark()
    time.sleep(REST_SECONDS)
    assert stage.writes(mark) == []


def test_kubectl_scale_up_and_down(stage: Stage) -> None:
    (first,) = running(stage, 1)
    before = pods(stage)
    scale(stage, 3)
    more = [stage.kubelet.run(name) for name in NAMES[1:]]
    for member in (first, *more):
        member.members = list(NAMES)
    stage.until(lambda: stage.status("vpngw", "office")["readyReplicas"] == 3, seconds=40)
    stage.until(lambda: stage.status("vpngw", "office")["members"] == list(NAMES), seconds=20)
    assert pods(stage)["office-0"] == before["office-0"]  # nobody was thrown out for it
    assert stage.get("pdb", "office")
    assert events(stage)["Scaled"] == "1 to 3 pods"
    assert events(stage)["MembersChanged"].startswith("came office-1, office-2")
    scale(stage, 1)
    eventually(lambda: set(pods(stage)) == {"office-0"}, what="the highest ordinals to go")
    first.members = ["office-0"]
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=40)
    with pytest.raises(CommandRefused, match="NotFound"):
        stage.get("pdb", "office")


def test_without_a_store_nothing_scales(stage: Stage) -> None:
    stage.apply(gateway())
    stage.until(lambda: stage.get("sts", "office"))
    with pytest.raises(CommandRefused, match="more than one replica needs a store"):
        scale(stage, 2)
    patch = json.dumps({"spec": {"replicas": 2}})
    with pytest.raises(CommandRefused, match="more than one replica needs a store"):
        stage.api.kubectl(
            "patch", "vpngw/office", "-n", stage.namespace, "--type=merge", "-p", patch
        )
    stage.apply(scaler("office"))
    condition = eventually(
        lambda: next(
            one
            for one in stage.get("hpa", "office")["status"]["conditions"]
            if one["type"] == "AbleToScale" and one["status"] == "False"
        ),
        seconds=40,
    )
    assert "needs a store" in condition["message"]
    assert stage.get("sts", "office")["spec"]["replicas"] == 1


def scaler(name: str) -> dict[str, Any]:
    """As docs/operator.md has it. Below its minimum it scales without asking for metrics."""
    target = {"apiVersion": "ferrule.dev/v1alpha1", "kind": "VpnGateway", "name": name}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 2,
            "maxReplicas": 4,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }


def test_an_autoscaler(stage: Stage) -> None:
    stage.apply(gateway(store=STORE))
    stage.until(lambda: stage.get("sts", "office")["spec"]["replicas"] == 1)
    stage.apply(scaler("office"))
    eventually(lambda: stage.get("sts", "office")["spec"]["replicas"] == 2, seconds=60)
    assert stage.get("vpngw", "office")["spec"]["replicas"] == 2
    eventually(lambda: set(pods(stage)) == {"office-0", "office-1"})
    status = eventually(lambda: stage.get("hpa", "office")["status"])
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions["AbleToScale"] == "True"
    eventually(lambda: stage.status("vpngw", "office")["replicas"] == 2)
    # The selector that an autoscaler finds the pods by.
    selector = stage.status("vpngw", "office")["selector"]
    assert len(stage.api.list("pods", stage.namespace, selector)) == 2


def test_a_store_that_is_away_is_told(stage: Stage) -> None:
    first, second = running(stage, 2)
    second.store = {"type": "Valkey", "up": False, "why": "connection refused"}
    stage.until(lambda: stage.reason("vpngw", "office") == "StoreUnreachable", seconds=20)
    told = "1 of 2 pods don't reach it; office-1: connection refused"
    assert events(stage)["StoreUnreachable"] == told
    second.store = first.store
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=20)
    stage.until(lambda: "StoreReachable" in events(stage))


def test_another_key_is_known_to_all_before_it_is_used(stage: Stage) -> None:
    members = running(stage, 2)
    before = members[0].config.gateway.store
    stage.api.kubectl(
        "annotate", "vpngw/office", "ferrule.dev/rotate-store-key=1", "-n", stage.namespace
    )
    for member in members:
        stage.until(lambda m=member: m.config.gateway.store.previous_key is not None)  # type: ignore[misc]
        store = member.config.gateway.store
        for key, old in ((store.key, before.key), (store.names_key, before.names_key)):
            assert key is not None
            assert old is not None
            assert equal(key.reveal(), old.reveal())
    assert "CredentialsRotated" in events(stage)


def test_an_update_goes_from_the_highest_ordinal_down(stage: Stage) -> None:
    running(stage, 2)
    # A pod counts as available some time after it is ready; those that don't may all go at once.
    eventually(lambda: stage.get("sts", "office")["status"]["availableReplicas"] == 2)
    before = pods(stage)
    stage.apply(gateway(replicas=2, store=STORE, ppp={"mtu": 1300}))
    eventually(lambda: pods(stage).get("office-1", before["office-1"]) != before["office-1"])
    stage.until(lambda: stage.reason("vpngw", "office", "Progressing") == "RollingOut")
    assert pods(stage)["office-0"] == before["office-0"]
    stage.kubelet.run("office-1")
    ready = time.monotonic()
    eventually(lambda: pods(stage).get("office-0", before["office-0"]) != before["office-0"])
    assert time.monotonic() - ready > SETTLE_SECONDS - 2  # whole seconds in statuses
    stage.kubelet.run("office-0")
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=40)


def settled(stage: Stage, name: str) -> bool:
    """Are all pods of the newest template?"""
    item = stage.get("sts", name)
    status = item["status"]
    seen = status["observedGeneration"] == item["metadata"]["generation"]
    return bool(seen and status.get("updatedReplicas") == item["spec"]["replicas"])


def test_scaling_down_and_another_template_at_once(stage: Stage) -> None:
    """While no pod is available yet: Kubernetes 1.37 made and deleted a pod for ever."""
    running(stage, 2)
    stage.apply(gateway(replicas=1, store=STORE, ppp={"mtu": 1300}))
    eventually(lambda: settled(stage, "office"), what="the pods of the last change")
    stage.kubelet.run("office-0")
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=40)
