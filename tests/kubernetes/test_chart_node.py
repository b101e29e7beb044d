"""The chart on a real node: helm install to running pods, helm test through the Service, helm
uninstall to nothing. What a person does, in the order in which they do it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.chart.render import CHART
from tests.kubernetes.cluster.api import Api, eventually
from tests.kubernetes.node.cluster import NodeCluster

RELEASE = "ferrule"
WAIT = ("--wait", "--timeout=180s")
VALUES = {
    "operator": {"image": {"tag": "ci"}, "replicas": 2, "watch": {"scope": "Namespaces"}},
    "concentrator": {"image": {"tag": "ci"}},
    "gateways": {
        "office": {
            "exposure": {"type": "ClusterIP"},
            "pools": [{"name": "default", "cidr": "10.20.0.0/24"}],
        }
    },
    "users": {"alice": {}},
    "test": {"ping": ["10.20.0.1"]},
}


@pytest.fixture
def values(tmp_path: Path) -> Path:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(VALUES))
    return file


@pytest.fixture
def place(node: NodeCluster, node_namespace: str) -> Iterator[str]:
    """A namespace in a cluster that has the definitions; all of it is gone afterwards."""
    api, crds = node.api, str(CHART.parents[1] / "crds")
    api.kubectl("apply", "--server-side", "--force-conflicts", "-k", crds)
    api.kubectl("wait", "--for=condition=Established", "crd/vpngateways.ferrule.dev",
                "crd/vpnusers.ferrule.dev")  # fmt: skip
    yield node_namespace
    where = ("--namespace", node_namespace)
    if json.loads(api.helm("list", *where, "--output", "json")):
        api.helm("uninstall", RELEASE, *where, "--no-hooks")
    # Others install the chart with definitions of its own, and helm adopts nobody else's.
    api.kubectl("delete", "--ignore-not-found", "--timeout=60s", "-k", crds, timeout=90)


def left(api: Api, place: str) -> str:
    """What of ours is still in the namespace."""
    kinds = "vpn,statefulsets,deployments,services,pods,networkpolicies,roles,rolebindings,jobs"
    return api.kubectl("get", kinds, "--namespace", place, "--output", "name")


def test_install_test_uninstall(node: NodeCluster, place: str, values: Path) -> None:
    api, where = node.api, ("--namespace", place)
    notes = api.helm(
        "install", RELEASE, str(CHART), *where, "--set=crds.enabled=false",
        "--values", str(values), *WAIT, timeout=240,
    )  # fmt: skip
    assert "helm test ferrule" in notes
    api.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "vpngateway/office",
                "vpnuser/alice", *where, timeout=180)  # fmt: skip

    said = api.helm("test", RELEASE, *where, "--logs", "--timeout=240s", timeout=300)
    assert "Succeeded" in said
    assert "office-helm-test" in said  # the probe says as whom it connected
    assert "of 3 back from 10.20.0.1" in said
    users = api.kubectl("get", "vpnusers", *where, "--output", "name").split()
    assert users == ["vpnuser.ferrule.dev/alice"]  # the test's own is gone

    # Its roles are enough for what it does: it would tell of every refusal.
    log = api.kubectl(
        "logs", "--selector=app.kubernetes.io/component=operator", *where, "--tail=-1"
    )
    assert "leading" in log
    assert "Forbidden" not in log

    api.helm("uninstall", RELEASE, *where, "--timeout=240s", timeout=300)
    # The test's pod is left for its log; the garbage collector may take a moment for the rest.
    eventually(lambda: left(api, place).split() == ["pod/ferrule-test-office"], seconds=60)
