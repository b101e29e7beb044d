"""The operator's role is what it uses: everything it does is done once, and what the API server's
audit log has is compared with the rules, both ways. That nothing forbidden was tried is looked at
after every test of the operator (test_operator.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from tests.kubernetes.cluster.api import Api, CommandRefused, eventually
from tests.kubernetes.cluster.audit import Request
from tests.kubernetes.cluster.control_plane import ControlPlane
from tests.kubernetes.operator.faults import FaultyWay
from tests.kubernetes.operator.pods import Kubelet
from tests.kubernetes.operator.process import CHART, Operator, install_rights, operating
from tests.kubernetes.test_operator import ACCOUNT, Stage, finalized, gateway, refused, user
from tests.kubernetes.test_operator_replicas import STORE, settled

Right = tuple[str, str, str]  # group, resource (with its subresource), verb

# Rights that no request of the operator's own shows.
ELSEWHERE: Final[frozenset[Right]] = frozenset(
    {
        # The admission plugin OwnerReferencesPermissionEnforcement asks for them whenever a child
        # is made; test_children_need_the_right_to_hold_their_owner has it refuse.
        ("ferrule.dev", "vpngateways/finalizers", "update"),
        ("ferrule.dev", "vpnusers/finalizers", "update"),
    }
)


def granted(rules: Iterable[dict[str, Any]]) -> set[Right]:
    """All combinations, as RBAC has them. No rule of ours is for a path, or has a wildcard."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(requests: Iterable[Request]) -> set[Right]:
    """What was asked for, and had an answer."""
    found: set[Right] = set()
    for request in requests:
        if not request.resource:
            continue  # what the server can do: everybody may ask
        parts = (request.resource, request.subresource)
        resource = "/".join(part for part in parts if part)
        found.add((request.group, resource, request.verb))
        if request.verb == "patch" and request.code == 201:  # an apply that made the object
            found.add((request.group, resource, "create"))
    return found


def roles(api: Api, namespace: str, part: str) -> set[Right]:
    names = ("ferrule-operator", "ferrule-lease") if part == "operator" else ("ferrule-uninstall",)
    return {right for name in names for right in granted(api.get("role", name, namespace)["rules"])}


@contextmanager
def at_work(
    api: Api, account: Api, namespace: str, folder: Path, **settings: str
) -> Iterator[tuple[Operator, Stage]]:
    everything = {"NAMESPACE": namespace, "NAMESPACES": namespace, **settings}
    with (
        operating(account.kubeconfig, folder, LEADER_ELECTION="true", **everything) as operator,
        Kubelet(api, namespace) as kubelet,
    ):
        yield operator, Stage(api, namespace, operator, kubelet)


