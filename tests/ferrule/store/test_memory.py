"""The store in memory: its file, what it promises of it, and what it does with a bad one."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from ferrule.cluster.sealing import OVERHEAD_OCTETS, Sealer
from ferrule.core.secret import Secret
from ferrule.store.interface import (
    DIRECTORY_SECONDS,
    Checkpoint,
    Claim,
    Granted,
    Put,
    PutResult,
    StoreAway,
)
from ferrule.store.memory import MemoryStore
from ferrule.store.snapshot import Image, read_snapshot
from support.store import FIRST, epoch_of, found, records_of, request, said_all, who

A = who("a-0")
KEY, OTHER = Secret(bytes(32)), Secret(bytes(range(32)))


def sealer(*keys: Secret) -> Sealer:
    return Sealer("vpn", keys or (KEY,), random.randbytes)


async def opened(path: Path, *keys: Secret) -> MemoryStore:
    return await MemoryStore.open(path, sealer(*keys), flush_seconds=0.001)


async def filled(path: Path) -> None:
    store = await opened(path)
    await found(store, A)
    await store.claim([1, 2], Claim(A, 1))
    await store.put([Put(1, Claim(A, 1), "s1", b"blob"), Put(2, Claim(A, 1), "s2", b"")])
    assert isinstance(await store.admit(request("s1")), Granted)
    await store.close()


async def test_a_restarted_process_finds_everything(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await filled(path)
    store = await opened(path)
    assert store.problem == ""
    assert store.members.epoch == epoch_of(1, A)
    assert store.members.records == records_of(epoch_of(1, A))
    assert await store.load(1) == {"s1": Checkpoint(1, b"blob")}
    assert await store.load(2) == {"s2": Checkpoint(1, b"")}
    assert await store.put([Put(1, Claim(A, 1), "s1", b"more")]) == (PutResult.DONE,)
    assert (await store.admit(request("s1"))) == Granted(FIRST)
    assert (await store.admit(request("s2", "bob"))) == Granted(FIRST + 1)
    await store.close()


async def test_put_returns_when_it_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = await opened(path)
    await store.claim([1], Claim(A, 1))
    await asyncio.gather(
        *(store.put([Put(1, Claim(A, 1), f"s{n}", b"reserved")]) for n in range(20))
    )
    killed_now = read_snapshot(path, sealer())
    assert isinstance(killed_now, Image)
    assert len(killed_now.checkpoints[1]) == 20
    await store.close()


async def test_a_file_has_one_process(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = await opened(path)
    with pytest.raises(OSError, match="another process's"):
        await opened(path)
    await store.close()
    await (await opened(path)).close()
    with pytest.raises(OSError, match="its folder must be there"):
        await opened(tmp_path / "nowhere" / "store")


async def test_other_keys_seal_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await filled(path)
    store = await opened(path)
    store.use_keys([OTHER, KEY])
    await store.close()
    store = await opened(path, OTHER)
    assert await store.load(1)
    await store.close()


async def test_the_file_is_sealed_and_ours(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await filled(path)
    octets = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert b"ada" not in octets
    assert b"blob" not in octets
    rotated = await opened(path, OTHER, KEY)
    assert await rotated.load(1)
    await rotated.close()
    assert (await opened(path, OTHER)).problem == ""


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda octets: b"", "shorter"),
        (lambda octets: octets[:OVERHEAD_OCTETS], "changed"),
        (lambda octets: octets[:-1], "changed"),
        (lambda octets: octets[:40] + bytes([octets[40] ^ 1]) + octets[41:], "changed"),
        (lambda octets: b"\x63" + octets[1:], "version"),
        (lambda octets: octets[:1] + b"abcd" + octets[5:], "key"),
    ],
)
async def test_a_bad_file_is_said_and_not_believed(
    tmp_path: Path, change: object, problem: str
) -> None:
    path = tmp_path / "store"
    await filled(path)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    store = await opened(path)
    assert problem in store.problem
    assert store.members.epoch is None
    await store.close()


async def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = await opened(tmp_path / "store")
    assert "cannot be read" in store.problem
    await store.claim([1], Claim(A, 1))
    with pytest.raises(StoreAway, match="cannot be written"):
        await store.put([Put(1, Claim(A, 1), "s", b"x")])
    await store.close()


async def test_no_promise_without_a_file() -> None:
    store = MemoryStore()
    await store.claim([1], Claim(A, 1))
    assert await store.put([Put(1, Claim(A, 1), "s", b"x")]) == (PutResult.DONE,)
    await store.close()


async def test_the_directory_forgets() -> None:
    now = [1000.0]
    store = MemoryStore(clock=lambda: now[0])
    await store.publish({"s1": b"x"})
    now[0] += DIRECTORY_SECONDS - 1
    await store.publish({"s2": b"y"})
    assert (await store.directory()).keys() == {"s1", "s2"}
    now[0] += 2
    assert (await store.directory()).keys() == {"s2"}


async def test_a_member_that_is_cut_off_keeps_its_leases_and_a_dead_one_does_not() -> None:
    now = 1000.0
    store = MemoryStore(clock=lambda: now)
    cut_off, dead = who("a-1", 7), who("a-2", 8)
    await found(store, A, cut_off)
    for user, owner in (("ada", A), ("bob", cut_off), ("eve", dead)):
        assert isinstance(await store.admit(request(user, user, owner=str(owner))), Granted)
    for _ in range(4):
        now += 30.0
        await store.renew([store.leases.leases["ada"]])
        await said_all(store, A)
    await store.admit(request("new", "joe"))
    assert store.leases.leases.keys() == {"ada", "bob", "new"}
    await said_all(store, cut_off)  # it is back, and does not have the session any more
    now += 30.0
    await store.renew([store.leases.leases[session] for session in ("ada", "new")])
    now += 30.0
    await store.renew([store.leases.leases[session] for session in ("ada", "new")])
    now += 29.0
    await store.admit(request("new", "joe"))
    assert "bob" in store.leases.leases
    now += 2.0
    await said_all(store, cut_off)
    await store.admit(request("new", "joe"))
    assert store.leases.leases.keys() == {"ada", "new"}
