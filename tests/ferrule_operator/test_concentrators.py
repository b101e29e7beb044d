"""Speaking to pods: who is asked, who is handed files, and what an answer is worth."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.runtime.remote import serve_remote
from ferrule_operator.concentrators import Concentrators
from ferrule_operator.metrics import Metrics
from ferrule_operator.objects import Object
from ferrule_operator.reports import revisions_of
from support.operator import pod

KEY = "0123456789abcdef0123456789abcdef"
FILES = {"gateway.yaml": "x", "config.revision": "5", "users.revision": "7"}
NEWER = FILES | {"users.revision": "8"}


class Served:
    """A concentrator's remote port on loopback."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.asked = 0
        self.refuses = ""

    def remote_status(self) -> dict[str, Any]:
        self.asked += 1
        return {"version": "1", "ready": True, "revisions": revisions_of(self.files), "sessions": 2}

    async def configure(self, files: dict[str, str]) -> str:
        if not self.refuses:
            self.files = files
        return self.refuses


class Rig:
    def __init__(self, stack: AsyncExitStack, port: int) -> None:
        self._stack = stack
        self.port = port
        self.concentrators = Concentrators(Metrics(), port)

    async def pod(
        self, number: int, files: dict[str, str] = FILES, key: str = KEY
    ) -> tuple[Object, Served]:
        served, host = Served(files), f"127.0.0.{number}"
        await self._stack.enter_async_context(
            serve_remote(served, Address(host, self.port), lambda: Secret(key.encode()))
        )
        return pod(f"office-{number}", address=host), served

    async def settle(self, *pods: Object, files: dict[str, str] = FILES, age: float = 10.0) -> bool:
        return await self.concentrators.settle("vpn", pods, KEY, files, time.time() - age)


@pytest.fixture
async def rig(unused_tcp_port: int) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        one = Rig(stack, unused_tcp_port)
        stack.push_async_callback(one.concentrators.close)
        yield one


async def test_a_pod_on_the_right_files_is_asked_and_no_more(rig: Rig) -> None:
    one, served = await rig.pod(2)
    assert await rig.settle(one)
    assert served.asked == 1
    (report,) = rig.concentrators.reports("vpn", [one]).values()
    assert (report.version, report.sessions) == ("1", 2)
    assert await rig.settle(one)
    assert served.asked == 1  # the last answer is fresh enough
    assert await rig.settle(one, age=-1.0)
    assert served.asked == 2


async def test_a_pod_that_becomes_ready_is_asked_anew(rig: Rig) -> None:
    one, served = await rig.pod(2)
    starting = pod("office-2", address="127.0.0.2", ready=False)
    for seen, asked in ((starting, 1), (starting, 1), (one, 2), (one, 2), (starting, 3)):
        assert await rig.settle(seen)
        assert served.asked == asked


async def test_pods_that_are_behind_are_handed_the_files(rig: Rig) -> None:
    (first, one), (second, two) = await rig.pod(2), await rig.pod(3, NEWER)
    assert await rig.settle(first, second, files=NEWER)
    assert one.files == NEWER
    assert two.asked == 1
    reports = rig.concentrators.reports("vpn", [first, second])
    assert {report.revisions["users"] for report in reports.values()} == {8}


async def test_a_pod_that_refuses_them_says_why(rig: Rig) -> None:
    one, served = await rig.pod(2)
    served.refuses = "gateway.pools, line 3: overlaps"
    assert not await rig.settle(one, files=NEWER)
    (report,) = rig.concentrators.reports("vpn", [one]).values()
    assert report.problem == served.refuses


async def test_a_pod_with_another_key_is_not_reached(rig: Rig) -> None:
    one, served = await rig.pod(2, key="another key of the same length..")
    assert not await rig.settle(one, files=NEWER)
    assert served.files == FILES
    assert rig.concentrators.reports("vpn", [one]) == {}


async def test_nobody_listens(rig: Rig) -> None:
    assert not await rig.settle(pod("office-9", address="127.0.0.9"))


async def test_pods_that_do_not_run_are_left_alone(rig: Rig) -> None:
    starting = pod("office-0", containerStatuses=[{"name": "c", "state": {"waiting": {}}}])
    leaving = pod("office-1", address="127.0.0.9")
    leaving["metadata"]["deletionTimestamp"] = "2026-09-21T00:00:00Z"
    assert await rig.settle(starting, leaving, pod("office-2", address=""))


async def test_a_pod_of_the_same_name_is_another_pod(rig: Rig) -> None:
    one, served = await rig.pod(2)
    await rig.settle(one)
    again = {**one, "metadata": {**one["metadata"], "uid": "reborn"}}
    assert rig.concentrators.reports("vpn", [again]) == {}
    await rig.settle(again)
    assert served.asked == 2
    rig.concentrators.forget("vpn", [], {"office-2"})
    assert rig.concentrators.reports("vpn", [again]) == {}
