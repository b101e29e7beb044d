"""A store in memory that can be away, slow, or emptied, shared by the members of a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ferrule.store.interface import Checkpoint, Claim, Put, PutResult, StoreAway
from ferrule.store.memory import MemoryStore


class FaultyStore:
    """`store.interface.Store`. `puts` are all that were asked for, in order."""

    def __init__(self) -> None:
        self.inner = MemoryStore(clock=time.time)
        self.away = False
        self.delay = 0.0
        self.puts: list[Put] = []

    def empty(self) -> None:
        self.inner = MemoryStore(clock=time.time)

    def blobs(self) -> dict[str, bytes]:
        """All check-points and forwards, by name."""
        shards = self.inner.checkpoints.shards.values()
        return {name: one.blob for found in shards for name, one in found.items()}

    async def put(self, batch: Sequence[Put]) -> tuple[PutResult, ...]:
        self.puts += batch
        await self._reach()
        return await self.inner.put(batch)

    async def claim(self, shards: Iterable[int], claim: Claim) -> frozenset[int]:
        await self._reach()
        return await self.inner.claim(shards, claim)

    async def load(self, shard: int) -> Mapping[str, Checkpoint]:
        await self._reach()
        return await self.inner.load(shard)

    async def _reach(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.away:
            raise StoreAway("the test says so")

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **options: Any) -> Any:
            await self._reach()
            return await getattr(self.inner, name)(*arguments, **options)

        return call
