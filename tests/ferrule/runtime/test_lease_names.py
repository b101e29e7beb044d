"""Names of sessions in the store, and the memory of those that are over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ferrule.core.ids import SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.runtime import lease_names
from ferrule.runtime.lease_names import REMEMBERED_SECONDS, LeaseNames, Memory, session_name
from support.accounts import user
from support.leases import NAMES_KEY, World


@pytest.fixture
def world() -> Iterator[World]:
    made = World(user("alice", max_sessions=3), names=("a-0",))
    yield made
    made.close()


def test_a_session_is_found_by_its_name_as_long_as_it_is_here(world: World) -> None:
    (one,) = world.members.values()
    names = LeaseNames(one.gateway, NAMES_KEY, lambda: one.identity)
    client = one.new_client("198.51.100.7")
    peer = one.call(client, "alice")
    world.settle()
    name = f"{client.uid}/{peer.key.tunnel}/{peer.key.session}"
    assert names.name(peer.key) == name == session_name(client.uid, *peer.key[1:])
    assert names.find(name) == peer.key
    assert names.find(f"{client.uid}/1/2") is None
    assert names.find("nobody/1/2") is None
    assert names.placed() == {peer.key: name}
    lease = names.lease(peer.key)
    assert lease is not None
    assert lease == world.store.leases.leases[name]

    one.hang_up(peer)
    world.settle()
    assert names.name(peer.key) is None
    assert names.lease(peer.key) is None
    assert names.call(peer.key) is None
    assert names.placed() == {}


def test_a_name_outlives_the_client_until_it_is_forgotten(world: World) -> None:
    (one,) = world.members.values()
    names = LeaseNames(one.gateway, NAMES_KEY, lambda: one.identity)
    client = one.new_client("198.51.100.7")
    peer = one.call(client, "alice")
    world.settle()
    name = names.learn(client, peer.key)
    one.gateway.evict(client.id)
    assert names.forget(peer.key) == name
    assert names.forget(peer.key) is None
    names.learn(client, peer.key)
    assert names.placed() == {}  # it moved away
    assert names.forget(peer.key) is None


def test_owners_are_members_by_name(world: World) -> None:
    (one,) = world.members.values()
    names = LeaseNames(one.gateway, NAMES_KEY, lambda: one.identity)
    assert names.owner == "a-0/0000000000000001"
    assert names.member("a-1/0000000000000007") == "a-1"
    assert names.member("a-0/0000000000000009") is None  # ours, of a former life


def test_memory_forgets_in_time() -> None:
    memory = Memory()
    memory.note("s", 0.0, Reason.ADMIN_KICK)
    assert memory.holds("s", REMEMBERED_SECONDS - 1)
    assert not memory.holds("s", REMEMBERED_SECONDS)
    assert memory.pop("s", REMEMBERED_SECONDS) is None
    memory.note("s", 0.0, Reason.ADMIN_KICK)
    assert memory.pop("s", 1.0) is Reason.ADMIN_KICK
    assert memory.pop("s", 1.0) is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_names, "REMEMBERED_MAX", 3)
    memory = Memory()
    for number in range(5):
        memory.note(str(number), 0.0)
    assert [n for n in range(5) if memory.holds(str(n), 1.0)] == [2, 3, 4]
    memory.note("later", REMEMBERED_SECONDS)
    assert len(memory._noted) == 1


def test_names_are_of_ids() -> None:
    assert session_name("00ff", TunnelId(3), SessionId(70_000)) == "00ff/3/70000"
