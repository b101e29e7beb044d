"""Sessions ended wherever they are; kicks that are counted."""

from __future__ import annotations

from pathlib import Path

from ferrule.cluster.messages import Ending
from ferrule.core.reasons import Reason
from ferrule.runtime.endings import Endings
from ferrule.runtime.lease_names import session_name
from support.faulty_store import FaultyStore
from support.members import crowd, members, until
from support.pair import USERNAME


async def test_a_kick_reaches_whoever_has_the_user(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        asked, has = made[0], made[1]
        async with crowd(has, has, 2) as (_, load):
            ended = await asked.member.endings.ask(Ending.USER, "somebody", Reason.ADMIN_KICK)
            assert ended == 0
            ended = await asked.member.endings.ask(Ending.USER, USERNAME, Reason.ADMIN_KICK)
            assert ended == 2
            await until(lambda: not load.ups)
        async with crowd(has, has, 1) as (_, load):
            ended = await asked.member.endings.ask(Ending.EVERYBODY, "", Reason.ADMIN_KICK)
            assert ended == 1
            await until(lambda: not load.ups)


async def test_one_session_by_its_name(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        asked, has = made[0], made[1]
        async with crowd(has, has, 1) as (_, load):
            client = next(iter(has.gateway.clients.values()))
            call = next(iter(client.calls.values()))
            name = session_name(client.uid, call.key.tunnel, call.key.session)
            asked.member.endings.tell("a-1", name, Reason.REPLACED_SESSION)
            await until(lambda: not load.ups)


async def test_who_does_not_answer_is_not_waited_for_long(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        asked, silent = made[0], made[1]
        await silent.kill()
        began = asked.loop.time()
        assert await asked.member.endings.ask(Ending.EVERYBODY, "", Reason.ADMIN_KICK) == 0
        assert asked.loop.time() - began < 3.0


async def test_alone_nobody_is_asked(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        endings: Endings = made[0].member.endings
        assert await endings.ask(Ending.EVERYBODY, "", Reason.ADMIN_KICK) == 0
