"""The loops around the reconciler: filling, comparing, working off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ferrule_operator import operator as module
from ferrule_operator.api import ApiError
from ferrule_operator.cache import Key
from ferrule_operator.kinds import SECRET, USER
from ferrule_operator.metrics import Metrics
from ferrule_operator.objects import Ref, child_labels, name_of
from ferrule_operator.operator import Operator
from ferrule_operator.reconcile import Turn
from ferrule_operator.settings import Settings
from support.fake_api import FakeApi
from support.operator import gateway, secret, user, with_password

OFFICE = Key("vpn", "office")


class Rig:
    """An operator whose turns are only counted."""

    def __init__(self, *items: Any, **settings: Any) -> None:
        self.api = FakeApi(*items)
        chosen = Settings("ferrule:1", resync_seconds=3600.0, **settings)
        self.operator = Operator(self.api, chosen, Metrics(), None)  # type: ignore[arg-type]
        self.turns: list[Key] = []
        self.outcome: Exception | None = None
        self.operator.reconciler.reconcile = self._reconcile  # type: ignore[method-assign]
        self.done = asyncio.Event()

    async def _reconcile(self, key: Key) -> Turn:
        self.turns.append(key)
        self.done.set()
        if self.outcome is not None:
            raise self.outcome
        return Turn()

    def users(self) -> list[str]:
        return sorted(name_of(item) for item in self.operator.cache.users(OFFICE))


async def test_everything_is_known_before_anything_is_done() -> None:
    one = Rig(gateway(), *(user(f"user-{i}") for i in range(5)))
    async with one.operator.running():
        assert len(one.users()) == 5
        await asyncio.wait_for(one.done.wait(), 2)
    assert one.turns == [OFFICE]


async def test_it_insists_on_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    one = Rig(gateway(), user("alice"))
    left = [3]

    def fault(verb: str, ref: Ref) -> None:
        if ref.kind == "VpnUser" and left[0]:
            left[0] -= 1
            raise ApiError(503, "ServiceUnavailable", "soon")

    one.api.fault = fault
    async with one.operator.running():
        assert one.users() == ["alice"]


async def test_a_resync_finds_what_no_watch_told_of() -> None:
    one = Rig(gateway(), user("alice"), user("bob", with_password("his")))
    async with one.operator.running():
        operator, cache = one.operator, one.operator.cache
        del one.api.objects[Ref("VpnUser", "vpn", "alice")]
        one.api.put(user("carol"))
        bob = one.api.objects[Ref("VpnUser", "vpn", "bob")]
        one.api.put({**bob, "spec": {**bob["spec"], "enabled": False}})
        one.api.put(secret("his", {"password": "x"}))
        one.api.put(secret("stranger", {"a": "b"}))
        await operator.resync()
        assert one.users() == ["bob", "carol"]
        assert cache.get("VpnUser", "vpn", "bob")["spec"]["enabled"] is False  # type: ignore[index]
        assert cache.get("Secret", "vpn", "his") is not None
        assert cache.get("Secret", "vpn", "stranger") is None
        reborn = one.api.objects.pop(Ref("VpnUser", "vpn", "carol"))
        reborn["metadata"]["uid"] = "another"
        one.api.objects[Ref("VpnUser", "vpn", "carol")] = reborn
        await operator.resync()
        found = cache.get("VpnUser", "vpn", "carol")
        assert found is not None
        assert found["metadata"]["uid"] == "another"


async def test_a_kind_that_cannot_be_listed_does_not_stop_the_others() -> None:
    one = Rig(gateway(), user("alice"))
    async with one.operator.running():
        one.api.put(user("bob"))

        def fault(verb: str, ref: Ref) -> None:
            if verb == "list" and ref.kind in ("VpnGateway", "Secret"):
                raise ApiError(500, "InternalError", "no")

        one.api.fault = fault
        with pytest.raises(ApiError):
            await one.operator.resync()
        assert one.users() == ["alice", "bob"]


async def test_namespaces_are_listed_one_by_one() -> None:
    one = Rig(gateway(), namespaces=("vpn", "edge"))
    async with one.operator.running():
        listed = {ref.namespace for verb, ref in one.api.calls if verb == "list"}
        assert listed == {"vpn", "edge"}


async def test_events_of_watches_make_turns() -> None:
    one = Rig()
    async with one.operator.running():
        alice = user("alice")
        one.operator.seen(USER, "ADDED", {k: alice[k] for k in ("metadata", "spec")})
        await asyncio.wait_for(one.done.wait(), 2)
        assert one.turns == [OFFICE]
        one.done.clear()
        labelled = secret("vpnuser-alice", {}, labels=child_labels("office"))
        one.operator.seen(SECRET, None, labelled)
        await asyncio.wait_for(one.done.wait(), 2)
        one.done.clear()
        one.operator.seen(SECRET, None, labelled)  # nothing new
        one.operator.seen(USER, "DELETED", alice)
        await asyncio.wait_for(one.done.wait(), 2)
        assert one.users() == []


@pytest.mark.parametrize(
    "outcome", [ApiError(500, "InternalError", "x"), RuntimeError("a bug"), None]
)
async def test_a_turn_that_fails_comes_again_and_costs_nobody_else(
    outcome: Exception | None,
) -> None:
    one = Rig(gateway())
    one.outcome = outcome
    async with one.operator.running():
        await asyncio.wait_for(one.done.wait(), 2)
        for _ in range(5):
            await asyncio.sleep(0)
        assert one.operator.queue.failing == (outcome is not None)
        one.outcome = None
        one.done.clear()
        one.operator.queue.put(Key("vpn", "other"))
        await asyncio.wait_for(one.done.wait(), 2)


async def test_what_takes_too_long_is_told() -> None:
    one = Rig()
    assert one.operator.stuck() == ""
    one.operator._busy[OFFICE] = -module.STUCK_SECONDS * 10
    assert "vpn/office" in one.operator.stuck()
