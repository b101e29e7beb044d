"""Writes clients down, so that another member can go on with them: the check-points.

A client that changed is written before its peer hears of it (`outbox`), and before sequence numbers
that the check-point reserves are used. One writer, one batch at a time, so that a later image never
comes before an earlier one. Each write is under the shard's claim: DEPOSED means that the client is
another's, UNCLAIMED that the store was emptied, and that everything has to be written again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeAlias

from ferrule.cluster.routes import Forwards
from ferrule.cluster.shards import ShardNames
from ferrule.core.ids import ClientId, Cookie, Spi
from ferrule.dataplane.interface import LifetimeReached
from ferrule.gateway import effects as g
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.runtime.images import Images
from ferrule.runtime.outbox import Outbox
from ferrule.runtime.store_watch import StoreWatch
from ferrule.store.interface import Claim, Put, PutResult, Store, StoreAway

BATCH: Final = 512
EXPORTS_IN_A_ROW: Final = 16  # then the other sources get their turn
PUT_SECONDS: Final = 3.0
RETRY_SECONDS: Final = 0.5
PROBE: Final = "probe"
FORWARDED_MAX: Final = 65_536

Send: TypeAlias = g.SendIke | g.SendL2tp | g.SendPpp
_ENDINGS: Final = (g.RemoveClient, g.RemoveSa, g.RemoveLink)


class Losses(Protocol):
    """What the store says about shards."""

    def deposed(self, shards: frozenset[int]) -> None:
        """Another has claimed them since."""

    def unclaimed(self) -> None:
        """The store was emptied."""


class Shell(Protocol):
    """The driver, as the writer needs it."""

    def perform(self, effects: Iterable[g.GatewayEffect]) -> None:
        """Deeds in the plane, at once."""

    def run(
        self, verb: Callable[[float], Iterable[g.GatewayEffect]], client: ClientId | None
    ) -> None:
        """A verb of the gateway; a bug in it costs `client`."""

    def bug(self, where: str) -> None: ...


@dataclass(slots=True)
class _Row:
    """`client`: whose check-point it is, with these tops of its windows."""

    put: Put
    client: ClientId | None = None
    tops: tuple[int, ...] = ()


@dataclass(slots=True)
class _Known:
    """What the store has of a client, or will have. `tops` None: not yet."""

    uid: str
    shard: int
    tops: tuple[int, ...] | None = None


class Checkpoints:
    """`run` goes on until cancelled."""

    def __init__(
        self,
        gateway: Gateway,
        names: ShardNames,
        store: Store,
        images: Images,
        forwards: Forwards,
        *,
        watch: StoreWatch,
        clock: Callable[[], float],
    ) -> None:
        self.claims: dict[int, Claim] = {}
        self.count = 0  # check-points written
        self.late = 0  # messages that did not wait any longer
        self._gateway = gateway
        self._names = names
        self._store = store
        self._images = images
        self._forwards = forwards
        self._watch = watch
        self._clock = clock
        self._shell: Shell | None = None
        self._losses: Losses | None = None
        self._dirty: dict[ClientId, None] = {}
        self._in_flight: frozenset[ClientId] = frozenset()
        self._unclaimed: set[ClientId] = set()
        self._rekeying: set[Spi] = set()  # while the store is away
        self._known: dict[ClientId, _Known] = {}
        self._forwarded: set[tuple[Cookie, int]] = set()
        self._extra: list[_Row] = []  # deletions and forwards
        self._outbox: Outbox[Send, g.Reserve] = Outbox()
        self._wake = asyncio.Event()
        self._batch_done = asyncio.Event()
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, shell: Shell, losses: Losses) -> None:
        self._shell, self._losses = shell, losses

    @property
    def busy(self) -> bool:
        """Something is yet to be written."""
        return bool(self._dirty or self._in_flight or self._extra)

    @property
    def shell(self) -> Shell:
        assert self._shell is not None, "attached before anything is written"
        return self._shell

    # --- from the driver

    def commit(self, effects: list[g.GatewayEffect], now: float) -> list[g.GatewayEffect]:
        """What of `effects` may be done at once; the rest is done once it is written down."""
        dirty = self._gateway.dirty
        if dirty:
            self._dirty.update(dict.fromkeys(dirty))
            dirty.clear()
            self._wake.set()
        if not effects or not (self._dirty or self._in_flight or self._outbox):
            return self._on_removals(effects)
        if any(isinstance(effect, _ENDINGS) for effect in effects):
            # What is sent needs what is removed, and what ends need not be kept.
            senders = [client for effect in effects if (client := self._sender(effect)) is not None]
            waiting = [m for client in senders for m in self._outbox.release(client)]
            return [*waiting, *self._without_promises(self._on_removals(effects), now)]
        out: list[g.GatewayEffect] = []
        for effect in self._without_promises(effects, now):
            client = self._sender(effect)
            if client is not None and self._waits(client):
                self._outbox.hold(client, effect, now)  # type: ignore[arg-type]
            else:
                out.append(effect)
        self._arm()
        return out

    def _without_promises(
        self, effects: list[g.GatewayEffect], now: float
    ) -> list[g.GatewayEffect]:
        """Numbers may be used once it is written that they are."""
        out: list[g.GatewayEffect] = []
        for effect in effects:
            if isinstance(effect, g.Reserve):
                client = self._gateway.client_of_spi(effect.inbound_spi)
                if client is not None:
                    self._outbox.promise(client.id, effect, now)
            else:
                out.append(effect)
        return out

    def _on_removals(self, effects: list[g.GatewayEffect]) -> list[g.GatewayEffect]:
        """Whoever is over has no check-point any more."""
        for effect in effects:
            if isinstance(effect, g.RemoveClient):
                known = self._known.get(effect.client)
                claim = self.claims.get(known.shard) if known is not None else None
                if known is not None and claim is not None:
                    self.soon(Put(known.shard, claim, known.uid, None))
                self._forget_marks(effect.client)
                self._outbox.promises(effect.client)
        return effects

    def _sender(self, effect: g.GatewayEffect) -> ClientId | None:
        """The client to whom a message goes; None for anything else."""
        match effect:
            case g.SendIke():
                client = self._gateway.client_at(effect.path.peer)
                return client.id if client is not None else None
            case g.SendL2tp() | g.SendPpp():
                return effect.client
            case _:
                return None

    def _waits(self, client: ClientId) -> bool:
        if not self._watch.up:
            return False
        return client in self._dirty or client in self._in_flight or client in self._outbox

    # --- from the cluster

    def mark(self, client: ClientId) -> None:
        self._dirty[client] = None
        self._wake.set()

    def mark_all(self) -> None:
        self._forwarded.clear()
        self._dirty.update(dict.fromkeys(self._gateway.clients))
        self._wake.set()

    def forget(self, client: ClientId) -> None:
        """The client goes on elsewhere: its check-point stays, or is written by whoever calls."""
        self._forget_marks(client)
        self._outbox.drop(client)

    def _forget_marks(self, client: ClientId) -> None:
        self._dirty.pop(client, None)
        self._unclaimed.discard(client)
        self._known.pop(client, None)

    def claimed(self, shards: Iterable[int], claim: Claim) -> None:
        self.claims.update(dict.fromkeys(shards, claim))
        waiting, self._unclaimed = self._unclaimed, set()
        for client in waiting:
            self.mark(client)

    def unclaim(self, shards: Iterable[int]) -> None:
        for shard in shards:
            self.claims.pop(shard, None)

    async def put(self, batch: Sequence[Put]) -> tuple[PutResult, ...]:
        """Behind whatever is being written. Raises StoreAway."""
        async with self._writing:
            try:
                async with asyncio.timeout(PUT_SECONDS):
                    results = await self._store.put(batch)
            except TimeoutError:
                raise StoreAway("no answer in time") from None
            self.count += len(batch)
            return results

    async def settle(self, clients: Iterable[ClientId], seconds: float) -> None:
        """Wait until these are written down; so long at most."""
        left = set(clients)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while left := {c for c in left if c in self._dirty or c in self._in_flight}:
                    await self._batch_done.wait()

    async def rest(self, seconds: float) -> None:
        """Wait until everything is written; so long at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.busy:
                    await self._batch_done.wait()

    def soon(self, put: Put) -> None:
        """Write this with the next batch."""
        self._extra.append(_Row(put))
        self._wake.set()

    def probe(self) -> None:
        """Find out whether the store still has our claims."""
        if self.claims:
            shard, claim = next(iter(self.claims.items()))
            self.soon(Put(shard, claim, PROBE, None))

    # --- the writer

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty or self._extra:
                if not await self._write():
                    await asyncio.sleep(RETRY_SECONDS)

    async def _write(self) -> bool:
        """One batch. False: the store is away."""
        rows, self._extra = self._extra[:BATCH], self._extra[BATCH:]
        clients = list(self._dirty)[: max(0, BATCH - len(rows))]
        self._in_flight = frozenset(clients)
        try:
            for count, client_id in enumerate(clients):
                if client_id in self._dirty:
                    del self._dirty[client_id]
                    rows += self._rows_of(client_id)
                if count % EXPORTS_IN_A_ROW == EXPORTS_IN_A_ROW - 1:
                    await asyncio.sleep(0)
            results = await self.put([row.put for row in rows]) if rows else ()
        except StoreAway as error:
            self._on_away(rows, str(error))
            return False
        finally:
            self._in_flight = frozenset()
            done, self._batch_done = self._batch_done, asyncio.Event()
            done.set()
        if rows:
            self._watch.answered()
            self._rekeying.clear()
        self._on_results(rows, results)
        return True

    def _rows_of(self, client_id: ClientId) -> list[_Row]:
        client = self._gateway.clients.get(client_id)
        claim = self.claims.get(client.shard) if client is not None else None
        if client is None or claim is None:
            if client is not None:
                self._unclaimed.add(client_id)
            self.shell.perform(self._outbox.release(client_id))
            return []
        try:
            image = self._images.image_of(client)
            put = self._images.checkpoint(image, claim)
        except Exception:  # noqa: BLE001 - a bug costs this client its check-point
            self.shell.bug("check-point")
            self.shell.perform(self._outbox.release(client_id))
            return []
        self._outbox.cover(client_id)
        if client_id not in self._known:
            self._known[client_id] = _Known(image.uid, image.shard)
        return [_Row(put, client_id, self._images.window_tops(client_id)), *self._ways_to(client)]

    def _ways_to(self, client: Client) -> list[_Row]:
        """Forwards of the cookies that lead elsewhere, as far as those shards are ours."""
        rows = []
        for cookie in self._gateway.foreign_cookies(client):
            claim = self.claims.get(self._names.shard_of_cookie(cookie))
            if claim is not None and (cookie, client.shard) not in self._forwarded:
                if len(self._forwarded) >= FORWARDED_MAX:
                    self._forwarded.clear()  # to write some twice is no harm
                self._forwarded.add((cookie, client.shard))
                rows.append(_Row(self._images.forward(cookie, client.shard, claim)))
        return rows

    def _on_results(self, rows: Sequence[_Row], results: Sequence[PutResult]) -> None:
        now = self._clock()
        refused: set[int] = set()
        for row, result in zip(rows, results, strict=True):
            if result is PutResult.DEPOSED and self.claims.get(row.put.shard) == row.put.claim:
                refused.add(row.put.shard)
            if row.client is None or result is PutResult.DEPOSED:
                continue
            if result is PutResult.UNCLAIMED:
                self._dirty[row.client] = None
                continue
            if (known := self._known.get(row.client)) is not None:
                known.tops = row.tops
            messages, promises = self._outbox.written(row.client, now)
            self.shell.perform([*promises, *messages])
        assert self._losses is not None
        if refused:
            self._losses.deposed(frozenset(refused))
        if PutResult.UNCLAIMED in results:
            self._losses.unclaimed()

    def _on_away(self, rows: Sequence[_Row], why: str) -> None:
        """Nobody waits for a store that is away. It is asked again."""
        self._watch.failed(why)
        self._extra = [row for row in rows if row.client is None] + self._extra
        self.shell.perform(self._outbox.everything())
        for row in rows:
            if row.client is not None and row.client in self._gateway.clients:
                self._dirty[row.client] = None
                self._go_on_unwritten(row.client)

    def _go_on_unwritten(self, client_id: ClientId) -> None:
        """Numbers are short, and can't be reserved. CBC may go on: if somebody takes the client
        over, a number that comes twice costs a packet. GCM may not: new keys are negotiated."""
        client = self._gateway.clients[client_id]
        for promise in self._outbox.promises(client_id):
            pair = client.ipsec_sas.get(promise.inbound_spi)
            if pair is None:
                continue
            if pair.suite.integrity is not None:
                self.shell.perform([promise])
                continue
            self._outbox.promise(client_id, promise, self._clock())
            if promise.inbound_spi in self._rekeying:
                continue
            self._rekeying.add(promise.inbound_spi)
            rekey = LifetimeReached(client_id, promise.inbound_spi)
            self.shell.run(partial(self._gateway.receive, rekey), client_id)

    # --- time

    def _arm(self) -> None:
        if self._timer is not None:
            return  # it never rings too late: what came since has longer to wait
        deadline = self._outbox.deadline
        if deadline is not None:
            wait = max(0.0, deadline - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        overdue = self._outbox.overdue(self._clock())
        self.late += len(overdue)
        self.shell.perform(overdue)
        self._arm()

    def is_behind(self, client: ClientId) -> bool:
        """Packets came in since the client was written down."""
        known = self._known.get(client)
        tops = known.tops if known is not None else None
        return tops is not None and tops != self._images.window_tops(client)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
