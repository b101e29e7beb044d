"""Fixtures of the interop tests: one laboratory, two clients and one server for all of them.

Guests boot once and are reused; each test starts from nothing (no session, no SA, a NAT without
mappings, the base configuration) and ends with a look at the server's log for bugs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from interop.rig.namespaces import remove_leftovers
from interop.rig.peers import Client, Libreswan, StrongSwan
from interop.rig.scenario import CONFIGURATION
from interop.rig.server import Server
from interop.rig.soak import Soak
from interop.rig.topology import Laboratory
from interop.rig.uml import Guest

_LAYER = "libreswan-4.10"


def cache_folder() -> Path:
    """Where tools/interop/install.sh keeps what it unpacks."""
    return Path(os.environ.get("FERRULE_CACHE", Path(__file__).parents[2] / ".cache"))


@pytest.fixture(scope="session")
def work_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Logs, sockets and consoles of this run; kept where FERRULE_INTEROP_KEEP says."""
    if os.geteuid() != 0:
        pytest.fail("interop tests make network namespaces: run them as root")
    if not (cache_folder() / _LAYER).is_dir():
        pytest.fail("run tools/interop/install.sh first")
    remove_leftovers()
    folder = tmp_path_factory.mktemp("interop")
    yield folder
    if keep := os.environ.get("FERRULE_INTEROP_KEEP"):
        shutil.rmtree(keep, ignore_errors=True)
        ignore = shutil.ignore_patterns("mconsole", "*.sock")
        shutil.copytree(folder, keep, ignore=ignore)


@pytest.fixture(scope="session")
def laboratory(work_folder: Path) -> Iterator[Laboratory]:
    """The main laboratory."""
    laboratory = Laboratory(work_folder / "main")
    try:
        yield laboratory
    finally:
        laboratory.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs in the background is asked for last."""
    items.sort(key=lambda item: "soak" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session", autouse=True)
def _background(request: pytest.FixtureRequest) -> None:
    """Start the soak first if any test wants it: it runs by itself while others do."""
    if any("soak" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("soak")


@pytest.fixture(scope="session")
def soak(work_folder: Path) -> Iterator[Soak]:
    """A laboratory of its own, where two clients ping through rekeys for minutes."""
    soak = Soak(work_folder / "soak", (cache_folder() / _LAYER,))
    try:
        soak.start()
        yield soak
    finally:
        soak.close()


@pytest.fixture(scope="session")
def _guests(laboratory: Laboratory) -> dict[str, Guest]:
    layers = (cache_folder() / _LAYER,)
    guests = {name: laboratory.add_guest(name, layers) for name in ("alice", "bob")}
    for guest in guests.values():
        guest.await_boot()
    return guests


def _client(laboratory: Laboratory, guest: Guest) -> Client:
    client = Client(guest, StrongSwan(guest))
    client.move(laboratory, "wan")
    client.start()
    return client


@pytest.fixture(scope="session")
def _alice(laboratory: Laboratory, _guests: dict[str, Guest]) -> Client:
    return _client(laboratory, _guests["alice"])


@pytest.fixture(scope="session")
def _bob(laboratory: Laboratory, _guests: dict[str, Guest]) -> Client:
    return _client(laboratory, _guests["bob"])


@pytest.fixture(scope="session")
def _server(laboratory: Laboratory) -> Iterator[Server]:
    server = Server(laboratory, CONFIGURATION)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(_server: Server) -> Iterator[Server]:
    """The server; afterwards it must still run, and no bug may stand in its log."""
    mark = _server.mark()
    yield _server
    assert _server.bugs(mark) == []
    assert _server.admin("GET", "/status")["ready"] is True


@pytest.fixture
def alice(_alice: Client, laboratory: Laboratory) -> Iterator[Client]:
    """A client with strongSwan on the server's own network."""
    yield from _fresh(_alice, laboratory)


@pytest.fixture
def bob(_bob: Client, laboratory: Laboratory) -> Iterator[Client]:
    """Another one."""
    yield from _fresh(_bob, laboratory)


@pytest.fixture
def libreswan(_alice: Client, laboratory: Laboratory) -> Iterator[Client]:
    """Alice's machine behind the NAT with libreswan in strongSwan's place."""
    laboratory.nat.reset()
    _alice.move(laboratory, "lan")
    _alice.use(Libreswan)
    yield from _reset_after(_alice, laboratory)


def _fresh(client: Client, laboratory: Laboratory) -> Iterator[Client]:
    client.use(StrongSwan)
    client.move(laboratory, "wan")
    yield from _reset_after(client, laboratory)


def _reset_after(client: Client, laboratory: Laboratory) -> Iterator[Client]:
    """Hand a client out; then keep its journal and bring it back to nothing."""
    mark = client.guest.mark()
    yield client
    client.reset()
    with (laboratory.folder / f"{client.guest.name}.journal").open("a") as file:
        file.write(f"=== {os.environ.get('PYTEST_CURRENT_TEST')}\n{client.guest.journal(mark)}\n")


@pytest.fixture
def behind_nat(laboratory: Laboratory, alice: Client) -> Client:
    """Alice's machine in the home network; the NAT has no mappings."""
    laboratory.nat.reset()
    alice.move(laboratory, "lan")
    return alice