def test_the_role_is_what_is_used(
    api: Api, controllers: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    values = {"operator.watch.scope": "Namespaces", "operator.replicas": "2"}
    account = install_rights(api, namespace, values)
    api.kubectl("delete", "clusterrolebinding", "ferrule-operator", "--ignore-not-found")
    mark = api.audit.mark()
    with at_work(api, account, namespace, tmp_path) as (_, stage):
        make_and_change(stage)
    with FaultyWay(api.plane.server, account.kubeconfig) as way:
        kubeconfig = way.kubeconfig(tmp_path)
        with operating(
            kubeconfig, tmp_path, NAMESPACE=namespace, NAMESPACES=namespace, NETWORK_POLICY="false"
        ) as operator, Kubelet(api, namespace) as kubelet:  # fmt: skip
            meet_trouble_and_leave(Stage(api, namespace, operator, kubelet), way)
    account.close()
    finalized(api, namespace)
    assert refused(api, namespace, mark) == []
    rights = roles(api, namespace, "operator")

    def seen() -> set[Right]:
        requests = api.audit.requests(mark, user=f"{ACCOUNT}{namespace}:ferrule")
        return used(requests)

    eventually(lambda: ("", "pods", "watch") in seen(), what="the end of the watches in the log")
    assert seen() <= rights
    assert sorted(rights - seen() - ELSEWHERE) == []
    assert sorted(ELSEWHERE & seen()) == []


def make_and_change(stage: Stage) -> None:
    """Everything that is made, repaired, rotated, and deleted on the way."""
    api, namespace = stage.api, stage.namespace
    stage.apply(gateway(replicas=2, store=STORE), user("alice"))
    first, second = (stage.kubelet.run(name) for name in ("office-0", "office-1"))
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=40)
    api.kubectl("annotate", "vpngw/office", "vpnu/alice", "ferrule.dev/rotate=1", "-n", namespace)
    api.kubectl("annotate", "vpngw/office", "ferrule.dev/rotate-store-key=1", "-n", namespace)
    stage.until(lambda: second.config.gateway.store.previous_key is not None)
    stage.until(lambda: first.user("alice").previous_verifier is not None)
    for kind, name, patch in (
        ("serviceaccount", "office", '{"automountServiceAccountToken": true}'),
        ("networkpolicy", "office", '{"spec": {"policyTypes": ["Egress"]}}'),
        ("pdb", "office", '{"spec": {"maxUnavailable": 2}}'),
        ("service", "office", '{"spec": {"sessionAffinity": "None"}}'),
    ):
        before = stage.get(kind, name)
        api.kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", patch)
        eventually(lambda k=kind, n=name, b=before: _same(stage.get(k, n), b))  # type: ignore[misc]
    stage.apply(gateway(replicas=1, store=STORE, exposure={"type": "HostPort"}))
    for kind in ("service", "pdb"):
        eventually(lambda k=kind: gone(stage, k, "office"), what=f"no {kind}")  # type: ignore[misc]


def _same(live: dict[str, Any], before: dict[str, Any]) -> bool:
    parts = ("spec", "automountServiceAccountToken")
    return all(live.get(part) == before.get(part) for part in parts)


def meet_trouble_and_leave(stage: Stage, way: FaultyWay) -> None:
    """What is read again after somebody else was quicker, or an object is gone; the end."""
    api, namespace = stage.api, stage.namespace
    eventually(lambda: gone(stage, "networkpolicy", "office"), what="no network policy")
    way.faults.only = frozenset({"PATCH"})
    way.faults.statuses = {404: 0.3, 409: 0.3}
    for number in range(6):
        stage.apply(user("alice", maxSessions=number + 2), another(f"more-{number}"))
    eventually(lambda: stage.status("vpnu", "alice")["observedGeneration"] >= 7, seconds=60)
    eventually(lambda: stage.reason("vpngw", "more-5", "ConfigValid") == "Valid", seconds=60)
    way.faults.clear()
    # Where watches say nothing, a resync finds what changed, and reads it.
    eventually(lambda: settled(stage, "office"), what="the pods of the last change")
    stage.kubelet.run("office-0")
    stage.until(lambda: stage.status("vpngw", "office")["readyReplicas"] == 1, seconds=30)
    way.faults.silent = True
    way.drop_watches()
    api.kubectl("delete", "pod", "office-0", "-n", namespace)
    stage.apply(user("alice", maxSessions=50), another("more-5", limits={"sessionsMax": 5}))
    stage.until(lambda: stage.status("vpngw", "office")["readyReplicas"] == 0, seconds=30)
    for kind, name in (("vpnu", "alice"), ("vpngw", "more-5")):
        eventually(lambda k=kind, n=name: up_to_date(stage.get(k, n)))  # type: ignore[misc]
    way.faults.clear()
    way.drop_watches()
    api.kubectl("delete", "vpngw,vpnu", "--all", "-n", namespace, timeout=90)
    assert way.faults.met["404"]
    assert way.faults.met["409"]


def up_to_date(item: dict[str, Any]) -> bool:
    return bool(item["status"]["observedGeneration"] == item["metadata"]["generation"])


def another(name: str, **spec: Any) -> dict[str, Any]:
    item = gateway(replicas=0, **spec)
    return {**item, "metadata": {"name": name}}


