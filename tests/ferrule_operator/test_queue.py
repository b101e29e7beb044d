"""Work by key: coalesced, never twice at once, later and later after failures."""

from __future__ import annotations

import asyncio

import pytest

from ferrule_operator.queue import FIRST_BACKOFF, LAST_BACKOFF, Queue


async def now_or_never(queue: Queue[str]) -> str | None:
    try:
        return await asyncio.wait_for(queue.get(), 0.02)
    except TimeoutError:
        return None


async def test_the_same_key_waits_once() -> None:
    queue: Queue[str] = Queue()
    for _ in range(3):
        queue.put("a")
    queue.put("b")
    assert len(queue) == 2
    assert [await now_or_never(queue) for _ in range(3)] == ["a", "b", None]


async def test_an_earlier_time_wins() -> None:
    queue: Queue[str] = Queue()
    queue.put("a", 60)
    assert await now_or_never(queue) is None
    queue.put("a")
    queue.put("a", 60)
    assert await now_or_never(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_key_that_is_worked_on_comes_again_afterwards() -> None:
    queue: Queue[str] = Queue()
    queue.put("a")
    assert await queue.get() == "a"
    queue.put("a")
    queue.put("b")
    assert await now_or_never(queue) == "b"
    assert await now_or_never(queue) is None
    queue.done("a")
    assert await now_or_never(queue) == "a"


async def test_a_waiting_worker_is_woken() -> None:
    queue: Queue[str] = Queue()
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.put("a")
    assert await asyncio.wait_for(waiting, 1) == "a"


@pytest.mark.parametrize("retry_after", [None, 99.0])
async def test_failures_come_back_later_and_later(retry_after: float | None) -> None:
    loop = asyncio.get_running_loop()
    queue: Queue[str] = Queue()
    delays = []
    for _ in range(12):
        queue._working.add("a")
        start = loop.time()
        queue.done("a", failed=True, retry_after=retry_after)
        delays.append(round(queue._due["a"] - start, 1))
        queue._due.clear()
    if retry_after is None:
        assert delays[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
        assert delays[-1] == LAST_BACKOFF
    else:
        assert set(delays) == {99.0}
    assert queue.failing == 1
    queue.done("a")
    assert queue.failing == 0


async def test_forgotten_keys_do_not_come_again() -> None:
    queue: Queue[str] = Queue()
    queue.put("a")
    queue.forget("a")
    assert await now_or_never(queue) is None
