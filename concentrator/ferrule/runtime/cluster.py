"""One member of the cluster: drives `cluster.membership` with the machine's clock, the ring and the
store, and answers who owns what and whether we may serve.

Questions to the store are tasks; what does not come back in time is no answer, and membership
knows what to make of that. What happens to shards is the business of a `Keeper`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Protocol, assert_never

import structlog

from ferrule.cluster.effects import (
    AskBeat,
    AskChange,
    ClusterEffect,
    EpochChanged,
    LoseShards,
    PeerDeposed,
    PeerSuspected,
    Released,
    ReleaseShards,
    SendHeartbeat,
    ServeShards,
    Standing,
    StandingChanged,
    StoreView,
)
from ferrule.cluster.members import (
    Epoch,
    EpochId,
    Identity,
    MemberName,
    build_heartbeat,
    parse_heartbeat,
)
from ferrule.cluster.membership import SERVING, Membership
from ferrule.cluster.ownership import ShardMap
from ferrule.cluster.ring import RingKind
from ferrule.cluster.timing import Timing
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason
from ferrule.runtime.ring_port import RingPort
from ferrule.runtime.store_watch import StoreWatch
from ferrule.store.interface import Members, Store, StoreAway

EXPIRE_SECONDS: Final = 1.0  # a timer that is late is no harm, one that never comes is
ASK_SECONDS: Final = 3.0  # an answer later than that proves little
LEAVE_SECONDS: Final = 5.0


def boot_time() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Keeper(Protocol):
    """Who has the clients of our shards."""

    def serve(self, shards: frozenset[int], epoch: EpochId) -> None:
        """These are ours from now on: claim, load, go on with their clients."""

    def release(self, shards: frozenset[int], epoch: EpochId) -> None:
        """Stop serving these, write the last check-points, then tell `Cluster.released`."""

    def lose(self, shards: frozenset[int]) -> None:
        """Forget what belongs to these at once."""

    def epoch_changed(self, epoch: Epoch) -> None: ...


class Cluster:
    """`start` begins; `close` ends without a word to anybody, `leave` properly."""

    def __init__(
        self,
        name: MemberName,
        address: Address,
        store: Store,
        entropy: Callable[[int], bytes],
        *,
        watch: StoreWatch | None = None,
        clock: Callable[[], float] = boot_time,
        timing: Timing | None = None,
        alone: bool = False,
    ) -> None:
        """`alone`: nobody else uses the store, and no former process of ours any more."""
        self.name = name
        self.watch = watch if watch is not None else StoreWatch()
        self.takeovers = 0  # of shards that a member left behind without a word
        self._store = store
        self._clock = clock
        self._membership = Membership(
            name, address, entropy, clock(), timing=timing, alone=alone, predecessor_gone=alone
        )
        self._ring: RingPort | None = None
        self._keeper: Keeper | None = None
        self._log = structlog.get_logger("ferrule")
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._effects: deque[ClusterEffect] = deque()
        self._executing = False
        self._letting_go: frozenset[int] = frozenset()
        self._map = ShardMap(0, ())
        self._serves_until = float("-inf")
        self._left = asyncio.Event()
        self._why = ""
        self._stands_since = clock()
        self._has_served = False
        self._closed = False

    # --- life

    def start(self, ring: RingPort, keeper: Keeper) -> None:
        self._ring, self._keeper = ring, keeper
        self._expire()

    def close(self) -> None:
        self._closed = True
        self._serves_until = float("-inf")
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def drain(self) -> None:
        """Own nothing any more, as soon as the others can be told; go on relaying."""
        self._do(self._membership.drain(self._clock()))

    async def leave(self) -> None:
        """Serve nothing from now on, and tell the store; a few seconds at most."""
        self._do(self._membership.close(Reason.SERVER_SHUTDOWN, self._clock()))
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._left.wait()
        except TimeoutError:
            self._log.warning("left without telling the store", cause=self.watch.why)

    # --- what the others look at

    @property
    def identity(self) -> Identity:
        return self._membership.identity

    @property
    def standing(self) -> Standing:
        return self._membership.standing

    @property
    def why(self) -> str:
        """Why the standing is what it is."""
        return self._why

    @property
    def stands_for(self) -> float:
        """Seconds since the standing changed."""
        return self._clock() - self._stands_since

    @property
    def newest(self) -> Epoch | None:
        """The newest epoch that we know to be in."""
        return self._membership.newest

    @property
    def held(self) -> frozenset[int]:
        """The shards that we serve: while `may_serve`."""
        held = self._membership.held
        return held - self._letting_go if self._letting_go else held

    def may_serve(self) -> bool:
        """Compares the clock: a process that was stopped wakes up fenced."""
        return self._clock() < self._serves_until

    def owner(self, shard: int) -> MemberName | None:
        """Who serves it, or is about to; None: nobody."""
        if shard in self._membership.held and shard not in self._letting_go:
            return self.name
        return self._map.owner(shard)

    def shards_of(self, member: str) -> tuple[int, ...]:
        """What it owns in the newest epoch."""
        return tuple(sorted(self._map.shards_of(MemberName(member))))

    @property
    def owners(self) -> tuple[MemberName, ...]:
        """Members that may own shards, us included."""
        newest = self.newest
        return newest.owners if newest is not None else ()

    @property
    def peers(self) -> tuple[MemberName, ...]:
        newest = self.newest
        members = newest.members if newest is not None else ()
        return tuple(member.name for member in members if member.name != self.name)

    # --- in

    def hear(self, body: bytes) -> None:
        """A heartbeat's body. Raises ProtocolError."""
        heartbeat = parse_heartbeat(body)
        self._do(self._membership.receive(heartbeat, self._clock()))

    def released(self, epoch: EpochId) -> None:
        """What `Keeper.release` was asked for is done."""
        self._do(self._membership.answer(Released(epoch), self._clock()))

    def _expire(self) -> None:
        try:
            effects = self._membership.expire(self._clock())
        except Exception:
            self._arm()
            raise  # to the loop's handler, which logs it
        self._do(effects)

    def _do(self, effects: Iterable[ClusterEffect]) -> None:
        if self._closed:
            return
        self._effects.extend(effects)
        # Before anything is done: what follows may ask.
        self._serves_until = self._membership.serves_until
        if not self._executing:
            self._executing = True
            try:
                while self._effects:
                    self._execute(self._effects.popleft())
            finally:
                self._executing = False
                self._arm()

    def _arm(self) -> None:
        self._serves_until = self._membership.serves_until
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._membership.deadline
        wait = EXPIRE_SECONDS
        if deadline is not None:
            wait = min(wait, max(0.0, deadline.at - self._clock()))
        self._timer = asyncio.get_running_loop().call_later(wait, self._expire)

    # --- out

    def _execute(self, effect: ClusterEffect) -> None:
        assert self._ring is not None
        assert self._keeper is not None
        match effect:
            case SendHeartbeat():
                self._ring.send(
                    RingKind.HEARTBEAT, build_heartbeat(effect.heartbeat), effect.to.name
                )
            case AskBeat():
                self._ask(effect.ask, partial(self._store.beat, effect.record))
            case AskChange():
                change = effect.expected, effect.marks, effect.epoch, effect.records
                self._ask(effect.ask, partial(self._store.change, *change))
            case EpochChanged():
                self._on_epoch(effect.epoch)
            case ReleaseShards():
                self._on_release(effect)
            case ServeShards():
                self._log.info("shards taken over", shards=len(effect.shards))
                self._keeper.serve(effect.shards, effect.epoch)
            case LoseShards():
                self._letting_go -= effect.shards
                self._keeper.lose(effect.shards)
            case StandingChanged():
                self._on_standing(effect)
            case PeerSuspected():
                self._log.warning("a member is silent", member=effect.peer.name)
            case PeerDeposed():
                self._log.warning("a member is deposed", member=effect.peer.name)
            case _:
                assert_never(effect)

    def _on_epoch(self, epoch: Epoch) -> None:
        assert self._ring is not None
        assert self._keeper is not None
        self._letting_go = frozenset()
        self._follow(epoch)
        self._log.info(
            "epoch", number=epoch.id.number, members=[member.name for member in epoch.members]
        )
        self._keeper.epoch_changed(epoch)

    def _on_release(self, effect: ReleaseShards) -> None:
        assert self._keeper is not None
        coming = self._membership.newest
        if coming is not None:
            self._follow(coming)
        self._letting_go = effect.shards
        self._log.info("shards given away", shards=len(effect.shards))
        self._keeper.release(effect.shards, effect.epoch)

    def _follow(self, epoch: Epoch) -> None:
        assert self._ring is not None
        self._map = ShardMap.over(epoch.owners, epoch.id.number)
        others = [member for member in epoch.members if member.name != self.name]
        self._ring.follow(others, self.identity.incarnation)

    def _on_standing(self, change: StandingChanged) -> None:
        self._why = change.why
        self._stands_since = self._clock()
        standing = change.standing
        if standing is Standing.LEFT:
            self._left.set()
        if standing is Standing.JOINING and self._membership.epoch is None:
            self._map = ShardMap(0, ())
        worries = self._has_served and standing not in (*SERVING, Standing.LEFT)
        self._has_served |= standing in SERVING
        tell = self._log.warning if worries else self._log.info
        tell("standing", standing=standing.value, why=change.why)

    # --- the store

    def _ask(self, ask: int, question: Callable[[], Awaitable[Members]]) -> None:
        task = asyncio.ensure_future(self._answered(ask, question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, ask: int, question: Callable[[], Awaitable[Members]]) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                members = await question()
        except (StoreAway, TimeoutError) as error:
            self.watch.failed(str(error) or "no answer in time")
            return
        self.watch.answered()
        view = StoreView(ask, members.epoch, members.records, members.changed)
        self._do(self._membership.answer(view, self._clock()))
