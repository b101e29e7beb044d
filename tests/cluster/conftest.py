"""Fixtures of the cluster's tests: one laboratory and two guests for all, a cluster a module.

A guest boots once. After each test its clients are back to nothing, all pods serve, and no bug may
stand in a pod's log.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.rig.cluster import Cluster, configuration, running
from cluster.rig.crowd import Crowd, crowd
from cluster.rig.laboratory import ClusterLaboratory
from cluster.rig.witness import EspWitness
from interop.rig.namespaces import remove_leftovers
from interop.rig.peers import Client, StrongSwan
from interop.rig.scenario import PSK
from interop.rig.uml import Guest


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterLaboratory]:
    """Namespaces and cables; logs are kept where FERRULE_CLUSTER_KEEP says."""
    if os.geteuid() != 0:
        pytest.fail("the cluster's tests make network namespaces: run them as root")
    remove_leftovers()
    folder = tmp_path_factory.mktemp("cluster")
    laboratory = ClusterLaboratory(folder)
    try:
        yield laboratory
    finally:
        laboratory.close()
        if keep := os.environ.get("FERRULE_CLUSTER_KEEP"):
            shutil.rmtree(keep, ignore_errors=True)
            ignore = shutil.ignore_patterns("mconsole", "*.sock")
            shutil.copytree(folder, keep, ignore=ignore)


@pytest.fixture(scope="module")
def _cluster(laboratory: ClusterLaboratory) -> Iterator[Cluster]:
    with running(laboratory, configuration()) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """Three pods that serve, before and after, with nobody on."""
    _cluster.mend()
    _cluster.empty()
    _cluster.balancer.rotate(0)
    yield _cluster
    _cluster.mend()
    assert _cluster.bugs() == []


@pytest.fixture
def witness(cluster: Cluster) -> Iterator[EspWitness]:
    """Sees every ESP packet that leaves; the test asks for its verdict."""
    witness = EspWitness(cluster.laboratory)
    yield witness
    witness.close()


@pytest.fixture
def people(cluster: Cluster) -> Iterator[Crowd]:
    """Nobody yet, of the user-space clients."""
    with crowd(cluster.laboratory, PSK) as made:
        yield made


@pytest.fixture(scope="session")
def _guests(laboratory: ClusterLaboratory) -> dict[str, Guest]:
    guests = {name: laboratory.add_guest(name) for name in ("alice", "bob")}
    for guest in guests.values():
        guest.await_boot()
    return guests


@pytest.fixture(scope="session")
def _clients(laboratory: ClusterLaboratory, _guests: dict[str, Guest]) -> dict[str, Client]:
    clients = {}
    for name, guest in _guests.items():
        client = Client(guest, StrongSwan(guest))
        client.move(laboratory, "wan")
        client.start()
        clients[name] = client
    return clients


@pytest.fixture
def alice(cluster: Cluster, _clients: dict[str, Client]) -> Iterator[Client]:
    """A real client that is not connected."""
    yield from _reset_after(_clients["alice"], cluster.laboratory)


@pytest.fixture
def bob(cluster: Cluster, _clients: dict[str, Client]) -> Iterator[Client]:
    """Another one."""
    yield from _reset_after(_clients["bob"], cluster.laboratory)


def _reset_after(client: Client, laboratory: ClusterLaboratory) -> Iterator[Client]:
    mark = client.guest.mark()
    yield client
    client.reset()
    with (Path(laboratory.folder) / f"{client.guest.name}.journal").open("a") as file:
        file.write(f"=== {os.environ.get('PYTEST_CURRENT_TEST')}\n{client.guest.journal(mark)}\n")
