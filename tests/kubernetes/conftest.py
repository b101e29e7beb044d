"""Fixtures of the Kubernetes tests: one API server for the whole run, a namespace for each test."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.rig import namespaces
from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.binaries import NotBuilt, binary
from tests.kubernetes.cluster.control_plane import ControlPlane, running
from tests.kubernetes.node import machine
from tests.kubernetes.node.cluster import NodeCluster

_TOOLS = Path(__file__).parents[2] / "tools"
_BUILD_SECONDS = 1800
_API_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kubernetes_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Logs and data of this run; kept where FERRULE_KUBERNETES_KEEP says."""
    try:
        for program in _API_PROGRAMS:
            binary(program)
    except NotBuilt as missing:
        pytest.fail(str(missing))
    folder = tmp_path_factory.mktemp("kubernetes")
    yield folder
    if keep := os.environ.get("FERRULE_KUBERNETES_KEEP"):
        shutil.rmtree(keep, ignore_errors=True)
        ignore = shutil.ignore_patterns("etcd", "pki", "*.kubeconfig", "*.sock", "mconsole", "var")
        shutil.copytree(folder, keep, ignore=ignore)


@pytest.fixture(scope="session")
def control_plane(kubernetes_folder: Path) -> Iterator[ControlPlane]:
    """etcd and kube-apiserver; no controller runs unless `controllers` is asked for."""
    with running(kubernetes_folder / "plane") as plane:
        yield plane


@pytest.fixture(scope="session")
def controllers(control_plane: ControlPlane) -> ControlPlane:
    """The real kube-controller-manager beside them, from here on to the end of the run."""
    control_plane.start_controllers()
    return control_plane


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """The API server as the administrator sees it."""
    administrator = Api(control_plane, control_plane.admin())
    yield administrator
    administrator.close()


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own (privileged in the sense of Pod Security), deleted after it."""
    name = f"test-{next(_numbers)}"
    api.create_namespace(name, {"pod-security.kubernetes.io/enforce": "privileged"})
    yield name
    api.kubectl("delete", "namespace", name, "--wait=false")


# --- a cluster with a node


def _build(script: str, *arguments: str) -> list[Path]:
    """Run a script of tools/ that prints the paths of what it made, or of what was there."""
    done = subprocess.run(
        [str(_TOOLS / script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        timeout=_BUILD_SECONDS,
        check=True,
    )
    return [Path(line) for line in done.stdout.split()]


@pytest.fixture(scope="session")
def image_archives() -> list[Path]:
    """OCI archives of this checkout's images: localhost/ferrule/concentrator:ci and operator:ci."""
    return _build("images/build.sh", "concentrator", "operator")


@pytest.fixture(scope="session")
def node(kubernetes_folder: Path, image_archives: list[Path]) -> Iterator[NodeCluster]:
    """A cluster of one node with our images on it, in the middle of the interop laboratory."""
    if os.geteuid() != 0:
        pytest.fail("a node is made of namespaces and cgroups: run the tests as root")
    _build("kubernetes/build.sh", "node")
    (sandbox,) = _build("kubernetes/node.sh")
    machine.remove_leftovers()
    namespaces.remove_leftovers()
    cluster = NodeCluster(kubernetes_folder / "node", sandbox)
    try:
        for archive in image_archives:
            cluster.containerd.load(archive)
        yield cluster
    finally:
        cluster.close()
        # Unpacked images are large, and of no use to a reader of logs.
        shutil.rmtree(cluster.machine.folder / "var", ignore_errors=True)


@pytest.fixture
def node_namespace(node: NodeCluster) -> Iterator[str]:
    """A namespace on the cluster with a node, deleted with all that is in it."""
    name = f"test-{next(_numbers)}"
    node.api.create_namespace(name, {"pod-security.kubernetes.io/enforce": "privileged"})
    yield name
    node.api.kubectl("delete", "namespace", name, "--wait=false")
