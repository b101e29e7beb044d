"""The operator on a real API server, with the real controllers and the chart's rights. What is
played are the kubelet and the pods' remote ports; test_install.py has real ones."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.cluster.api import Api, eventually
from tests.kubernetes.cluster.control_plane import ControlPlane
from tests.kubernetes.office import NAME, resource, user
from tests.kubernetes.operator.pods import Concentrator, Kubelet
from tests.kubernetes.operator.process import Operator, install_rights, operating

POOLS = [{"name": "default", "cidr": "10.20.0.0/16"}]
SOON = 5.0  # seconds in which a change must be effective
ACCOUNT = "system:serviceaccount:"
REST_SECONDS = float(os.environ.get("FERRULE_REST_SECONDS", "10"))  # 600 for the whole of it


def gateway(**spec: Any) -> dict[str, Any]:
    whole = {"pools": POOLS, "exposure": {"type": "ClusterIP"}, **spec}
    return resource("VpnGateway", NAME, **whole)


class Stage:
    """A namespace with the operator at work, a kubelet that is played, and the controllers."""

    def __init__(self, api: Api, namespace: str, operator: Operator, kubelet: Kubelet) -> None:
        self.api = api
        self.namespace = namespace
        self.operator = operator
        self.kubelet = kubelet

    def apply(self, *items: dict[str, Any]) -> None:
        self.api.apply(*items, namespace=self.namespace, force=True)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.api.get(kind, name, self.namespace)

    def status(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(kind, name).get("status", {})
        return found

    def reason(self, kind: str, name: str, condition: str = "Ready") -> str:
        rows = self.status(kind, name).get("conditions", [])
        return next((row["reason"] for row in rows if row["type"] == condition), "")

    def started(self) -> Concentrator:
        """The gateway and its first pod."""
        self.apply(gateway(), user("alice"), user("bob"))
        concentrator = self.kubelet.run("office-0")
        self.until(lambda: self.reason("vpngw", "office") == "AsSpecified", seconds=30)
        return concentrator

    def until(self, question: Callable[[], Any], seconds: float = SOON) -> float:
        """How long it took."""
        start = time.monotonic()
        eventually(question, seconds=seconds)
        return time.monotonic() - start

    def writes(self, mark: int) -> list[str]:
        return [
            str(write)
            for write in self.api.audit.writes(mark, user=ACCOUNT, namespace=self.namespace)
            if "operator" in write.agent or "kopf" in write.agent
        ]


@pytest.fixture
def stage(api: Api, controllers: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    account = install_rights(api, namespace)
    with (
        operating(account.kubeconfig, tmp_path, NAMESPACE=namespace) as operator,
        Kubelet(api, namespace) as kubelet,
    ):
        mark = api.audit.mark()
        yield Stage(api, namespace, operator, kubelet)
    account.close()
    finalized(api, namespace)
    assert refused(api, namespace, mark) == []


def refused(api: Api, namespace: str, mark: int) -> list[str]:
    """What the operator was not allowed to do, and tried."""
    requests = api.audit.requests(mark, user=f"{ACCOUNT}{namespace}:ferrule")
    return [str(request) for request in requests if request.forbidden]


def finalized(api: Api, namespace: str) -> None:
    """No gateway may hold the namespace when its operator is gone."""
    for item in api.list("vpngw", namespace):
        api.kubectl("patch", "vpngw", item["metadata"]["name"], "-n", namespace, "--type=merge",
                    "-p", '{"metadata": {"finalizers": []}}')  # fmt: skip


def test_from_nothing_to_ready(stage: Stage) -> None:
    concentrator = stage.started()
    assert [one.username for one in concentrator.config.users] == ["alice", "bob"]
    gateway = stage.status("vpngw", "office")
    assert gateway["readyReplicas"] == 1
    assert gateway["observedGeneration"] == 1
    assert gateway["address"] == stage.get("service", "office")["spec"]["clusterIP"]
    assert stage.status("vpnu", "alice")["secretName"] == "vpnuser-alice"
    events = {
        (item["involvedObject"]["name"], item["reason"])
        for item in stage.api.list("events", stage.namespace)
        if item["source"].get("component") == "ferrule-operator"
    }
    assert {("office", "Created"), ("office", "Available"), ("alice", "CredentialsGenerated")} <= (
        events
    )


def test_users_come_change_and_go_within_seconds(stage: Stage) -> None:
    concentrator = stage.started()
    stage.apply(user("carol", staticIP="10.20.0.9"))
    stage.until(lambda: concentrator.user("carol"))
    assert str(concentrator.user("carol").static_ip) == "10.20.0.9"
    stage.apply(user("carol", staticIP="10.20.0.10"))
    stage.until(lambda: str(concentrator.user("carol").static_ip) == "10.20.0.10")
    stage.apply(user("bob", enabled=False))
    stage.until(lambda: concentrator.user("bob").enabled is False)
    stage.api.kubectl("delete", "vpnu", "carol", "-n", stage.namespace)
    stage.until(lambda: concentrator.user("carol") is None)
    stage.until(lambda: stage.reason("vpnu", "bob") == "Disabled")
    eventually(lambda: "vpnuser-carol" not in stage.api.kubectl(
        "get", "secrets", "-n", stage.namespace))  # fmt: skip


def test_a_changed_secret_is_a_changed_password(stage: Stage) -> None:
    concentrator = stage.started()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hers"}}
    stage.apply(
        {**secret, "stringData": {"password": "one"}},
        user("alice", password={"valueFrom": {"secretKeyRef": {"name": "hers"}}}),
    )
    before = eventually(
        lambda: (
            stage.reason("vpnu", "alice", "CredentialsReady") == "Provided"
            and concentrator.user("alice").verifier.reveal()
        )
    )
    stage.apply({**secret, "stringData": {"password": "two"}})
    stage.until(lambda: concentrator.user("alice").verifier.reveal() != before)
    assert concentrator.user("alice").previous_verifier.reveal() == before
    stage.api.kubectl("delete", "secret", "hers", "-n", stage.namespace)
    stage.until(lambda: concentrator.user("alice") is None)
    stage.until(lambda: stage.reason("vpnu", "alice") == "NoCredentials")


def test_a_rotation_on_demand(stage: Stage) -> None:
    concentrator = stage.started()
    psk = concentrator.config.gateway.ipsec.psk
    assert psk is not None
    stage.api.kubectl(
        "annotate", "vpngw/office", "vpnu/alice", "ferrule.dev/rotate=1", "-n", stage.namespace
    )
    stage.until(lambda: concentrator.config.gateway.ipsec.previous_psk is not None)
    previous = concentrator.config.gateway.ipsec.previous_psk
    assert previous is not None
    assert previous.reveal() == psk.reveal()
    stage.until(lambda: concentrator.user("alice").previous_verifier is not None)
    assert concentrator.user("bob").previous_verifier is None


def test_a_change_is_one_write_and_rest_is_none(stage: Stage) -> None:
    concentrator = stage.started()
    stage.operator.rest()
    mark = stage.api.audit.mark()
    stage.apply(user("bob", maxSessions=3))
    stage.until(lambda: concentrator.user("bob").max_sessions == 3)
    stage.until(lambda: stage.status("vpnu", "bob")["observedGeneration"] == 2)
    written = stage.writes(mark)
    assert len([line for line in written if "secrets" in line]) == 1
    assert len([line for line in written if "vpnusers/status" in line]) == 1
    assert len(written) == 2, written
    stage.operator.rest()
    mark = stage.api.audit.mark()
    time.sleep(REST_SECONDS)  # a resync each three seconds, a poll a second
    assert stage.writes(mark) == []


def test_drift_is_repaired(stage: Stage) -> None:
    stage.started()
    stage.api.kubectl("patch", "service", "office", "-n", stage.namespace, "--type=merge",
                      "-p", '{"spec": {"sessionAffinity": "None"}}')  # fmt: skip
    stage.api.kubectl("delete", "networkpolicy", "office", "-n", stage.namespace)
    stage.until(lambda: stage.get("service", "office")["spec"]["sessionAffinity"] == "ClientIP")
    stage.until(lambda: stage.get("networkpolicy", "office"))


def test_a_paused_gateway_is_left_alone(stage: Stage) -> None:
    concentrator = stage.started()
    stage.apply(gateway(paused=True))
    stage.until(lambda: stage.reason("vpngw", "office", "Progressing") == "Paused")
    stage.apply(user("carol"))
    stage.api.kubectl("delete", "networkpolicy", "office", "-n", stage.namespace)
    time.sleep(5)
    assert concentrator.user("carol") is None
    assert "office" not in stage.api.kubectl("get", "networkpolicy", "-n", stage.namespace)
    stage.apply(gateway(paused=False))
    stage.until(lambda: concentrator.user("carol"))


def test_counters_and_sessions_reach_the_statuses(stage: Stage) -> None:
    concentrator = stage.started()
    concentrator.sessions = {"alice": 2}
    concentrator.connected = {"alice": 1_790_000_000.0}
    stage.until(lambda: stage.status("vpngw", "office")["sessions"] == 2, seconds=30)
    stage.until(lambda: stage.status("vpnu", "alice").get("activeSessions") == 2, seconds=70)
    assert stage.status("vpnu", "alice")["lastConnectedTime"] == "2026-09-21T14:13:20Z"


def test_a_wrong_gateway_says_why_and_goes_on(stage: Stage) -> None:
    concentrator = stage.started()
    stage.apply(gateway(ipsec={"proposals": {"phase1": ["aes128-md5-modp1024"]}}))
    stage.until(lambda: stage.reason("vpngw", "office") == "Invalid")
    stage.apply(user("bob", enabled=False))
    stage.until(lambda: concentrator.user("bob").enabled is False)
    assert concentrator.config.gateway.ipsec.proposals.phase1[0].startswith("aes256")


def test_why_an_init_step_failed_is_shown(stage: Stage) -> None:
    stage.apply(gateway())
    eventually(lambda: stage.get("pod", "office-0"))
    stage.kubelet.say("office-0", ready=False, init_message="TunNodeDenied: use a device plugin")
    stage.until(lambda: stage.reason("vpngw", "office") == "TunNodeDenied")


def test_scaling_and_deletion_leave_nothing_behind(stage: Stage) -> None:
    stage.started()
    stage.api.kubectl("scale", "vpngw/office", "--replicas=0", "-n", stage.namespace)
    stage.until(lambda: stage.reason("vpngw", "office") == "ScaledToZero", seconds=20)
    stage.api.kubectl("scale", "vpngw/office", "--replicas=1", "-n", stage.namespace)
    stage.kubelet.run("office-0")
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=20)
    stage.api.kubectl(
        "delete", "vpngw/office", "vpnu/alice", "vpnu/bob", "-n", stage.namespace, timeout=60
    )
    kinds = "sts,svc,secret,netpol,sa,pdb,pod"
    eventually(
        lambda: stage.api.kubectl("get", kinds, "-n", stage.namespace, "-o", "name").split()
        in ([], ["serviceaccount/default"], ["serviceaccount/default", "serviceaccount/ferrule"],
            ["serviceaccount/ferrule"]),
        what="everything to be collected",
    )  # fmt: skip


def test_what_others_own_is_not_taken(stage: Stage) -> None:
    stage.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "office"},
         "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vpnuser-alice"},
         "stringData": {"password": "a stranger's"}},
        gateway(), user("alice"),
    )  # fmt: skip
    stage.until(lambda: stage.reason("vpngw", "office", "Progressing") == "NameTaken")
    stage.until(lambda: stage.reason("vpnu", "alice") == "NameTaken")
    assert stage.get("service", "office")["spec"]["selector"] == {"app": "web"}


def test_no_secret_gets_out(stage: Stage) -> None:
    concentrator = stage.started()
    secrets = [
        text
        for item in stage.api.list("secrets", stage.namespace)
        for text in item.get("data", {}).values()
    ]
    values = {_decoded(text) for text in secrets} | {
        str(concentrator.files["remote.key"]), str(concentrator.files["psk"]),
    }  # fmt: skip
    short = {value for value in values if 8 <= len(value) <= 100}
    assert len(short) >= 4
    kinds = ("events", "vpngw", "vpnu", "sts", "svc", "pods")
    places = [
        stage.operator.log(),
        *(json.dumps(stage.api.list(kind, stage.namespace)) for kind in kinds),
        *(json.dumps(one["metadata"]) for one in stage.api.list("secrets", stage.namespace)),
    ]
    for value in short:
        assert not any(value in place for place in places)


def test_the_examples(stage: Stage) -> None:
    examples = Path(__file__).resolve().parents[2] / "examples" / "kubernetes"
    stage.api.kubectl("apply", "-n", stage.namespace, "-f", str(examples))
    concentrator = stage.kubelet.run("office-0")
    stage.until(lambda: stage.reason("vpngw", "office") == "AddressPending", seconds=20)
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}}}
    stage.api.kubectl(
        "patch", "service", "office", "-n", stage.namespace, "--subresource=status",
        "--type=merge", "-p", json.dumps(ingress),
    )  # fmt: skip
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified")
    assert stage.status("vpngw", "office")["address"] == "203.0.113.5"
    stage.until(lambda: str(concentrator.config.listen.public_address) == "203.0.113.5")
    assert {one.username for one in concentrator.config.users} == {"alice", "bob@example.org"}


def test_an_operator_with_no_right_outside_its_namespace(
    api: Api, controllers: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    other = f"{namespace}-other"
    api.create_namespace(other)
    account = install_rights(api, namespace, {"operator.watch.scope": "Namespaces"})
    api.kubectl("delete", "clusterrolebinding", "ferrule-operator", "--ignore-not-found")
    with (
        operating(
            account.kubeconfig, tmp_path, NAMESPACE=namespace, NAMESPACES=namespace
        ) as operator,
        Kubelet(api, namespace) as kubelet,
    ):
        stage = Stage(api, namespace, operator, kubelet)
        api.apply(gateway(), namespace=other)
        stage.started()
        assert "office" not in api.kubectl("get", "sts", "-n", other)
        assert "Forbidden" not in operator.log()
    account.close()
    finalized(api, namespace)
    api.kubectl("delete", "namespace", other, "--wait=false")


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
