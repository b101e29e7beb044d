"""Shards that come and go with real clients, and what can't be taken over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ferrule.gateway.image import ClientImage
from ferrule.store.interface import Checkpoint, Claim, Lease, Put, PutResult, Renewal
from support.faulty_store import FaultyStore
from support.members import One, crowd, members, until


async def written(one: One) -> None:
    await until(lambda: not one.member.checkpoints.busy)


def image_of(one: One) -> ClientImage:
    client = next(iter(one.gateway.clients.values()))
    return one.member.images.image_of(client)


async def test_numbers_go_on_behind_what_was_reserved(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        dead, heir = made[0], made[1]
        async with crowd(dead, dead, 1) as (balancer, load):
            await written(dead)
            before = image_of(dead).pairs[0]
            await dead.kill()
            balancer.move(dead, heir)
            await made.until_settled()
            await until(lambda: len(heir.gateway.clients) == 1)
            client = next(iter(heir.gateway.clients.values()))
            state = heir.plane.client_state(client.id)
            assert state is not None
            assert state.sas[0].next_sequence > before.reserved
            await written(heir)
            after = image_of(heir).pairs[0]
            assert after.inbound_spi == before.inbound_spi
            assert after.reserved >= state.sas[0].next_sequence
            assert load.ups


async def test_by_plan_no_number_is_given_up(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        leaving, heir = made[0], made[1]
        async with crowd(leaving, leaving, 1) as (balancer, load):
            load.start_traffic(0.0)
            await written(leaving)
            client = next(iter(leaving.gateway.clients.values()))
            state = leaving.plane.client_state(client.id)
            assert state is not None
            leaving.member.cluster.drain()
            await until(lambda: len(heir.gateway.clients) == 1)
            balancer.move(leaving, heir)
            moved = next(iter(heir.gateway.clients.values()))
            assert (moved.uid, moved.shard) == (client.uid, client.shard)
            after = heir.plane.client_state(moved.id)
            assert after is not None
            assert 0 <= after.sas[0].next_sequence - state.sas[0].next_sequence < 10
            assert len(load.ups) == 1


async def test_a_check_point_that_cannot_be_used_costs_its_client_alone(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        dead, heir = made[0], made[1]
        async with crowd(dead, dead, 2) as (balancer, load):
            await written(dead)
            broken, sound = dead.gateway.clients.values()
            await dead.kill()
            found = store.inner.checkpoints.shards[broken.shard]
            blob, epoch = found[broken.uid].blob, found[broken.uid].epoch
            found[broken.uid] = Checkpoint(epoch, blob[:-1] + bytes((blob[-1] ^ 1,)))
            balancer.move(dead, heir)
            await made.until_settled()
            await until(lambda: len(heir.gateway.clients) == 1)
            assert heir.gateway.client_named(sound.uid) is not None
            assert heir.member.images.unreadable == 1
            assert len(load.ups) == 2  # the other one does not know yet


async def test_a_bug_in_reading_a_check_point_costs_its_client_alone(tmp_path: Path) -> None:
    """Nor may it keep its shard from being served."""
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        dead, heir = made[0], made[1]
        async with crowd(dead, dead, 2) as (balancer, _):
            await written(dead)
            broken, sound = dead.gateway.clients.values()
            cookie = dead.member.images._names.cookie(broken.shard)
            claim = dead.member.checkpoints.claims[broken.shard]
            await dead.member.checkpoints.put([dead.member.images.forward(cookie, 1, claim)])
            await dead.kill()
            bugs: list[str] = []
            heir.report.bug = bugs.append  # type: ignore[method-assign]
            images = heir.member.images
            opened = images.open

            def open_one(uid: str, *rest: Any) -> ClientImage | None:
                if uid == broken.uid:
                    raise RuntimeError("planted")
                return opened(uid, *rest)

            images.open = open_one  # type: ignore[method-assign]
            images.restore_forward = None  # type: ignore[assignment, method-assign]
            balancer.move(dead, heir)
            await made.until_settled()
            await until(lambda: heir.gateway.client_named(sound.uid) is not None)
            await until(lambda: heir.member.takeover.coming == 0)
            assert heir.gateway.client_named(broken.uid) is None
            assert bugs == ["check-point", "check-point"]


async def test_a_bug_in_an_adoption_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        one = made[0]
        async with crowd(one, one, 1):
            image = image_of(one)
            client = next(iter(one.gateway.clients.values()))
            one.member.takeover.evict(client)
            bugs: list[str] = []
            one.report.bug = bugs.append  # type: ignore[method-assign]
            install, one.plane.install_sa = one.plane.install_sa, None  # type: ignore[assignment, method-assign]
            assert one.member.takeover.adopt(image) is None
            assert bugs
            assert not one.gateway.clients
            one.plane.install_sa = install  # type: ignore[method-assign]
            assert one.member.takeover.adopt(image) is not None


async def test_what_a_later_claim_holds_is_not_served(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        dead, heir = made[0], made[1]
        shard = min(dead.member.cluster.held)
        store.inner.checkpoints.claim(shard, Claim(dead.member.cluster.identity, 99))
        await dead.kill()
        await until(lambda: len(heir.member.cluster.held) == 1024)
        await until(lambda: heir.member.takeover.coming == 1)
        assert not heir.member.ready(shard)
        assert shard not in heir.member.checkpoints.claims


async def test_the_store_may_be_away_in_the_middle_of_a_take_over(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0", "a-1")) as made:
        dead, heir = made[0], made[1]
        async with crowd(dead, dead, 1) as (balancer, load):
            await written(dead)
            load_shard, failures = store.inner.load, 5

            async def failing(shard: int) -> object:
                nonlocal failures
                failures -= 1
                store.away = failures > 0
                await store._reach()
                return await load_shard(shard)

            store.load = failing  # type: ignore[assignment, method-assign]
            await dead.kill()
            balancer.move(dead, heir)
            await until(lambda: failures < 4, 15.0)
            store.away = False
            failures = 0
            await made.until_settled()
            await until(lambda: len(heir.gateway.clients) == 1)
            assert load.ups


class Noting(FaultyStore):
    """Notes whose leases and whose check-points it took, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[str, str]] = []

    async def put(self, batch: Sequence[Put]) -> tuple[PutResult, ...]:
        results = await super().put(batch)
        for put, result in zip(batch, results, strict=True):
            if put.blob is not None and result is PutResult.DONE:
                self.taken.append(("check-point", put.session))
        return results

    async def renew(self, leases: Sequence[Lease]) -> Renewal:
        await self._reach()
        self.taken += [("lease", lease.session.partition("/")[0]) for lease in leases]
        return await self.inner.renew(leases)


async def test_an_emptied_store_hears_of_addresses_before_it_gets_check_points(
    tmp_path: Path,
) -> None:
    """Else the heir of a member that dies between the two would find them leased to others."""
    store = Noting()
    async with (
        members(tmp_path, lambda: store, names=("a-0", "a-1")) as made,
        crowd(made[0], made[0], 3),
    ):
        await written(made[0])
        uids = {client.uid for client in made[0].gateway.clients.values()}
        store.empty()
        store.taken.clear()
        await until(lambda: {("check-point", uid) for uid in uids} <= set(store.taken))
        for uid in uids:
            order = [what for what, whose in store.taken if whose == uid]
            assert order[0] == "lease"