def gone(stage: Stage, kind: str, name: str) -> bool:
    try:
        stage.get(kind, name)
    except CommandRefused as refusal:
        return "NotFound" in str(refusal)
    return False


def test_children_need_the_right_to_hold_their_owner(
    api: Api, controllers: ControlPlane, namespace: str
) -> None:
    account = install_rights(api, namespace, {"operator.watch.scope": "Namespaces"})
    api.kubectl("delete", "clusterrolebinding", "ferrule-operator", "--ignore-not-found")
    role = api.get("role", "ferrule-operator", namespace)
    rules = [rule for rule in role["rules"] if "vpngateways/finalizers" not in rule["resources"]]
    assert len(rules) == len(role["rules"]) - 1
    api.apply(gateway(), namespace=namespace)
    owner = api.get("vpngw", "office", namespace)
    child = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": "office",
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": "VpnGateway",
                    "name": "office",
                    "uid": owner["metadata"]["uid"],
                    "blockOwnerDeletion": True,
                }
            ],
        },
    }
    account.apply(child, namespace=namespace)
    api.kubectl("delete", "serviceaccount", "office", "-n", namespace)
    plain = {"apiVersion": role["apiVersion"], "kind": "Role", "rules": rules,
             "metadata": {"name": "ferrule-operator"}}  # fmt: skip
    api.apply(plain, manager="chart", namespace=namespace, force=True)

    def is_refused() -> bool:
        try:
            account.apply(child, namespace=namespace)
        except CommandRefused as refusal:
            return "cannot set blockOwnerDeletion" in str(refusal)
        api.kubectl("delete", "serviceaccount", "office", "-n", namespace)
        return False

    eventually(is_refused, what="the rule to be gone")
    account.close()


def test_the_uninstaller_s_role_is_what_it_uses(
    api: Api, controllers: ControlPlane, namespace: str
) -> None:
    install_rights(api, namespace).close()  # and the definitions
    rendered = api.helm(
        "template", "ferrule", str(CHART), "--namespace", namespace,
        "--set=crds.keep=false,operator.watch.scope=Namespaces",
    )  # fmt: skip
    hooks = [
        item
        for item in YAML(typ="safe").load_all(rendered)
        if item and item["metadata"]["name"] == "ferrule-uninstall"
    ]
    (job,) = [item for item in hooks if item["kind"] == "Job"]
    api.apply(*[item for item in hooks if item is not job], manager="chart", force=True)
    api.apply(gateway(), user("alice"), namespace=namespace)
    account = api.as_service_account(namespace, "ferrule-uninstall")
    mark = api.audit.mark()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    done = subprocess.run(
        [sys.executable, *container["command"][1:], *container["args"]],
        env={**os.environ, "KUBECONFIG": str(account.kubeconfig)},
        timeout=60,
        check=False,
    )
    account.close()
    assert done.returncode == 0
    assert api.list("vpngw", namespace) == api.list("vpnu", namespace) == []
    requests = api.audit.requests(mark, user=f"{ACCOUNT}{namespace}:ferrule-uninstall")
    assert {request.code for request in requests} == {200}
    assert used(requests) == roles(api, namespace, "uninstall")


@pytest.mark.parametrize(
    ("request_", "rights"),
    [
        (("patch", "apps", "statefulsets", "", 200), {("apps", "statefulsets", "patch")}),
        (
            ("patch", "apps", "statefulsets", "", 201),
            {("apps", "statefulsets", "patch"), ("apps", "statefulsets", "create")},
        ),
        (
            ("patch", "ferrule.dev", "vpnusers", "status", 200),
            {("ferrule.dev", "vpnusers/status", "patch")},
        ),
        (("get", "", "", "", 200), set()),
    ],
)
def test_what_a_request_uses(request_: tuple[str, str, str, str, int], rights: set[Right]) -> None:
    verb, group, resource, subresource, code = request_
    one = Request("u", "a", verb, group, resource, subresource, "n", "x", code)
    assert used([one]) == rights
