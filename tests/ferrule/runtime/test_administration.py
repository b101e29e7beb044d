"""What administrators and operators ask: alone, and of one member of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ferrule.accounts.admission import Accounts
from ferrule.runtime.administration import Administration
from support.faulty_store import FaultyStore
from support.loopback import loopback_gateway
from support.members import One, crowd, members, until
from support.pair import USERNAME, Record


def of(one: One) -> Administration:
    return Administration(
        one.gateway,
        one.gateway.site.accounts,
        one.driver,
        one.report,
        one.member,
        clock=one.loop.time,
        file=lambda: Path("gateway.yaml"),
        receive_buffers=dict,
        plane=lambda: one.plane,
    )


async def test_of_one_of_several(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        asked, has = of(made[0]), of(made[1])
        async with crowd(made[1], made[1], 2) as (_, load):
            status = has.status()
            assert (status["sessions"], status["clients"], status["member"]) == (2, 2, "a-1")
            assert (status["standing"], status["members"]) == ("active", ["a-0", "a-1"])
            assert status["store"]["up"]
            remote = has.remote_status()
            assert (remote["sessions"], remote["pool_used"]) == (2, 2)
            assert remote["users"] == {USERNAME: 2}
            assert remote["members"] == ["a-0", "a-1"]
            assert remote["store"] == {"type": "Valkey", "up": True, "why": ""}
            cluster = asked.cluster()
            assert cluster is not None
            assert cluster["member"] == "a-0"
            assert asked.sessions() == []
            assert [row["user"] for row in has.sessions()] == [USERNAME] * 2
            assert await asked.kick(user="nobody") == 0
            assert await asked.kick(user=USERNAME) == 2
            await until(lambda: not load.ups)


async def test_alone() -> None:
    async with loopback_gateway() as one:
        ended: list[object] = []
        driver = type("Driver", (), {"command": lambda _, verb, client: ended.append(client)})()
        admin = Administration(
            one.gateway,
            one.gateway.site.accounts,
            driver,
            _report(one.gateway.site.accounts),
            None,
            clock=lambda: 0.0,
            file=lambda: Path("gateway.yaml"),
            receive_buffers=dict,
            plane=_no_plane,
        )
        assert admin.cluster() is None
        assert admin.remote_status()["store"] == {"type": "Memory", "up": True, "why": ""}
        assert "members" not in admin.remote_status()
        assert "member" not in admin.status()
        assert admin.sessions() == []
        assert await admin.kick(everyone=True) == 0
        with pytest.raises(ValueError, match="name a session"):
            await admin.kick()
        with pytest.raises(ValueError, match="is no session"):
            await admin.kick(session="1/2")


def _report(accounts: Accounts) -> object:
    record = Record()
    record.ready, record.connected, record.weak_sas = True, {}, dict
    return record


_no_plane: Callable[[], object] = object
