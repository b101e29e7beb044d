"""The chart in a real cluster's API: install, upgrade, uninstall, and who may do what.

Nothing runs the pods here. The chart installs definitions of its own, so the API server is one
of its own as well.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.kubernetes.chart.render import CHART, VARIANTS
from tests.kubernetes.cluster.api import Api, CommandRefused, eventually
from tests.kubernetes.cluster.binaries import binary
from tests.kubernetes.cluster.control_plane import ControlPlane, running

TOOLS = CHART.parents[1] / "tools"
RELEASE = "ferrule"
GATEWAYS = CHART / "ci" / "gateways-values.yaml"
DEFINITIONS = ("vpngateways.ferrule.dev", "vpnusers.ferrule.dev")
WITHOUT_DEFINITIONS = "--set=crds.enabled=false"
CLUSTER_WIDE = "clusterroles,clusterrolebindings,crds"
GONE_SECONDS = 180  # for definitions: the API server retries their deletion ever more slowly
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def plane(kubernetes_folder: Path) -> Iterator[ControlPlane]:
    with running(kubernetes_folder / "chart") as plane:
        yield plane


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Iterator[Api]:
    api = Api(plane, plane.admin())
    yield api
    api.close()


@pytest.fixture
def place(cluster: Api) -> Iterator[str]:
    """A new namespace, without the work of controllers: a service account is there already."""
    name = f"chart-{next(_numbers)}"
    cluster.create_namespace(name)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    cluster.apply(account, namespace=name)
    yield name
    if json.loads(cluster.helm("list", "--namespace", name, "--output", "json")):
        uninstall(cluster, name)


@pytest.fixture
def bare(cluster: Api) -> None:
    """A cluster that never heard of VpnGateways."""
    cluster.kubectl("delete", "crd", "--ignore-not-found", *DEFINITIONS, timeout=GONE_SECONDS)
    eventually(lambda: not known(cluster), seconds=30)


@pytest.fixture
def defined(cluster: Api) -> None:
    """A cluster where somebody else has put the definitions."""
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "-k", str(CHART.parents[1] / "crds")
    )
    until_known(cluster)


def install(api: Api, place: str, *arguments: str, values: Path | None = None) -> str:
    return api.helm("install", RELEASE, *_where(place, values), *arguments)


def upgrade(api: Api, place: str, *arguments: str, values: Path | None = None) -> str:
    return api.helm("upgrade", RELEASE, *_where(place, values), *arguments)


def uninstall(api: Api, place: str) -> None:
    """Without the Job that goes first: nobody would run its pod here."""
    api.helm("uninstall", RELEASE, "--namespace", place, "--no-hooks")


def _where(place: str, values: Path | None) -> list[str]:
    given = ["--values", str(values)] if values else []
    return [str(CHART), "--namespace", place, *given]


def names(api: Api, kinds: str, place: str = "") -> set[str]:
    """What there is of the release, as "kind/name"."""
    where = ["--namespace", place] if place else []
    label = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/managed-by=Helm"
    text = api.kubectl("get", kinds, *where, "--selector", label, "--output", "name")
    return set(text.split())


def commands(notes: str) -> list[str]:
    return [line.strip() for line in notes.splitlines() if line.startswith("  kubectl ")]


def shell(api: Api, command: str) -> str:
    path = f"{binary('kubectl').parent}:{os.environ['PATH']}"
    return subprocess.run(
        command,
        shell=True,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**api.environment(), "PATH": path},
    ).stdout


def known(api: Api) -> bool:
    return "vpnusers" in api.kubectl("api-resources", "--api-group=ferrule.dev")


def until_known(api: Api) -> None:
    eventually(lambda: known(api), seconds=15)


def test_install_upgrade_uninstall(cluster: Api, place: str, bare: None) -> None:
    notes = install(cluster, place)
    assert "There is no gateway in this release" in notes
    assert names(cluster, "deployments,services,serviceaccounts", place) == {
        "deployment.apps/ferrule",
        "service/ferrule-operator",
        "serviceaccount/ferrule",
    }
    until_known(cluster)

    notes = upgrade(cluster, place, values=GATEWAYS)
    assert f"kubectl --namespace {place} get vpngateway office" in notes
    assert "helm test ferrule" in notes
    assert names(cluster, "vpn", place) == {
        "vpngateway.ferrule.dev/office",
        "vpnuser.ferrule.dev/alice",
        "vpnuser.ferrule.dev/bob",
    }
    for name, key in (("office-psk", "psk"), ("vpnuser-alice", "password")):
        cluster.kubectl("create", "secret", "generic", name, "--namespace", place,
                        f"--from-literal={key}=secret of {name}")  # fmt: skip
    said = [line for line in commands(notes) if " get secret " in line]
    assert [shell(cluster, line) for line in said] == [
        "secret of office-psk\n",
        "secret of vpnuser-alice\n",
    ]
    stored = cluster.get("vpngateway", "office", place)
    assert stored["spec"]["ppp"]["mtu"] == 1400  # a default of the definition
    assert stored["status"]["observedGeneration"] == -1

    cluster.kubectl("--namespace", place, "patch", "vpnuser", "alice", "--type=merge",
                    "--patch", '{"metadata": {"labels": {"mine": "yes"}}}')  # fmt: skip
    notes = upgrade(cluster, place, "--set=users.bob=null", values=GATEWAYS)
    assert "vpnuser.ferrule.dev/bob" not in names(cluster, "vpn", place)
    alice = cluster.get("vpnuser", "alice", place)
    assert alice["metadata"]["labels"]["mine"] == "yes"
    assert alice["metadata"]["generation"] == 1  # an upgrade that changes nothing changes nothing

    uninstall(cluster, place)
    assert not names(cluster, "deployments,services,serviceaccounts,vpn", place)
    assert names(cluster, CLUSTER_WIDE) == {
        f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in DEFINITIONS
    }


def test_definitions_that_were_kept_are_taken_over_again(
    cluster: Api, place: str, bare: None
) -> None:
    install(cluster, place)
    until_known(cluster)
    uninstall(cluster, place)
    install(cluster, place, values=GATEWAYS)
    assert "vpngateway.ferrule.dev/office" in names(cluster, "vpn", place)


def test_definitions_go_with_the_release_if_wanted(cluster: Api, place: str, bare: None) -> None:
    install(cluster, place, "--set=crds.keep=false")
    until_known(cluster)
    uninstall(cluster, place)
    eventually(lambda: not names(cluster, CLUSTER_WIDE), seconds=GONE_SECONDS)


def test_gateways_before_their_definitions_are_refused_with_advice(
    cluster: Api, place: str, bare: None
) -> None:
    with pytest.raises(CommandRefused, match="does not know VpnGateways yet") as refused:
        install(cluster, place, values=GATEWAYS)
    # The advice works.
    assert "--set gateways=null --set users=null" in str(refused.value)
    install(cluster, place, "--set=gateways=null", "--set=users=null", values=GATEWAYS)
    until_known(cluster)
    upgrade(cluster, place, values=GATEWAYS)
    assert "vpngateway.ferrule.dev/office" in names(cluster, "vpn", place)


def test_with_definitions_applied_by_themselves(cluster: Api, place: str, defined: None) -> None:
    install(cluster, place, WITHOUT_DEFINITIONS, values=GATEWAYS)
    assert "vpngateway.ferrule.dev/office" in names(cluster, "vpn", place)


@pytest.fixture(scope="module")
def monitoring(cluster: Api) -> Iterator[None]:
    """The definitions of the Prometheus operator."""
    done = subprocess.run(
        [str(TOOLS / "kubernetes" / "monitoring-crds.sh")],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    folder = done.stdout.strip()
    cluster.kubectl("apply", "--server-side", "-f", folder)
    for kind in ("podmonitors", "servicemonitors", "prometheusrules"):
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind}.monitoring.coreos.com")
    cluster.create_namespace("monitoring")
    for name in ("vpn", "branch"):
        cluster.create_namespace(name)
    yield
    cluster.kubectl("delete", "-f", folder)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)
def test_a_variant_is_taken_as_it_is(
    variant: Path, cluster: Api, place: str, monitoring: None, defined: None
) -> None:
    """Strictly: the API server warns of nothing, and drops no field."""
    install(cluster, place, WITHOUT_DEFINITIONS, values=variant)
    rendered = [
        cluster.helm("get", what, RELEASE, "--namespace", place) for what in ("manifest", "hooks")
    ]
    answer = cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts",
        "-f", "-", stdin="\n---\n".join(rendered),
    )  # fmt: skip
    assert answer.count("serverside-applied") >= 6
    assert "Warning" not in answer


def test_monitors_and_rules_reach_the_prometheus_operator(
    cluster: Api, place: str, monitoring: None, defined: None
) -> None:
    everything = CHART / "ci" / "everything-values.yaml"
    install(cluster, place, WITHOUT_DEFINITIONS, values=everything)
    rule = cluster.get("prometheusrule", "ferrule", place)
    assert [one["alert"] for group in rule["spec"]["groups"] for one in group["rules"]]
    monitor = cluster.get("podmonitor", "ferrule-gateways", "monitoring")
    assert monitor["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["targetLabel"] == "gateway"


def test_the_password_of_the_store_outlives_an_upgrade(
    cluster: Api, place: str, defined: None
) -> None:
    install(cluster, place, WITHOUT_DEFINITIONS, "--set=valkey.enabled=true")
    first = cluster.get("secret", "ferrule-valkey", place)["data"]["password"]
    upgrade(
        cluster, place, WITHOUT_DEFINITIONS, "--set=valkey.enabled=true",
        "--set=valkey.maxMemory=64mb",
    )  # fmt: skip
    assert cluster.get("secret", "ferrule-valkey", place)["data"]["password"] == first
    assert len(first) > 40


def test_the_job_before_an_uninstall_deletes_what_is_ours(
    plane: ControlPlane, cluster: Api, place: str, defined: None
) -> None:
    """The kubelet and the operator are played: its program runs here, with its rights, and a
    finalizer is taken off once the deletion was seen."""
    install(cluster, place, WITHOUT_DEFINITIONS, values=GATEWAYS)
    mine = {
        "apiVersion": "ferrule.dev/v1alpha1",
        "kind": "VpnGateway",
        "metadata": {"name": "mine"},
        "spec": {"pools": [{"name": "default", "cidr": "10.9.0.0/16"}]},
    }
    cluster.apply(mine, namespace=place)
    where = ("--namespace", place)
    cluster.kubectl("patch", "vpngateway", "office", *where, "--type=merge",
                    "--patch", '{"metadata": {"finalizers": ["ferrule.dev/gateway"]}}')  # fmt: skip
    hooks = list(YAML(typ="safe").load_all(cluster.helm("get", "hooks", RELEASE, *where)))
    steps = [i for i in hooks if i["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"]
    (job,) = [item for item in steps if item["kind"] == "Job"]
    cluster.apply(*(item for item in steps if item is not job), namespace=place)
    worker = cluster.as_service_account(place, "ferrule-uninstall")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    program = subprocess.Popen(
        [sys.executable, *container["command"][1:], *container["args"]],
        env={**os.environ, "KUBECONFIG": str(worker.kubeconfig)},
    )
    try:
        eventually(
            lambda: cluster.get("vpngateway", "office", place)["metadata"].get("deletionTimestamp")
        )
        assert program.poll() is None  # it waits
        assert len(names(cluster, "vpnusers", place)) == 2  # and users wait for the gateway
        cluster.kubectl("patch", "vpngateway", "office", *where, "--type=merge",
                        "--patch", '{"metadata": {"finalizers": null}}')  # fmt: skip
        assert program.wait(30) == 0
    finally:
        program.kill()
        program.wait()
        worker.close()
    left = cluster.kubectl("get", "vpn", *where, "--output", "name").split()
    assert left == ["vpngateway.ferrule.dev/mine"]


# --- who may do what


@pytest.fixture(scope="module")
def roles(plane: ControlPlane) -> tuple[str, ...]:
    """The cluster's own roles and the chart's; the first ones are aggregated by a controller."""
    plane.start_controllers()
    chart = ("ferrule-edit-gateways", "ferrule-edit-users", "ferrule-view")
    return ("admin", "edit", "view", *chart)


def test_roles_are_aggregated(
    cluster: Api, place: str, roles: tuple[str, ...], defined: None
) -> None:
    install(cluster, place, WITHOUT_DEFINITIONS)
    for role in roles:
        cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}",
                        "--namespace", place)  # fmt: skip

    def may(role: str, verb: str, resource: str) -> bool:
        who = (f"--as={role}", "--namespace", place)
        try:
            return "yes" in cluster.kubectl("auth", "can-i", verb, resource, *who)
        except CommandRefused as refused:
            if "\nno" in str(refused):
                return False
            raise

    gateways, users = "vpngateways.ferrule.dev", "vpnusers.ferrule.dev"
    eventually(lambda: may("view", "get", gateways) and may("admin", "create", users), seconds=30)
    found = {
        role: [
            may(role, "get", gateways),
            may(role, "create", gateways),
            may(role, "patch", f"{gateways}/scale"),
            may(role, "get", users),
            may(role, "create", users),
        ]
        for role in roles
    }
    assert found == {
        "admin": [True, True, True, True, True],
        "edit": [True, False, False, True, False],
        "view": [True, False, False, True, False],
        "ferrule-edit-gateways": [True, True, True, False, False],
        "ferrule-edit-users": [False, False, False, True, True],
        "ferrule-view": [True, False, False, True, False],
    }
    assert not may("ferrule-view", "get", "secrets")


def test_a_namespaced_release_needs_no_cluster_wide_right(
    plane: ControlPlane, cluster: Api, place: str, defined: None
) -> None:
    """Once somebody has put the definitions there, the admin of a namespace can install it."""
    # Whoever grants rights must have them, those on our resources too.
    rights = [
        "vpngateways.ferrule.dev", "vpngateways.ferrule.dev/status",
        "vpngateways.ferrule.dev/finalizers", "vpnusers.ferrule.dev",
        "vpnusers.ferrule.dev/status", "vpnusers.ferrule.dev/finalizers",
    ]  # fmt: skip
    cluster.kubectl("create", "role", "vpn", "--namespace", place, "--verb=*",
                    *(f"--resource={right}" for right in rights))  # fmt: skip
    for kind, name in (("clusterrole", "admin"), ("role", "vpn")):
        cluster.kubectl("create", "rolebinding", f"owner-{name}", f"--{kind}={name}",
                        "--user=owner", "--namespace", place)  # fmt: skip
    owner = Api(plane, plane.kubeconfig_of("owner", "owner"))
    try:
        install(
            owner, place, WITHOUT_DEFINITIONS, "--set=rbac.userRoles.create=false",
            "--set=operator.watch.scope=Namespaces", values=GATEWAYS,
        )  # fmt: skip
    finally:
        owner.close()
    assert "role.rbac.authorization.k8s.io/ferrule-operator" in names(cluster, "roles", place)
    assert not names(cluster, "clusterroles,clusterrolebindings")
