"""The Lease: one holds it, gives it back, or loses it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ferrule_operator import leader as module
from ferrule_operator.api import ApiError
from ferrule_operator.leader import LEASE_NAME, Leadership
from ferrule_operator.objects import Ref
from support.fake_api import FakeApi

LEASE = Ref("Lease", "system", LEASE_NAME)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(module, "LEASE_SECONDS", 1)


def leadership(api: FakeApi, name: str) -> Leadership:
    return Leadership(api, "system", name)  # type: ignore[arg-type]


def holder(api: FakeApi) -> str:
    return str(api.objects[LEASE]["spec"]["holderIdentity"])


async def test_the_first_leads_and_the_second_waits() -> None:
    api = FakeApi()
    async with leadership(api, "one").holding():
        assert holder(api) == "one"
        waiting = asyncio.ensure_future(leadership(api, "two").holding().__aenter__())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert holder(api) == ""


async def test_what_is_given_back_is_taken_at_once() -> None:
    api = FakeApi()
    async with leadership(api, "one").holding():
        pass
    async with asyncio.timeout(1), leadership(api, "two").holding():
        assert holder(api) == "two"
        assert api.objects[LEASE]["spec"]["leaseTransitions"] == 1


async def test_what_nobody_renews_is_taken_when_it_is_old() -> None:
    api = FakeApi()
    gone = leadership(api, "one")
    async with gone.holding():
        kept: dict[str, Any] = dict(api.objects[LEASE])
    api.objects[LEASE] = kept  # it died before it gave it back
    assert holder(api) == "one"
    start = asyncio.get_running_loop().time()
    async with asyncio.timeout(5), leadership(api, "two").holding():
        assert holder(api) == "two"
    assert asyncio.get_running_loop().time() - start > 0.9


async def test_who_cannot_renew_stops_before_another_begins() -> None:
    api = FakeApi()
    one = leadership(api, "one")
    async with one.holding():

        def fault(verb: str, ref: Ref) -> None:
            raise ApiError(0, "ClientConnectorError", "no way")

        api.fault = fault
        await asyncio.wait_for(one.lost.wait(), 2)
    assert holder(api) == "one"  # it is not ours to give back any more


async def test_who_is_slower_waits() -> None:
    api = FakeApi()
    one, two = leadership(api, "one"), leadership(api, "two")
    async with one.holding():
        stale = dict(api.objects[LEASE])
        assert not await two._tried()
        api.put(api.objects[LEASE])
        with pytest.raises(ApiError, match="409"):
            await api.replace(stale)
