"""Shards that come and go, with their clients: the `cluster.Keeper`.

Coming: claim in the store, load what is there, adopt client by client, those first for whom a
packet waits. Going by plan: each client's last image with the plane's exact state, written under
our claim, which the next owner's then supersedes. Going without one: forgotten at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

import structlog

from ferrule.cluster.members import Epoch, EpochId
from ferrule.cluster.sealing import BlobKind
from ferrule.cluster.shards import ShardNames
from ferrule.core.ids import ClientId
from ferrule.gateway import effects as g
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.image import ClientImage
from ferrule.runtime.checkpoints import Checkpoints, Shell
from ferrule.runtime.cluster import Cluster
from ferrule.runtime.images import FORWARD_PREFIX, Images
from ferrule.runtime.relay import Relay
from ferrule.store.interface import Checkpoint, Claim, Put, PutResult, Store, StoreAway

ASK_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 0.2
LOADED_AT_ONCE: Final = 32
RELEASED_AT_ONCE: Final = 32
SETTLE_SECONDS: Final = 0.1
ADOPTED_IN_A_ROW: Final = 8  # then the other sources get their turn

T = TypeVar("T")


class Sessions(Protocol):
    """Who must know that clients came."""

    def adopted(self, client: ClientId) -> None: ...
    async def say_leases(self, seconds: float) -> None:
        """Return once the store knows the addresses of all who are here; or after so long."""

    def shards_changed(self) -> None:
        """Others may have what was ours, and the reverse."""


class TakeOver:
    """`seconds` are those of each take-over, from the order to the last client."""

    def __init__(
        self,
        cluster: Cluster,
        gateway: Gateway,
        names: ShardNames,
        store: Store,
        images: Images,
        checkpoints: Checkpoints,
        relay: Relay,
        *,
        clock: Callable[[], float],
        observe: Callable[[float, int, int], None] = lambda seconds, shards, clients: None,
    ) -> None:
        self.adopted = 0  # clients that came from other members
        self.released = 0  # clients that went to others by plan
        self.lost = 0  # clients that went without
        self._cluster = cluster
        self._gateway = gateway
        self._names = names
        self._store = store
        self._images = images
        self._checkpoints = checkpoints
        self._relay = relay
        self._clock = clock
        self._observe = observe
        self._shell: Shell | None = None
        self._sessions: Sessions | None = None
        self._coming: set[int] = set()  # held, but not all of their clients are here yet
        self._claiming: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("ferrule")

    def attach(self, shell: Shell, sessions: Sessions) -> None:
        self._shell, self._sessions = shell, sessions

    @property
    def shell(self) -> Shell:
        assert self._shell is not None, "attached before any shard comes"
        return self._shell

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    @property
    def coming(self) -> int:
        """How many shards of ours are not ready yet."""
        return len(self._coming)

    def ready(self, shard: int) -> bool:
        return shard not in self._coming and shard in self._cluster.held

    # --- the keeper

    def serve(self, shards: frozenset[int], epoch: EpochId) -> None:
        self._coming |= shards
        self._name_shards()
        self._start(self._take(shards, Claim(self._cluster.identity, epoch.number)))

    def release(self, shards: frozenset[int], epoch: EpochId) -> None:
        self._coming -= shards
        self._name_shards()
        if not self._names.shards:
            self._gateway.forget_half_open()
        self._start(self._release(shards, epoch))

    def lose(self, shards: frozenset[int]) -> None:
        self._coming -= shards
        self._checkpoints.unclaim(shards)
        self._relay.forwards.forget(shards, self._names.shard_of_cookie)
        lost = self._clients_of(shards)
        for client in lost:
            self.evict(client)
        self.lost += len(lost)
        self._name_shards()
        if lost:
            self._log.warning("clients lost to other members", clients=len(lost))

    def epoch_changed(self, epoch: Epoch) -> None:
        self._name_shards()
        self._checkpoints.probe()
        if self._sessions is not None:
            self._sessions.shards_changed()

    # --- what the store says

    def deposed(self, shards: frozenset[int]) -> None:
        """Somebody claimed them after us: whatever the epoch says, they are not ours."""
        self._log.error("another member has claimed our shards", shards=len(shards))
        self._coming |= shards & self._cluster.held  # served by nobody here, until it is settled
        held = self._coming.copy()
        self.lose(shards)
        self._coming = held

    def unclaimed(self) -> None:
        """The store was emptied: claim what we hold, and write down everybody."""
        if self._claiming is None or self._claiming.done():
            self._checkpoints.claims.clear()
            self._claiming = self._start(self._claim_again())

    async def _claim_again(self) -> None:
        newest = self._cluster.newest
        held = self._cluster.held
        if newest is None or not held:
            return
        claim = Claim(self._cluster.identity, newest.id.number)
        granted = await self._claim(held, claim)
        self._log.warning("the store was emptied: writing everything again", shards=len(granted))
        assert self._sessions is not None
        # Addresses first: should we die now, our heir must not find them given to others.
        await self._sessions.say_leases(ASK_SECONDS)
        self._checkpoints.claimed(granted & self._cluster.held, claim)
        self._checkpoints.mark_all()

    # --- coming

    async def _take(self, shards: frozenset[int], claim: Claim) -> None:
        began, adopted = self._clock(), 0
        granted = await self._claim(shards, claim)
        if refused := shards - granted:
            self._log.error("shards that another member has claimed", shards=len(refused))
        granted &= self._still_coming(shards)
        self._checkpoints.claimed(granted, claim)
        left = set(granted)
        while left := left & self._still_coming(shards):
            first = [shard for shard in self._relay.waiting.shards if shard in left]
            some = (first + sorted(left.difference(first)))[:LOADED_AT_ONCE]
            loaded = await asyncio.gather(*(self._load(shard) for shard in some))
            here: list[ClientId] = []
            for shard, found in zip(some, loaded, strict=True):
                left.discard(shard)
                if self._owns(shard, claim):
                    here += await self._adopt_all(shard, found, claim)
            adopted += len(here)
            # Then answers to what waited may be sent: their numbers are reserved.
            await self._checkpoints.settle(here, SETTLE_SECONDS)
            ready = [shard for shard in some if self._owns(shard, claim)]
            self._coming.difference_update(ready)
            self._name_shards()
            for shard in ready:
                self._relay.go_on(shard)
        seconds = self._clock() - began
        self._observe(seconds, len(shards), adopted)
        if adopted:
            self._log.info("clients taken over", clients=adopted, seconds=round(seconds, 3))

    def _still_coming(self, shards: frozenset[int]) -> frozenset[int]:
        return shards & self._coming & self._cluster.held

    def _owns(self, shard: int, claim: Claim) -> bool:
        return (
            claim.owner == self._cluster.identity
            and shard in self._cluster.held
            and self._checkpoints.claims.get(shard) == claim
        )

    async def _claim(self, shards: Iterable[int], claim: Claim) -> frozenset[int]:
        return await self._insist(lambda: self._store.claim(shards, claim), claim, frozenset())

    async def _load(self, shard: int) -> Mapping[str, Checkpoint]:
        claim = self._checkpoints.claims.get(shard)
        nothing: Mapping[str, Checkpoint] = {}
        return await self._insist(lambda: self._store.load(shard), claim, nothing)

    async def _insist(
        self, question: Callable[[], Awaitable[T]], claim: Claim | None, nothing: T
    ) -> T:
        """Ask until there is an answer, or it is not for us to ask any more."""
        while claim is not None and claim.owner == self._cluster.identity:
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    return await question()
            except (StoreAway, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
        return nothing

    async def _adopt_all(
        self, shard: int, found: Mapping[str, Checkpoint], claim: Claim
    ) -> list[ClientId]:
        adopted = []
        # Forwards first: they tell which clients have left since their check-point.
        names = sorted(found, key=lambda name: not name.startswith(FORWARD_PREFIX))
        for count, name in enumerate(names):
            image = self._read(name, found[name])
            if image is not None and image.shard == shard and not self._images.has_left(image):
                client = self.adopt(image)
                adopted += [client] if client is not None else []
            if count % ADOPTED_IN_A_ROW == ADOPTED_IN_A_ROW - 1:
                await asyncio.sleep(0)
                if not self._owns(shard, claim):
                    break
        return adopted

    def _read(self, name: str, checkpoint: Checkpoint) -> ClientImage | None:
        """The client in it; None for a forward, which is noted, and for what can't be used. A bug
        costs this one alone, not the shard."""
        try:
            if not name.startswith(FORWARD_PREFIX):
                blob, epoch = checkpoint.blob, checkpoint.epoch
                return self._images.open(name, blob, BlobKind.CHECKPOINT, epoch)
            self._images.restore_forward(name, checkpoint)
        except Exception:  # noqa: BLE001 - told, and the others go on
            self.shell.bug("check-point")
        return None

    def adopt(self, image: ClientImage) -> ClientId | None:
        """Go on with this client; None if it is here already. A bug in it costs it alone."""
        if self._gateway.client_named(image.uid) is not None:
            return None
        self.shell.run(lambda now: self._adopt(image, now), None)
        client = self._gateway.client_named(image.uid)
        if (
            client is not None
            and image.pairs
            and self._images.plane.client_state(client.id) is None
        ):
            self.evict(client)
            client = None
        if client is None:
            return None
        self.adopted += 1
        self._checkpoints.mark(client.id)
        assert self._sessions is not None
        self._sessions.adopted(client.id)
        return client.id

    def _adopt(self, image: ClientImage, now: float) -> list[g.GatewayEffect]:
        try:
            return self._gateway.adopt(image, now)
        except Exception:  # noqa: BLE001 - what is left of this one is taken away again
            self.shell.bug("adoption")
            client = self._gateway.client_named(image.uid)
            return self._gateway.evict(client.id) if client is not None else []

    # --- going

    async def _release(self, shards: frozenset[int], epoch: EpochId) -> None:
        leaving = self._clients_of(shards)
        began = self._clock()
        for at in range(0, len(leaving), RELEASED_AT_ONCE):
            puts = [
                put
                for client in leaving[at : at + RELEASED_AT_ONCE]
                if client.id in self._gateway.clients and (put := self._last_of(client))
            ]
            await self._put_last(puts)
            await asyncio.sleep(0)
        self._relay.forwards.forget(shards, self._names.shard_of_cookie)
        self._checkpoints.unclaim(shards)
        self._cluster.released(epoch)
        if leaving:
            seconds = round(self._clock() - began, 3)
            self._log.info("clients handed over", clients=len(leaving), seconds=seconds)

    def _last_of(self, client: Client) -> Put | None:
        """Evict the client; its last image, to be written."""
        claim = self._checkpoints.claims.get(client.shard)
        put = None
        try:
            image = self._images.image_of(client, final=True)
            put = self._images.checkpoint(image, claim) if claim is not None else None
        except Exception:  # noqa: BLE001 - the check-point before will have to do
            self.shell.bug("hand-over")
        self.evict(client)
        self.released += 1
        return put

    async def _put_last(self, puts: list[Put]) -> None:
        """Until it is written, or others own the shards all the same."""
        while puts and puts[0].claim.owner == self._cluster.identity:
            try:
                results = await self._checkpoints.put(puts)
            except StoreAway:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if any(result is not PutResult.DONE for result in results):
                self._log.warning("clients could not be handed over", clients=len(puts))
            return

    def evict(self, client: Client) -> None:
        """The client goes on elsewhere: nothing of it stays, and nobody is told."""
        self._checkpoints.forget(client.id)
        self.shell.run(lambda now: self._gateway.evict(client.id), None)

    # ---

    def _clients_of(self, shards: frozenset[int]) -> list[Client]:
        return [client for client in self._gateway.clients.values() if client.shard in shards]

    def _name_shards(self) -> None:
        """New clients get names of shards that we serve."""
        ours = self._cluster.held - self._coming
        self._names.shards = tuple(sorted(ours))

    def _start(self, work: Any) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception:  # noqa: BLE001 - a bug must not stop what comes later
                self.shell.bug("take-over")

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
