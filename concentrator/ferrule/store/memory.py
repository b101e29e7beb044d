"""The store of a single replica: this process's memory, and a sealed file if it is to outlive it.

With a file, a container that is restarted finds its check-points, leases and epoch again. `put`
returns only when they are in the file: whoever reserved something in a check-point may rely on it.
What else changed is written with the next flush, and by `close`. The file is written whole, after
`flush_seconds`, or later if that would take more than a tenth of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ferrule.cluster.members import Epoch, EpochId, Identity, Record
from ferrule.cluster.sealing import Sealer
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.store.interface import (
    DIRECTORY_SECONDS,
    Admission,
    Checkpoint,
    Claim,
    Lease,
    LeaseRequest,
    Members,
    Put,
    PutResult,
    Refused,
    Renewal,
    StoreAway,
)
from ferrule.store.leases import LeaseBook
from ferrule.store.snapshot import Image, read_snapshot, write_snapshot

FLUSH_SECONDS: Final = 0.02
FLUSH_SHARE: Final = 0.1  # of the time, at most, for a file that has grown


class MemberBook:
    """The epoch, and the records of its members."""

    def __init__(self) -> None:
        self.epoch: Epoch | None = None
        self.records: dict[Identity, Record] = {}
        self.unrestored: set[Identity] = set()  # have yet to say which leases they hold
        self.generation = ""

    def beat(self, record: Record) -> Members:
        if record.identity in self.records:
            self.records[record.identity] = record
        return self.view()

    def change(
        self,
        expected: EpochId | None,
        marks: Mapping[Identity, bytes],
        epoch: Epoch,
        records: Mapping[Identity, Record],
    ) -> Members:
        current = self.epoch.id if self.epoch is not None else None
        if current != expected or any(self._mark(who) != mark for who, mark in marks.items()):
            return self.view()
        identities = {member.identity for member in epoch.members}
        if self.epoch is None:
            self.unrestored = set(identities)
            self.generation = f"{epoch.id.number}:{epoch.id.token:016x}"
        self.unrestored &= identities
        self.epoch = epoch
        self.records = {who: self.records.get(who, records[who]) for who in identities}
        return self.view(changed=True)

    def restored(self, member: Identity) -> bool:
        self.unrestored.discard(member)
        return self.ready

    @property
    def ready(self) -> bool:
        return self.epoch is not None and not self.unrestored

    def view(self, *, changed: bool = False) -> Members:
        return Members(self.epoch, dict(self.records), changed)

    def _mark(self, who: Identity) -> bytes:
        record = self.records.get(who)
        return record.mark if record is not None else b""


class CheckpointBook:
    """Claims, and what was written under them."""

    def __init__(self) -> None:
        self.claims: dict[int, Claim] = {}
        self.shards: dict[int, dict[str, Checkpoint]] = {}

    def claim(self, shard: int, claim: Claim) -> bool:
        standing = self.claims.get(shard)
        if standing is not None and standing != claim and standing.epoch >= claim.epoch:
            return False
        self.claims[shard] = claim
        return True

    def put(self, put: Put) -> PutResult:
        standing = self.claims.get(put.shard)
        if standing is None:
            return PutResult.UNCLAIMED
        if standing != put.claim:
            return PutResult.DEPOSED
        sessions = self.shards.setdefault(put.shard, {})
        if put.blob is None:
            sessions.pop(put.session, None)
        else:
            sessions[put.session] = Checkpoint(put.claim.epoch, put.blob)
        return PutResult.DONE


class MemoryStore:
    """`clock` is Unix time in seconds. With a `path`, use `open`; `problem` says why an existing
    file was not used, "" if it was."""

    def __init__(
        self,
        *,
        path: Path | None = None,
        sealer: Sealer | None = None,
        flush_seconds: float = FLUSH_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.members = MemberBook()
        self.checkpoints = CheckpointBook()
        self.leases = LeaseBook()
        self._said_all_ms: dict[Identity, int] = {}  # when a member had renewed all that it has
        self.problem = ""
        self._entries: dict[str, tuple[float, bytes]] = {}
        self._clock = clock
        self._path = path
        self._sealer = sealer
        self._flush_seconds = flush_seconds
        self._flush_took = 0.0
        self._changed = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._lock: int | None = None  # held as long as the file is ours

    @classmethod
    async def open(
        cls,
        path: Path,
        sealer: Sealer,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> MemoryStore:
        """With what the file holds, if it is there and ours. Raises OSError where another process
        has it, or no file can be written."""
        lock = _lock(path)
        store = cls(path=path, sealer=sealer, flush_seconds=flush_seconds, clock=clock)
        store._lock = lock
        found = await asyncio.to_thread(read_snapshot, path, sealer)
        if isinstance(found, Image):
            store._take_over(found)
        elif found is not None:
            store.problem = found
        store._flusher = asyncio.create_task(store._flush_forever())
        return store

    # --- members ----------------------------------------------------------------------------

    async def beat(self, record: Record) -> Members:
        return self.members.beat(record)

    async def change(
        self,
        expected: EpochId | None,
        marks: Mapping[Identity, bytes],
        epoch: Epoch,
        records: Mapping[Identity, Record],
    ) -> Members:
        self._changed.set()
        return self.members.change(expected, marks, epoch, records)

    # --- check-points -----------------------------------------------------------------------

    async def claim(self, shards: Iterable[int], claim: Claim) -> frozenset[int]:
        self._changed.set()
        return frozenset(shard for shard in shards if self.checkpoints.claim(shard, claim))

    async def put(self, batch: Sequence[Put]) -> tuple[PutResult, ...]:
        results = tuple(self.checkpoints.put(put) for put in batch)
        await self._durable()
        return results

    async def load(self, shard: int) -> Mapping[str, Checkpoint]:
        return dict(self.checkpoints.shards.get(shard, {}))

    # --- leases -----------------------------------------------------------------------------

    async def admit(self, request: LeaseRequest) -> Admission:
        if not self.members.ready:
            return Refused(Reason.STORE_AWAY)
        self._changed.set()
        now_ms = self._now_ms()
        said = self._said_all_ms
        said_all_ms = {str(who): said.get(who, 0) for who in self.members.records}
        return self.leases.admit(request, now_ms, said_all_ms)

    async def renew(self, leases: Sequence[Lease]) -> Renewal:
        self._changed.set()
        renewal = self.leases.renew(leases, self._now_ms())
        return replace(renewal, generation=self.members.generation)

    async def restored(self, member: Identity, generation: str) -> bool:
        if generation != self.members.generation:
            return False
        said, listed = self._said_all_ms, self.members.records
        self._said_all_ms = {who: at for who, at in said.items() if who in listed}
        self._said_all_ms[member] = self._now_ms()
        return self.members.restored(member)

    async def release(self, session: str) -> None:
        self._changed.set()
        self.leases.release(session, self._now_ms())

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    # --- directory --------------------------------------------------------------------------

    async def publish(self, entries: Mapping[str, bytes]) -> None:
        until = self._clock() + DIRECTORY_SECONDS
        self._entries |= {session: (until, entry) for session, entry in entries.items()}

    async def withdraw(self, session: str) -> None:
        self._entries.pop(session, None)

    async def directory(self) -> Mapping[str, bytes]:
        now = self._clock()
        self._entries = {who: entry for who, entry in self._entries.items() if entry[0] > now}
        return {session: entry for session, (_, entry) in self._entries.items()}

    # --- the file ---------------------------------------------------------------------------

    async def close(self) -> None:
        flusher, self._flusher = self._flusher, None
        if flusher is None:
            return
        flusher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flusher
        await self._flush()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def use_keys(self, keys: Sequence[Secret]) -> None:
        """For the file. Raises ValueError, and changes nothing then."""
        if self._sealer is not None:
            self._sealer.replace(keys)
            self._changed.set()

    async def _durable(self) -> None:
        self._changed.set()
        if self._flusher is None:
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        await written

    async def _flush_forever(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(max(self._flush_seconds, self._flush_took / FLUSH_SHARE))
            began = time.monotonic()
            await asyncio.shield(asyncio.ensure_future(self._flush()))
            self._flush_took = time.monotonic() - began

    async def _flush(self) -> None:
        """Write all that is there now; whoever waits for it goes on, or hears what was wrong."""
        async with self._writing:
            self._changed.clear()
            waiting, self._waiting = self._waiting, []
            problem: OSError | None = None
            if self._path is not None and self._sealer is not None:
                image = self._image()
                try:
                    await asyncio.to_thread(write_snapshot, self._path, self._sealer, image)
                except OSError as error:
                    problem = error
        for written in waiting:
            if written.done():
                continue
            if problem is None:
                written.set_result(None)
            else:
                written.set_exception(StoreAway(f"the snapshot cannot be written: {problem}"))

    def _image(self) -> Image:
        """A copy that a thread may read: what is in it does not change any more."""
        return Image(
            self.members.epoch,
            dict(self.members.records),
            frozenset(self.members.unrestored),
            dict(self.checkpoints.claims),
            {shard: dict(sessions) for shard, sessions in self.checkpoints.shards.items()},
            self.leases.dump(),
        )

    def _take_over(self, image: Image) -> None:
        self.members.epoch = image.epoch
        self.members.records = dict(image.records)
        self.members.unrestored = set(image.unrestored)
        self.checkpoints.claims = dict(image.claims)
        self.checkpoints.shards = {shard: dict(held) for shard, held in image.checkpoints.items()}
        self.leases.load(image.leases, self._now_ms())


def _lock(path: Path) -> int:
    """The descriptor that holds it, until it is closed. Raises OSError, with a message for a
    person."""
    try:
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OSError(f"the snapshot {path}: {error.strerror}; its folder must be there") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise OSError(f"the snapshot {path} is another process's") from error
    return lock
