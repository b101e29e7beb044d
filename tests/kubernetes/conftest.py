"""Fixtures of the Kubernetes tests: one API server for the whole run, a namespace for each test."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.binaries import NotBuilt, binary
from tests.kubernetes.cluster.control_plane import ControlPlane, running

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kubernetes_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Logs and data of this run; kept where FERRULE_KUBERNETES_KEEP says."""
    try:
        for program in ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm"):
            binary(program)
    except NotBuilt as missing:
        pytest.fail(str(missing))
    folder = tmp_path_factory.mktemp("kubernetes")
    yield folder
    if keep := os.environ.get("FERRULE_KUBERNETES_KEEP"):
        shutil.rmtree(keep, ignore_errors=True)
        ignore = shutil.ignore_patterns("etcd", "pki", "*.kubeconfig", "*.sock")
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
