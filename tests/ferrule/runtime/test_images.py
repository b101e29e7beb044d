"""Sealed clients: nothing can be read of them without the key, or put in another's place."""

from __future__ import annotations

from pathlib import Path

from ferrule.cluster.sealing import BlobKind, Sealer
from ferrule.core.ids import Cookie
from ferrule.core.secret import Secret
from ferrule.gateway.image import ClientImage
from ferrule.store.interface import Checkpoint
from support.faulty_store import FaultyStore
from support.members import One, crowd, members, until


def image_of(one: One) -> ClientImage:
    client = next(iter(one.gateway.clients.values()))
    return one.member.images.image_of(client)


async def written(one: One) -> None:
    await until(lambda: not one.member.checkpoints.busy)


async def test_nothing_in_the_store_can_be_read_without_the_key(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        one = made[0]
        async with crowd(one, one, 1) as (_, load):
            await written(one)
            everything = b"".join(store.blobs().values())
            client = next(iter(one.gateway.clients.values()))
            pair = next(iter(client.ipsec_sas.values()))
            for secret in (b"alice", pair.inbound_key.reveal(), pair.outbound_key.reveal()):
                assert secret not in everything
            assert load.report()[0].address.encode() not in everything
            other = Sealer("ferrule", [Secret(b"another key, which is not the right one")], bytes)
            opened = other.open(next(iter(store.blobs().values())), one.context(client))
            assert not isinstance(opened, bytes)


async def test_a_client_in_another_s_place_is_not_adopted(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        one = made[0]
        async with crowd(one, one, 1):
            await written(one)
            client = next(iter(one.gateway.clients.values()))
            claim = one.member.checkpoints.claims[client.shard]
            put = one.member.images.checkpoint(image_of(one), claim)
            assert put.blob is not None
            opened = one.member.images.open(client.uid, put.blob, BlobKind.CHECKPOINT, claim.epoch)
            assert opened is not None
            assert opened.uid == client.uid
            for uid, kind, epoch in (
                ("0" * 16, BlobKind.CHECKPOINT, claim.epoch),
                (client.uid, BlobKind.HAND_OVER, claim.epoch),
                (client.uid, BlobKind.CHECKPOINT, claim.epoch + 1),
            ):
                assert one.member.images.open(uid, put.blob, kind, epoch) is None
            assert one.member.takeover.adopt(opened) is None  # it is here already


async def test_forwards_come_back_from_the_store_or_are_counted(tmp_path: Path) -> None:
    store = FaultyStore()
    async with members(tmp_path, lambda: store, names=("a-0",)) as made:
        images, forwards = made[0].member.images, made[0].member.relay.forwards
        claim = next(iter(made[0].member.checkpoints.claims.values()))
        cookie = Cookie(b"a cookie")
        put = images.forward(cookie, 7, claim)
        assert put.blob is not None
        assert forwards.home(cookie, images.wall()) == 7
        gone = images.no_forward(cookie, claim)
        assert (gone.session, gone.blob) == (put.session, None)
        assert len(forwards) == 0
        images.restore_forward(put.session, Checkpoint(claim.epoch, put.blob))
        assert forwards.home(cookie, images.wall()) == 7
        forwards.drop(cookie)
        for name, epoch, blob in (
            (put.session, claim.epoch + 1, put.blob),
            ("fwd:0000000000000000", claim.epoch, put.blob),
            (put.session, claim.epoch, b"x"),
        ):
            images.restore_forward(name, Checkpoint(epoch, blob))
        assert images.unreadable == 3
        assert len(forwards) == 0
