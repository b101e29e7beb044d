"""The lock-out is the gateway's, whichever member a password is tried at."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferrule.accounts.lockout import FREE_FAILURES
from ferrule.client.load import Load
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from support.faulty_store import FaultyStore
from support.members import Balancer, Members, One, members, until
from support.pair import PASSWORD, USERNAME, client_settings

WRONG = "not the password"


async def dial(at: One, password: str) -> dict[str, int]:
    """One client of that member; its failures, which are none if it came in."""
    balancer = Balancer(at, at)
    load = Load(balancer.server, lambda _: client_settings(password=password))
    grown = await load.grow(1, most_seconds=20.0)
    await load.leave()
    await until(lambda: not at.gateway.clients)
    balancer.close()
    return grown.failures


def delays(made: Members) -> list[float]:
    """Seconds for which each member locks the user out."""
    left = []
    for one in made.alive:
        lockout = one.gateway.site.accounts.lockout
        left.append(lockout.seconds_left(USERNAME, "127.0.0.1", one.loop.time()))
    return left


async def test_wrong_passwords_are_counted_over_all_members(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        for number in range(FREE_FAILURES - 1):
            assert await dial(made[number % 2], WRONG)
        assert delays(made) == [0.0, 0.0, 0.0]
        assert await dial(made[0], WRONG)
        await until(lambda: all(left > 0 for left in delays(made)))
        assert await dial(made[2], PASSWORD)  # never asked before


async def test_the_right_one_is_heard_of_too(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        for _ in range(FREE_FAILURES - 1):
            assert await dial(made[0], WRONG)
        assert not await dial(made[1], PASSWORD)
        lockout = made[0].gateway.site.accounts.lockout
        await until(lambda: len(lockout) == 0)
        assert await dial(made[0], WRONG)
        assert delays(made) == [0.0, 0.0]


async def test_nonsense_and_names_with_a_domain(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        tries = made[0].member.tries
        with pytest.raises(Malformed) as raised:
            tries.hear(b"\2\0x")
        assert raised.value.reason is Reason.RING_MALFORMED
        for _ in range(FREE_FAILURES):
            tries.hear(b"\0\x09127.0.0.1CORP\\" + USERNAME.encode())
        assert delays(made)[0] > 0
