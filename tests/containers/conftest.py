"""Fixtures of the container tests: a node with containerd, and pods of the operator's template."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from containers.rig.archive import Image
from containers.rig.cri import Cri
from containers.rig.gateway import CLOSED_NODE, PASSWORD, PSK, USER, Rendered
from containers.rig.kubelet import Pod
from containers.rig.place import NODE_ADDRESS, WEB_ADDRESS, WEB_PORT, Place
from containers.rig.steps import MakePod, Probe, started
from interop.rig.namespaces import remove_leftovers as remove_namespaces
from tests.kubernetes.node.machine import Machine, remove_leftovers
from tests.kubernetes.node.runtime import Containerd

_ROOT = Path(__file__).parents[2]
# As udev makes it; the machine need not have udev. The other one is for nobody but root.
_NODES = f"""
mount -t tmpfs -o mode=755 tmpfs /dev/net
mknod -m 666 /dev/net/tun c 10 200
mknod -m 600 {CLOSED_NODE} c 10 200
"""


def _archive(name: str) -> Path:
    cache = Path(os.environ.get("FERRULE_CACHE", _ROOT / ".cache")) / "images"
    found = sorted(cache.glob(f"{name}[-.]*tar"), key=lambda path: path.stat().st_mtime)
    if not found:
        pytest.fail(f"no image {name} in {cache}: run make containers")
    return found[-1]


@pytest.fixture(scope="session")
def work_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Logs and state of this run; the logs are kept where FERRULE_CONTAINERS_KEEP says."""
    if os.geteuid() != 0:
        pytest.fail("container tests make namespaces and cgroups: run them as root")
    remove_namespaces()
    remove_leftovers()
    folder = tmp_path_factory.mktemp("containers")
    yield folder
    if keep := os.environ.get("FERRULE_CONTAINERS_KEEP"):
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(folder, keep, ignore=shutil.ignore_patterns("lib", "*.sock"))


@pytest.fixture(scope="session")
def archive_of() -> Callable[[str], Image]:
    """The image of a target, taken apart."""
    return cache(lambda target: Image(_archive(target)))


@pytest.fixture(scope="session")
def place(work_folder: Path) -> Iterator[Place]:
    place = Place(work_folder / "place")
    yield place
    place.close()


@pytest.fixture(scope="session")
def machine(work_folder: Path, place: Place) -> Iterator[Machine]:
    machine = Machine(work_folder / "machine", place.network)
    try:
        machine.run("sh", "-e", "-c", _NODES)
        yield machine
    finally:
        machine.close()
        shutil.rmtree(machine.folder / "var/lib/containerd", ignore_errors=True)  # the images


@pytest.fixture(scope="session")
def containerd(machine: Machine) -> Containerd:
    return Containerd(machine, _archive("sandbox"))


@pytest.fixture(scope="session")
def image(containerd: Containerd) -> str:
    """The concentrator's image, as it was built last."""
    (name,) = containerd.load(_archive("concentrator"))
    return name


@pytest.fixture(scope="session")
def cri(machine: Machine, containerd: Containerd) -> Iterator[Cri]:
    cri = Cri(machine.root / "run/containerd/containerd.sock")
    yield cri
    cri.close()


@pytest.fixture
def make_pod(cri: Cri, machine: Machine) -> Iterator[MakePod]:
    """Makes pods, which go with the test. None of their containers is started."""
    pods: list[Pod] = []

    def make(rendered: Rendered, **options: Any) -> Pod:
        pods.append(Pod(cri, machine, rendered.template, rendered.secrets, **options))
        return pods[-1]

    yield make
    for pod in pods:
        pod.remove()


@pytest.fixture
def prepared(image: str, make_pod: MakePod) -> Pod:
    """A pod of the default profile whose main container is ready."""
    return started(make_pod, Rendered(image))


@pytest.fixture
def probe(place: Place, tmp_path: Path) -> Probe:
    """Connects as a client outside, pings the web host and asks it for a page; returns the
    report of `ferrule probe`."""
    for name, secret in (("psk", PSK), ("password", PASSWORD)):
        (tmp_path / name).write_text(secret)

    def run() -> dict[str, Any]:
        said = place.client.run(
            *(str(_ROOT / ".venv/bin/ferrule"), "probe", NODE_ADDRESS, "--json", "--user", USER),
            *("--psk-file", str(tmp_path / "psk")),
            *("--password-file", str(tmp_path / "password")),
            *("--ping", WEB_ADDRESS, "--http", f"http://{WEB_ADDRESS}:{WEB_PORT}/"),
            timeout=60,
        )
        report: dict[str, Any] = json.loads(said)
        return report

    return run
