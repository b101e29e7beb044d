"""Who is in, who owns what, who may serve: membership as a machine, the same in every member.

The store is the arbiter: an epoch is what compare-and-set wrote there. Without it nobody comes or
goes, and whoever is with most members serves on (`proof.py`); who is with neither is fenced. A
silent member is deposed only when it has certainly stopped (`suspicion.py`, `timing.py`). Shards
that an epoch gives to another member are served there only when all members have said that they
live in that epoch: until then the one that had them may not have heard. So at no time do two
members serve one shard, wherever messages get lost and however long a process sleeps; what is left
to a store that forgets what it acknowledged is said in docs/decisions/0008.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from ferrule.cluster.effects import (
    AskBeat,
    AskChange,
    ClusterAnswer,
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
    Heartbeat,
    Identity,
    Member,
    MemberName,
    Record,
)
from ferrule.cluster.membership_states import Trigger
from ferrule.cluster.ownership import ShardMap
from ferrule.cluster.proof import Proof
from ferrule.cluster.suspicion import Suspicion
from ferrule.cluster.timing import Timing
from ferrule.core.deadlines import Deadline, Deadlines
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason
from ferrule.core.tables import Row, TransitionTable, Verdict

BEAT, LOOK, STALE, FENCE, RELEASE = "beat", "look", "stale", "fence", "release"
ASKS_KEPT: Final = 64
NOBODY: Final[frozenset[int]] = frozenset()
SERVING: Final = (Standing.ACTIVE, Standing.FROZEN)


class Membership:
    """One member's view. `now` must go on while process and machine sleep (CLOCK_BOOTTIME); timers
    may be late, and `expire` more often than needed is no harm. Read `serves_until` anew after
    each verb.

    `predecessor_gone`: it is certain that no former process of this name runs any more (a lock on
    a file that the pod's containers share says so); else its silence is waited for. `alone`:
    nobody else uses this store, so an empty one need not be looked at twice.
    """

    def __init__(
        self,
        name: MemberName,
        address: Address,
        entropy: Callable[[int], bytes],
        now: float,
        *,
        timing: Timing | None = None,
        predecessor_gone: bool = False,
        alone: bool = False,
    ) -> None:
        self.timing = timing if timing is not None else Timing()
        self.standing = Standing.JOINING
        self.epoch: Epoch | None = None  # the one that we live in
        self.coming: Epoch | None = None  # a newer one, while we let go of shards
        self.held: frozenset[int] = NOBODY
        self.awaited: frozenset[int] = NOBODY  # ours, once all live in our epoch
        self._address = address
        self._entropy = entropy
        self._predecessor_gone = predecessor_gone
        self._alone = alone
        self._draining = False
        self._now = now
        self._identity = Identity(name, self._draw())
        self._beat = 0
        self._asks: OrderedDict[int, tuple[int | None, EpochId | None]] = OrderedDict()
        self._last_ask = 0
        self._answered_ask = 0
        self._learned_ask = 0  # questions up to this one may be answered from before our epoch
        self._changing: tuple[int, float, tuple[Identity, ...]] | None = None
        self._lost_since: float | None = None
        self._leaving_until = 0.0
        self._records: dict[Identity, Record] = {}
        self._proof = Proof(self.timing.fence)
        self._suspicion = Suspicion(self.timing, now)
        self._deadlines = Deadlines()
        self._deadlines.set(BEAT, now)

    # --- what others look at ------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def deadline(self) -> Deadline | None:
        return self._deadlines.next

    @property
    def newest(self) -> Epoch | None:
        return self.coming if self.coming is not None else self.epoch

    @property
    def serves_until(self) -> float:
        """Whoever sends for a shard compares its clock with this first: a process that was stopped
        wakes up beyond it, before any of its timers has run."""
        if self.epoch is None or self.standing not in SERVING:
            return float("-inf")
        return max(self._proof.store_until(), self._proof.peers_until(self.epoch, self._identity))

    def serves(self, shard: int, now: float) -> bool:
        return shard in self.held and self._now <= now < self.serves_until

    # --- verbs --------------------------------------------------------------------------------

    def receive(self, heartbeat: Heartbeat, now: float) -> list[ClusterEffect]:
        """A heartbeat of another member, from the ring."""
        effects = self._enter(now)
        if self.epoch is not None and self.standing is not Standing.LEAVING:
            effects += self._on_heartbeat(heartbeat, now)
        return self._settle(effects, now)

    def answer(self, reply: ClusterAnswer, now: float) -> list[ClusterEffect]:
        """The store answered, or shards were released. Late and unknown answers do nothing."""
        effects = self._enter(now)
        match reply:
            case StoreView():
                effects += self._on_view(reply, now)
            case Released(epoch):
                if self.coming is not None and self.coming.id == epoch:
                    self.held &= self._owned(self.coming)
                    effects += self._adopt(now)
        return self._settle(effects, now)

    def expire(self, now: float) -> list[ClusterEffect]:
        """Run the timers that are due."""
        effects = self._enter(now)
        due = self._deadlines.pop_expired(now)
        if RELEASE in due and self.coming is not None:
            effects += self._adopt(now)
        if self.standing is not Standing.LEFT and (BEAT in due or LOOK in due):
            effects += self._beat_now(now)
        return self._settle(effects, now)

    def drain(self, now: float) -> list[ClusterEffect]:
        """Own nothing any more, as soon as the store can be told; go on relaying. If all the others
        are told so too, one goes on owning everything: whose turn comes last."""
        effects = self._enter(now)
        self._draining = True
        if self.standing is Standing.ACTIVE:
            effects += self._beat_now(now)
        return self._settle(effects, now)

    def close(self, reason: Reason, now: float) -> list[ClusterEffect]:
        """Serve nothing from now on, and tell the store. Over when the standing is LEFT."""
        effects = self._enter(now)
        effects += self._run(Trigger.CLOSE, None, now, why=reason.value)
        return self._settle(effects, now)

    # --- dispatch -----------------------------------------------------------------------------

    def _run(
        self, trigger: Trigger, view: StoreView | None, now: float, why: str = ""
    ) -> list[ClusterEffect]:
        cell = TABLE.lookup(self.standing, trigger)
        if isinstance(cell, Verdict):
            return []
        effects = cell.handler(self, view, now)
        if cell.next is not None:
            effects += self._stand(cell.next, why or trigger.value)
        return effects

    def _stand(self, standing: Standing, why: str) -> list[ClusterEffect]:
        if standing is self.standing:
            return []
        self.standing = standing
        return [StandingChanged(standing, why)]

    def _enter(self, now: float) -> list[ClusterEffect]:
        """Before anything else: did our clock jump, or were we stopped?"""
        if now < self._now:
            self._proof.forget()
            self._suspicion.distrust_times(now)
            self._deadlines.clear_all()
            self._deadlines.set(BEAT, now)
            if self.coming is not None:
                self._deadlines.set(RELEASE, now + self.timing.release)
            self._lost_since = None if self._lost_since is None else now
            self._leaving_until = min(self._leaving_until, now + self.timing.fence)
            self._changing = None
        elif now > self._now + 2 * self.timing.heartbeat:
            self._suspicion.distrust_times(now)
        self._now = now
        return self._judge(now)

    def _judge(self, now: float) -> list[ClusterEffect]:
        """What the time alone makes of our standing."""
        if self.standing is Standing.LEAVING and now >= self._leaving_until:
            return self._run(Trigger.PROOF_OVER, None, now)
        if self.epoch is None:
            return []
        peers_until = self._proof.peers_until(self.epoch, self._identity)
        if now < self._proof.store_at + self.timing.suspect:
            return self._run(Trigger.STORE_FRESH, None, now)
        effects = self._run(Trigger.STORE_SILENT, None, now)
        if now >= max(self._proof.store_until(), peers_until):
            return effects + self._run(Trigger.PROOF_OVER, None, now)
        return effects + self._run(Trigger.PROOF, None, now)

    def _settle(self, effects: list[ClusterEffect], now: float) -> list[ClusterEffect]:
        """After everything: the standing once more, and the timers."""
        effects += self._judge(now)
        effects += self._activate()
        silent = self._suspicion.newly_silent(now)
        if silent and self.standing in SERVING:
            effects += map(PeerSuspected, silent)
            self._deadlines.set(BEAT, now)  # so that the store knows at once
        timers = {LOOK: self._suspicion.next_look(now), STALE: None, FENCE: None}
        if self.standing is Standing.ACTIVE:
            timers[STALE] = self._proof.store_at + self.timing.suspect
        if self.standing in SERVING and self.serves_until != float("inf"):
            timers[FENCE] = self.serves_until
        if self.standing is Standing.LEAVING:
            timers[FENCE] = self._leaving_until
        if self.standing is Standing.LEFT:
            self._deadlines.clear_all()
            timers = {}
        for name, at in timers.items():
            if at is None:
                self._deadlines.clear(name)
            else:
                self._deadlines.set(name, max(at, now))
        return effects

    # --- the beat -----------------------------------------------------------------------------

    def _beat_now(self, now: float) -> list[ClusterEffect]:
        """One beat: the same number, at the same moment, to the ring and to the store."""
        self._beat += 1
        self._proof.sent(self._beat, now)
        self._deadlines.set(BEAT, now + self.timing.heartbeat)
        fresh = self.standing is Standing.ACTIVE
        denied = self._suspicion.publish() if fresh else self._suspicion.denied()
        lives_in = self.epoch.id if self.epoch is not None else None
        effects: list[ClusterEffect] = [
            AskBeat(
                self._ask(self._beat, lives_in),
                Record(self._identity, self._beat, self.epoch, denied),
            )
        ]
        if self.newest is None or self.standing is Standing.LEAVING:
            return effects
        heard = self._suspicion.acknowledgements() if self.standing in SERVING else {}
        heartbeat = Heartbeat(self._identity, self._beat, lives_in, self.newest, heard)
        effects += [SendHeartbeat(member, heartbeat) for member in self._others(self.newest)]
        return effects

    def _ask(self, beat: int | None, lives_in: EpochId | None) -> int:
        self._last_ask += 1
        self._asks[self._last_ask] = (beat, lives_in)
        if len(self._asks) > ASKS_KEPT:
            self._asks.popitem(last=False)
        return self._last_ask

    def _others(self, epoch: Epoch) -> list[Member]:
        return [member for member in epoch.members if member.identity != self._identity]

    def _on_heartbeat(self, heartbeat: Heartbeat, now: float) -> list[ClusterEffect]:
        effects: list[ClusterEffect] = []
        newest, known = heartbeat.newest, self.newest
        if newest is not None and known is not None and newest.id.number > known.id.number:
            if not newest.lists(self._identity):
                return self._run(Trigger.UNLISTED, None, now)
            effects += self._learn(newest, now)
        self._suspicion.heard(heartbeat.identity, heartbeat.beat, heartbeat.lives_in, now)
        epoch = self.epoch
        acknowledged = heartbeat.heard.get(self._identity)
        if (
            epoch is not None
            and acknowledged is not None
            and heartbeat.lives_in == epoch.id
            and epoch.lists(heartbeat.identity)
        ):
            self._proof.acknowledged(heartbeat.identity, acknowledged)
        return effects

    # --- what the store says ------------------------------------------------------------------

    def _on_view(self, view: StoreView, now: float) -> list[ClusterEffect]:
        asked = self._asks.pop(view.ask, None)
        if asked is None or view.ask < self._answered_ask:
            return []
        self._answered_ask = view.ask
        deposed: list[ClusterEffect] = []
        if self._changing is not None and self._changing[0] == view.ask:
            if view.changed:
                deposed = [PeerDeposed(who) for who in self._changing[2]]
            self._changing = None
        beat, lives_in = asked
        listed = view.epoch is not None and view.epoch.lists(self._identity)
        if listed and beat is not None and self.epoch is not None:
            self._proof.store_answered(beat, knows_our_epoch=lives_in == self.epoch.id)
        trigger = self._classify(view, listed)
        if trigger is None:
            return deposed
        if trigger not in (Trigger.EMPTY, Trigger.BEHIND):
            self._lost_since = None
        return deposed + self._run(trigger, view, now)

    def _classify(self, view: StoreView, listed: bool) -> Trigger | None:
        """None: the answer is older than what we know."""
        if view.epoch is None:
            return Trigger.EMPTY
        newest = self.newest
        if newest is not None and view.epoch.id != newest.id:
            if view.ask <= self._learned_ask and view.epoch.id.number <= newest.id.number:
                return None
            if view.epoch.id.number <= newest.id.number:
                return Trigger.BEHIND
        return Trigger.LISTED if listed else Trigger.UNLISTED

    def on_listed(self, view: StoreView | None, now: float) -> list[ClusterEffect]:
        if view is None or view.epoch is None:
            return []
        effects = self._learn(view.epoch, now)
        self._records = dict(view.records)
        self._suspicion.read(view.records, now)
        gone = self._suspicion.deposable(view.epoch, view.records, self._identity, now)
        members = [m for m in view.epoch.members if m.identity not in gone]
        own = self._self(members)
        wanted = [own if member.identity == self._identity else member for member in members]
        if tuple(wanted) != view.epoch.members:
            marks = {who: view.records[who].mark for who in gone}
            effects += self._change(view.epoch.id, wanted, marks, now)
        return effects

    def on_ask_to_join(self, view: StoreView | None, now: float) -> list[ClusterEffect]:
        """Not listed: ask to be, in the place of a former life that is certainly over."""
        if view is None or view.epoch is None:
            return []
        # Only to see its heart beat, if it still does.
        self._suspicion.follow(view.epoch, self._identity, now)
        self._suspicion.read(view.records, now)
        self._records = dict(view.records)
        marks = {}
        former = view.epoch.find(self._identity.name)
        if former is not None and not self._predecessor_gone:
            silent_since = self._suspicion.silent_since(former.identity)
            if now < silent_since + self.timing.depose:
                return []
            record = view.records.get(former.identity)
            marks = {former.identity: record.mark if record is not None else b""}
        others = [member for member in view.epoch.members if member.name != self._identity.name]
        return self._change(view.epoch.id, [*others, self._self(others)], marks, now)

    def on_found(self, view: StoreView | None, now: float) -> list[ClusterEffect]:
        """Empty: whoever lives in an epoch writes it there again. If nobody does, found."""
        since = self._lost_since if self._lost_since is not None else now
        self._lost_since = since
        if view is None or (not self._alone and now < since + self.timing.depose):
            return []
        return self._change(None, [self._self(())], {}, now)

    def on_refill(self, view: StoreView | None, now: float) -> list[ClusterEffect]:
        """The store forgot our epoch, or all of them: write it there again, with a new number."""
        newest = self.newest
        if view is None or newest is None or now >= self.serves_until:
            return []
        names = {member.name for member in newest.members}
        strangers = view.epoch.members if view.epoch is not None else ()
        members = [*newest.members, *(m for m in strangers if m.name not in names)]
        self._records |= {
            who: record for who, record in view.records.items() if who not in self._records
        }
        expected = view.epoch.id if view.epoch is not None else None
        return self._change(expected, members, {}, now)

    def on_lost(self, _view: StoreView | None, now: float) -> list[ClusterEffect]:
        """Fenced, and the store forgot us: somebody who serves will fill it, or nobody serves."""
        since = self._lost_since if self._lost_since is not None else now
        self._lost_since = since
        if now < since + self.timing.lost:
            return []
        return [*self.on_deposed(None, now), *self._stand(Standing.JOINING, "nobody is left")]

    def on_deposed(self, _view: StoreView | None, now: float) -> list[ClusterEffect]:
        """The others go on without us. We begin a new life."""
        effects: list[ClusterEffect] = [LoseShards(self.held)] if self.held else []
        self._predecessor_gone = False
        self._identity = Identity(self._identity.name, self._draw())
        self.epoch = self.coming = None
        self.held = self.awaited = NOBODY
        self._asks.clear()
        self._changing = None
        self._lost_since = None
        self._proof = Proof(self.timing.fence)
        self._suspicion = Suspicion(self.timing, now)
        self._deadlines.clear_all()
        self._deadlines.set(BEAT, now)
        return effects

    def on_close(self, _view: StoreView | None, now: float) -> list[ClusterEffect]:
        self.held = self.awaited = NOBODY
        self.coming = None
        self._deadlines.clear_all()
        self._leaving_until = now + self.timing.fence
        return self._beat_now(now)

    def on_leave(self, view: StoreView | None, now: float) -> list[ClusterEffect]:
        """Closed, and still listed."""
        if view is None or view.epoch is None:
            return []
        self._records = dict(view.records)
        return self._change(view.epoch.id, self._others(view.epoch), {}, now)

    def on_time(self, _view: StoreView | None, _now: float) -> list[ClusterEffect]:
        """Nothing but the standing changes."""
        return []

    # --- epochs -------------------------------------------------------------------------------

    def _change(
        self,
        expected: EpochId | None,
        members: Iterable[Member],
        marks: Mapping[Identity, bytes],
        now: float,
    ) -> list[ClusterEffect]:
        """Propose an epoch; one proposal at a time, until it is answered or too old."""
        if self._changing is not None and now < self._changing[1] + self.timing.suspect:
            return []
        numbers = [expected.number if expected is not None else 0]
        if self.newest is not None:
            numbers.append(self.newest.id.number)
        ordered = tuple(sorted(members, key=lambda member: member.name))
        epoch = Epoch(EpochId(max(numbers) + 1, self._draw()), ordered)
        unknown = self.epoch  # of whom we never read a record: he may live where we do
        records = {
            member.identity: self._records.get(member.identity)
            or Record(member.identity, 0, unknown if member.identity != self._identity else None)
            for member in ordered
        }
        ask = self._ask(None, None)
        self._changing = (ask, now, tuple(marks))
        return [AskChange(ask, expected, marks, epoch, records)]

    def _learn(self, epoch: Epoch, now: float) -> list[ClusterEffect]:
        """There is a newer epoch, and we are in it."""
        newest = self.newest
        if newest is not None and epoch.id.number <= newest.id.number:
            return []
        self.coming = epoch
        self._learned_ask = self._last_ask
        self._suspicion.follow(epoch, self._identity, now)
        lost = self.held - self._owned(epoch)
        if not lost or self.standing not in SERVING:
            return self._adopt(now)
        self._deadlines.set(RELEASE, now + self.timing.release)
        return [ReleaseShards(epoch.id, lost)]

    def _adopt(self, now: float) -> list[ClusterEffect]:
        """Live in the coming epoch, and say so. What was ours and still is stays in service."""
        assert self.coming is not None
        self.epoch, self.coming = self.coming, None
        self._deadlines.clear(RELEASE)
        owned = self._owned(self.epoch)
        effects: list[ClusterEffect] = [EpochChanged(self.epoch)]
        if lost := self.held - owned:
            effects.append(LoseShards(lost))
        self.held &= owned
        self.awaited = owned - self.held
        self._proof.epoch_changed()
        return effects + self._beat_now(now)

    def _activate(self) -> list[ClusterEffect]:
        epoch = self.epoch
        if epoch is None or self.coming is not None or not self.awaited:
            return []
        if self.standing is not Standing.ACTIVE or not self._suspicion.all_live_in(epoch.id):
            return []
        gained, self.awaited = self.awaited, NOBODY
        self.held |= gained
        return [ServeShards(epoch.id, gained)]

    def _owned(self, epoch: Epoch) -> frozenset[int]:
        return ShardMap.over(epoch.owners, epoch.id.number).shards_of(self._identity.name)

    def _self(self, members: Iterable[Member]) -> Member:
        """As we want to be listed among `members`. The last owner stays one: somebody must have
        the clients until they are told."""
        drains = {member.identity: member.draining for member in members}
        told = drains.pop(self._identity, False)
        return Member(
            self._identity, self._address, self._draining and (told or not all(drains.values()))
        )

    def _draw(self) -> int:
        return int.from_bytes(self._entropy(8), "big")


Handler: TypeAlias = Callable[[Membership, StoreView | None, float], list[ClusterEffect]]
_S, _T, _M = Standing, Trigger, Membership
_TIME: Final = (_T.STORE_FRESH, _T.STORE_SILENT, _T.PROOF, _T.PROOF_OVER)
TABLE: Final[TransitionTable[Standing, Trigger, Handler]] = TransitionTable(
    "membership",
    Standing,
    Trigger,
    (
        Row(_S.JOINING, _T.LISTED, _M.on_listed, _S.FENCED, "joining"),
        Row(_S.JOINING, _T.UNLISTED, _M.on_ask_to_join, None, "joining"),
        Row(_S.JOINING, _T.EMPTY, _M.on_found, None, "joining"),
        Row(_S.JOINING, _T.CLOSE, _M.on_time, _S.LEFT, "leaving"),
        Row(_S.ACTIVE, _T.LISTED, _M.on_listed, None, "epochs"),
        Row(_S.ACTIVE, _T.UNLISTED, _M.on_deposed, _S.JOINING, "deposed"),
        Row(_S.ACTIVE, _T.EMPTY, _M.on_refill, None, "store lost"),
        Row(_S.ACTIVE, _T.BEHIND, _M.on_refill, None, "store lost"),
        Row(_S.ACTIVE, _T.STORE_SILENT, _M.on_time, _S.FROZEN, "freeze"),
        Row(_S.ACTIVE, _T.PROOF_OVER, _M.on_time, _S.FENCED, "fence"),
        Row(_S.ACTIVE, _T.CLOSE, _M.on_close, _S.LEAVING, "leaving"),
        Row(_S.FROZEN, _T.LISTED, _M.on_listed, None, "epochs"),
        Row(_S.FROZEN, _T.UNLISTED, _M.on_deposed, _S.JOINING, "deposed"),
        Row(_S.FROZEN, _T.EMPTY, _M.on_refill, None, "store lost"),
        Row(_S.FROZEN, _T.BEHIND, _M.on_refill, None, "store lost"),
        Row(_S.FROZEN, _T.STORE_FRESH, _M.on_time, _S.ACTIVE, "freeze"),
        Row(_S.FROZEN, _T.PROOF_OVER, _M.on_time, _S.FENCED, "fence"),
        Row(_S.FROZEN, _T.CLOSE, _M.on_close, _S.LEAVING, "leaving"),
        Row(_S.FENCED, _T.LISTED, _M.on_listed, None, "fence"),
        Row(_S.FENCED, _T.UNLISTED, _M.on_deposed, _S.JOINING, "deposed"),
        Row(_S.FENCED, _T.EMPTY, _M.on_lost, None, "store lost"),
        Row(_S.FENCED, _T.BEHIND, _M.on_lost, None, "store lost"),
        Row(_S.FENCED, _T.STORE_FRESH, _M.on_time, _S.ACTIVE, "fence"),
        Row(_S.FENCED, _T.PROOF, _M.on_time, _S.FROZEN, "fence"),
        Row(_S.FENCED, _T.CLOSE, _M.on_close, _S.LEAVING, "leaving"),
        Row(_S.LEAVING, _T.LISTED, _M.on_leave, None, "leaving"),
        Row(_S.LEAVING, _T.UNLISTED, _M.on_time, _S.LEFT, "leaving"),
        Row(_S.LEAVING, _T.EMPTY, _M.on_time, _S.LEFT, "leaving"),
        Row(_S.LEAVING, _T.BEHIND, _M.on_time, _S.LEFT, "leaving"),
        Row(_S.LEAVING, _T.PROOF_OVER, _M.on_time, _S.LEFT, "leaving"),
    ),
    ignored={
        _S.JOINING: (_T.BEHIND, *_TIME),
        _S.ACTIVE: (_T.STORE_FRESH, _T.PROOF),
        _S.FROZEN: (_T.STORE_SILENT, _T.PROOF),
        _S.FENCED: (_T.STORE_SILENT, _T.PROOF_OVER),
        _S.LEAVING: (_T.STORE_FRESH, _T.STORE_SILENT, _T.PROOF, _T.CLOSE),
        _S.LEFT: tuple(Trigger),
    },
)
