"""Clients that move to where their packets enter, over a ring that loses, doubles and delays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ferrule.cluster.members import MemberName
from ferrule.cluster.messages import HandOver, build_hand_over, parse_hand_over
from ferrule.cluster.ring import RingKind
from ferrule.core.reasons import Reason
from ferrule.runtime.images import FORWARD_PREFIX
from ferrule.store.interface import Put, PutResult, StoreAway
from support.faulty_store import FaultyStore
from support.members import One, crowd, members, until

HAND_OVER = RingKind.HAND_OVER
Send = Callable[[RingKind, bytes, MemberName], bool]


class Tapped:
    """What a member sends of one kind; the first `lost` get lost."""

    def __init__(self, one: One, lost: int = 0) -> None:
        self.bodies: list[bytes] = []
        self._lost = lost
        self._send: Send = one.member.relay.ring.send
        one.member.relay.ring.send = self  # type: ignore[method-assign]

    def __call__(self, kind: RingKind, body: bytes, to: MemberName) -> bool:
        if kind is not HAND_OVER:
            return self._send(kind, body, to)
        self.bodies.append(body)
        return True if len(self.bodies) <= self._lost else self._send(kind, body, to)


async def written(one: One) -> None:
    await until(lambda: not one.member.checkpoints.busy)


async def test_lost_on_the_way_it_is_sent_again(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt = made[0], made[1]
        tapped = Tapped(ike, lost=1)
        async with crowd(ike, natt, 1) as (_, load):
            assert len(tapped.bodies) == 2
            assert tapped.bodies[0] == tapped.bodies[1]
            assert len(natt.gateway.clients) == 1
            assert ike.member.late_binding.sent == natt.member.late_binding.received == 1
            assert len(load.ups) == 1


async def test_a_second_or_late_one_brings_nobody_back(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt = made[0], made[1]
        tapped = Tapped(ike)
        async with crowd(ike, natt, 1):
            body = tapped.bodies[0]
            client = next(iter(natt.gateway.clients.values()))
            bind = natt.member.late_binding.receive
            assert bind(ike.member.name, body) is None  # it is here: the message counts again
            assert len(natt.gateway.clients) == 1
            natt.member.takeover.evict(client)
            assert bind(ike.member.name, body) is Reason.NOT_SERVING
            assert not natt.gateway.clients
            late = parse_hand_over(body)
            other = HandOver(late.epoch - 1, late.shard, late.uid, late.blob, late.cause)
            assert bind(ike.member.name, build_hand_over(other)) is Reason.NOT_SERVING


async def test_only_for_a_shard_of_ours_and_only_whole(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt, third = made.all
        tapped = Tapped(ike, lost=99)
        with pytest.raises(AssertionError):  # it never gets through
            async with crowd(ike, natt, 1, most_seconds=1.0):
                pass
        one = parse_hand_over(tapped.bodies[0])
        bind = natt.member.late_binding.receive
        stranger = third.member.late_binding.receive
        assert stranger(ike.member.name, tapped.bodies[0]) is Reason.NOT_SERVING
        broken = HandOver(one.epoch, one.shard, one.uid, one.blob[:-1] + b"x", one.cause)
        assert bind(ike.member.name, build_hand_over(broken)) is Reason.RING_MALFORMED
        assert not natt.gateway.clients
        assert bind(ike.member.name, tapped.bodies[0]) is None
        assert len(natt.gateway.clients) == 1


def forwards(store: FaultyStore) -> list[str]:
    return [name for name in store.blobs() if name.startswith(FORWARD_PREFIX)]


async def test_old_cookies_lead_to_the_new_home_also_after_a_take_over(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt, third = made.all
        async with crowd(ike, natt, 1):
            await written(ike)
            assert len(forwards(store)) == 1
            assert len(ike.member.relay.forwards) == 1
            client = next(iter(natt.gateway.clients.values()))
            cookie = natt.gateway.foreign_cookies(client)[0]
            await ike.kill()
            await made.until_settled()
            heir = next(one for one in (natt, third) if len(one.member.relay.forwards))
            assert heir.member.relay.forwards.home(cookie, 0.0) == client.shard
            assert sum(len(one.gateway.clients) for one in made.alive) == 1


async def test_what_its_first_owner_did_not_live_to_delete_stays_dead(tmp_path: Path) -> None:
    """Its check-point is still there, but so is the forward."""
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt, _ = made.all
        async with crowd(ike, natt, 1):
            await written(ike)
            client = next(iter(natt.gateway.clients.values()))
            stale = next(
                put
                for put in store.puts
                if put.session == client.uid and put.shard != client.shard and put.blob
            )
            await store.inner.put([stale])
            await ike.kill()
            await made.until_settled()
            assert sum(len(one.gateway.clients) for one in made.alive) == 1
            assert natt.gateway.client_named(client.uid) is client


async def test_who_cannot_be_written_down_as_gone_stays(tmp_path: Path) -> None:
    """The store is slow, so answers wait; the client gets in all the same, by way of its owner."""
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt, _ = made.all
        tapped = Tapped(ike)
        puts = store.put

        async def failing(batch: Sequence[Put]) -> tuple[PutResult, ...]:
            if any(put.session.startswith(FORWARD_PREFIX) and put.blob for put in batch):
                raise StoreAway("the test says so")
            return await puts(batch)

        store.put = failing  # type: ignore[method-assign]
        async with crowd(ike, natt, 1) as (_, load):
            assert tapped.bodies == []
            assert len(ike.gateway.clients) == 1
            assert not natt.gateway.clients
            assert ike.member.late_binding.sent == 0
            assert len(ike.member.relay.forwards) == 0
            assert ike.member.relay.counts["from_ingress", "esp"] > 0
            assert len(load.ups) == 1


async def test_the_store_hears_first_that_a_client_left(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store) as made:
        ike, natt, _ = made.all
        tapped = Tapped(ike)
        at_hand_over: list[list[str]] = []
        send = ike.member.relay.ring.send

        def noting(kind: RingKind, body: bytes, to: MemberName) -> bool:
            if kind is HAND_OVER:
                at_hand_over.append(list(store.blobs()))
            return send(kind, body, to)

        ike.member.relay.ring.send = noting  # type: ignore[method-assign]
        async with crowd(ike, natt, 1):
            uid = next(iter(natt.gateway.clients.values())).uid
            assert len(tapped.bodies) == 1
            assert uid not in at_hand_over[0]
            assert any(name.startswith(FORWARD_PREFIX) for name in at_hand_over[0])
