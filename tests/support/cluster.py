"""Members of a gateway in virtual time: clocks that differ, a ring that loses, a store that fails.

Everything that a member does goes through the octets that it would send. Each session sends
packets with sequence numbers under a reservation, and has an address by a lease, as the design
wants it; `World.check` holds what must never happen.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import combinations
from math import inf
from typing import assert_never

from ferrule.accounts.users import OnLimit
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
    Identity,
    MemberName,
    build_heartbeat,
    build_record,
    parse_heartbeat,
    parse_record,
)
from ferrule.cluster.membership import Membership
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason
from ferrule.store.interface import Claim, Granted, Lease, LeaseRequest, Members, Put, PutResult
from ferrule.store.leases import LeaseBook
from ferrule.store.memory import CheckpointBook, MemberBook

NAMES = tuple(MemberName(name) for name in ("a-0", "a-1", "a-2", "a-3", "a-4"))
TRACKED = range(0, 1024, 64)  # shards with a session
BLOCK = 40  # sequence numbers reserved at a time
SAMPLE_SECONDS = 0.25
POOL = ((IPv4Address("10.20.0.2"), IPv4Address("10.20.0.200")),)


class Violation(AssertionError):
    """Something that must never happen did."""


@dataclass(slots=True)
class Session:
    """As one member has it in memory. Numbers below `reserved` are ours to send."""

    name: str
    shard: int
    address: IPv4Address
    sequence: int
    reserved: int

    def blob(self) -> bytes:
        return f"{self.reserved} {self.address}".encode()

    @classmethod
    def of_blob(cls, name: str, shard: int, blob: bytes) -> Session:
        reserved, address = blob.decode().split()
        return cls(name, shard, IPv4Address(address), int(reserved), int(reserved))


@dataclass(slots=True)
class Node:
    """One process. `offset` and `rate` make its clock out of true time."""

    name: MemberName
    membership: Membership
    offset: float
    rate: float
    paused_until: float = 0.0
    timer: int = 0
    claims: dict[int, Claim] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    log: list[ClusterEffect] = field(default_factory=list)


Make = Callable[..., Membership]


class World:
    """True time is `now`. Nothing happens but in `run`."""

    def __init__(self, seed: int = 1, make: Make = Membership) -> None:
        self.random = random.Random(seed)
        self.make = make
        self.now = 0.0
        self.nodes: dict[MemberName, Node] = {}
        self.cut: set[frozenset[MemberName]] = set()  # pairs that do not hear each other
        self.store_cut: set[MemberName] = set()
        self.store_up = True
        self.store_delay = 0.0
        self.members = MemberBook()
        self.checkpoints = CheckpointBook()
        self.leases = LeaseBook()
        self.sent: dict[tuple[str, int], MemberName] = {}
        self.deposed_writes = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._session = 0

    # --- what a scenario does -----------------------------------------------------------------

    def start(self, name: MemberName, *, predecessor_gone: bool = False) -> Node:
        """A new process of this name; the old one, if any, is dead."""
        offset = self.random.uniform(0.0, 1e6)
        rate = 1.0 + self.random.uniform(-1e-4, 1e-4)
        membership = self.make(
            name,
            Address(f"{name}.ring", 4501),
            self.random.randbytes,
            offset + self.now * rate,
            predecessor_gone=predecessor_gone,
        )
        node = Node(name, membership, offset, rate)
        self.nodes[name] = node
        self._set_timer(node)
        return node

    def kill(self, name: MemberName) -> None:
        self.nodes.pop(name, None)

    def pause(self, name: MemberName, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later."""
        node = self.nodes[name]
        node.paused_until = max(node.paused_until, self.now + seconds)
        self._at(node.paused_until, self.check)  # what it would send before its timers run

    def jump(self, name: MemberName, seconds: float) -> None:
        """Its clock does; the timer that is set still fires after the time that it was set for."""
        self.nodes[name].offset += seconds

    def drain(self, name: MemberName) -> None:
        node = self.nodes[name]
        self._carry_out(node, node.membership.drain(self.clock(node)))

    def close(self, name: MemberName) -> None:
        node = self.nodes[name]
        node.sessions.clear()
        self._carry_out(node, node.membership.close(Reason.SERVER_SHUTDOWN, self.clock(node)))

    def empty_store(self) -> None:
        self.members, self.checkpoints = MemberBook(), CheckpointBook()
        self.leases = LeaseBook()

    def heal(self) -> None:
        self.cut.clear()
        self.store_cut.clear()
        self.store_up, self.store_delay = True, 0.0

    def run(self, seconds: float) -> None:
        end, sample = self.now + seconds, self.now
        while True:
            at = self._queue[0][0] if self._queue else inf
            if sample <= min(at, end):
                self.now = sample
                self.check()
                self.traffic()
                sample += SAMPLE_SECONDS
            elif at <= end:
                self.now, _, action = heapq.heappop(self._queue)
                action()
            else:
                break
        self.now = end

    # --- what must never happen ---------------------------------------------------------------

    def serving(self) -> list[tuple[Node, frozenset[int]]]:
        """Who would send now, and for which shards."""
        found = []
        for node in self.nodes.values():
            held, runs = node.membership.held, self.now >= node.paused_until
            if runs and held and node.membership.serves(min(held), self.clock(node)):
                found.append((node, held))
        return found

    def check(self) -> None:
        for (one, some), (other, others) in combinations(self.serving(), 2):
            if both := some & others:
                raise Violation(f"{one.name} and {other.name} serve {len(both)} shards at once")
        addresses: dict[IPv4Address, str] = {}
        for node, held in self.serving():
            for session in node.sessions.values():
                if session.shard in held:
                    former = addresses.setdefault(session.address, session.name)
                    if former != session.name:
                        raise Violation(f"{session.address} is {former}'s and {session.name}'s")

    def send(self, node: Node, session: Session) -> None:
        if session.sequence >= session.reserved:
            return
        key = (session.name, session.sequence)
        if key in self.sent:
            raise Violation(f"{key} was sent by {self.sent[key]}, and again by {node.name}")
        self.sent[key] = node.name
        session.sequence += 1

    def settled(self) -> bool:
        """Everybody is in, and each shard is served once."""
        owned = sum(len(held) for _, held in self.serving())
        standings = {node.membership.standing for node in self.nodes.values()}
        return standings <= {Standing.ACTIVE} and (owned == 1024 or not self.nodes)

    # --- a member's life ----------------------------------------------------------------------

    def clock(self, node: Node) -> float:
        return node.offset + self.now * node.rate

    def traffic(self) -> None:
        """Each session that is served sends a packet; each tracked shard has a session."""
        for node, held in self.serving():
            for session in node.sessions.values():
                if session.shard in held:
                    self.send(node, session)
            if self._reaches_store(node):
                self._keep_up(node, held)

    def _keep_up(self, node: Node, held: frozenset[int]) -> None:
        """What a member writes to the store: new reservations, leases, sessions."""
        mine = [s for s in node.sessions.values() if s.shard in held]
        for session in mine:
            if session.reserved - session.sequence < BLOCK // 2:
                raised = Session(
                    session.name, session.shard, session.address, 0, session.sequence + BLOCK
                )
                if self._put(node, raised):
                    session.reserved = raised.reserved
        self._renew(node, mine)
        served = {session.shard for session in mine}
        for shard in TRACKED:
            if shard in held and shard in node.claims and shard not in served:
                self._connect(node, shard)

    def _renew(self, node: Node, sessions: list[Session]) -> None:
        leases = [Lease(s.name, s.name, "", 0, node.name, s.address) for s in sessions]
        for name in self.leases.renew(leases, int(self.now * 1000)).lost:
            node.sessions.pop(name, None)
        self.members.restored(node.membership.identity)

    def _connect(self, node: Node, shard: int) -> None:
        if node.membership.standing is not Standing.ACTIVE or not self.members.ready:
            return
        self._session += 1
        name = f"s{self._session}"
        request = LeaseRequest(
            name, name, "", 0, node.name, 0, OnLimit.REJECT_NEW, 0, None, None, POOL
        )
        admission = self.leases.admit(request, int(self.now * 1000))
        if isinstance(admission, Granted):
            session = Session(name, shard, admission.address, 0, BLOCK)
            if self._put(node, session):
                node.sessions[name] = session

    def _put(self, node: Node, session: Session) -> bool:
        claim = node.claims.get(session.shard)
        if claim is None:
            return False
        put = Put(session.shard, claim, session.name, session.blob())
        result = self.checkpoints.put(put)
        if result is PutResult.UNCLAIMED:
            self.checkpoints.claim(session.shard, claim)
            result = self.checkpoints.put(put)
        self.deposed_writes += result is PutResult.DEPOSED
        return result is PutResult.DONE

    def _serve(self, node: Node, epoch: int, shards: frozenset[int]) -> None:
        """Claim, and load what the last owner wrote."""
        claim = Claim(node.membership.identity, epoch)
        for shard in TRACKED:
            if shard in shards and self.checkpoints.claim(shard, claim):
                node.claims[shard] = claim
                for name, found in self.checkpoints.shards.get(shard, {}).items():
                    node.sessions[name] = Session.of_blob(name, shard, found.blob)

    def _lose(self, node: Node, shards: frozenset[int]) -> None:
        node.claims = {s: claim for s, claim in node.claims.items() if s not in shards}
        node.sessions = {n: s for n, s in node.sessions.items() if s.shard not in shards}

    # --- effects ------------------------------------------------------------------------------

    def _carry_out(self, node: Node, effects: list[ClusterEffect]) -> None:
        node.log += effects
        for effect in effects:
            match effect:
                case SendHeartbeat(to, heartbeat):
                    octets = build_heartbeat(heartbeat)
                    self._later(self._delay(), lambda o=octets, t=to: self._heard(node, t.name, o))
                case AskBeat(ask, record):
                    octets = build_record(record)
                    self._ask(node, ask, lambda o=octets: self.members.beat(parse_record(o)))
                case AskChange(ask, expected, marks, epoch, records):
                    change = (expected, marks, epoch, records)
                    self._ask(node, ask, lambda c=change: self.members.change(*c))
                case ReleaseShards(epoch, shards):
                    self._later(0.05, lambda e=epoch, s=shards: self._release(node, e, s))
                case ServeShards(epoch, shards):
                    self._serve(node, epoch.number, shards)
                case LoseShards(shards):
                    self._lose(node, shards)
                case EpochChanged() | StandingChanged() | PeerSuspected() | PeerDeposed():
                    pass
                case _:
                    assert_never(effect)
        self._set_timer(node)

    def _release(self, node: Node, epoch: object, shards: frozenset[int]) -> None:
        coming = node.membership.coming
        if not self._runs(node) or coming is None or coming.id != epoch:
            return
        for session in node.sessions.values():
            if session.shard in shards and self._reaches_store(node):
                self._put(node, session)
        self._lose(node, shards)
        self._answer(node, Released(coming.id))

    def _answer(self, node: Node, reply: ClusterAnswer) -> None:
        if self.nodes.get(node.name) is not node:
            return
        if self.now < node.paused_until:
            self._at(node.paused_until, lambda: self._answer(node, reply))
            return
        self._carry_out(node, node.membership.answer(reply, self.clock(node)))

    def _heard(self, sender: Node, name: MemberName, octets: bytes) -> None:
        node = self.nodes.get(name)
        if node is None or frozenset((sender.name, name)) in self.cut:
            return
        if self.now < node.paused_until:
            self._at(node.paused_until, lambda: self._heard(sender, name, octets))
            return
        heartbeat = parse_heartbeat(octets)
        self._carry_out(node, node.membership.receive(heartbeat, self.clock(node)))

    def _ask(self, node: Node, ask: int, question: Callable[[], Members]) -> None:
        def arrive() -> None:
            if not self._reaches_store(node):
                return
            found = question()
            view = StoreView(ask, found.epoch, found.records, found.changed)
            self._later(self._delay() + self.store_delay, lambda: self._reply(node, view))

        self._later(self._delay() + self.store_delay, arrive)

    def _reply(self, node: Node, view: StoreView) -> None:
        if self._reaches_store(node):
            self._answer(node, view)

    def _reaches_store(self, node: Node) -> bool:
        return self.store_up and node.name not in self.store_cut

    def _runs(self, node: Node) -> bool:
        return self.nodes.get(node.name) is node and self.now >= node.paused_until

    # --- time ---------------------------------------------------------------------------------

    def _delay(self) -> float:
        return self.random.uniform(0.0002, 0.01)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._at(self.now + seconds, action)

    def _at(self, when: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (when, self._serial, action))

    def _set_timer(self, node: Node) -> None:
        node.timer += 1
        deadline = node.membership.deadline
        if deadline is None:
            return
        wait = max(0.0, (deadline.at - self.clock(node)) / node.rate) + 1e-6
        self._later(wait, lambda timer=node.timer: self._expire(node, timer))

    def _expire(self, node: Node, timer: int) -> None:
        if self.nodes.get(node.name) is not node or timer != node.timer:
            return
        if self.now < node.paused_until:
            self._at(node.paused_until + 1e-3, lambda: self._expire(node, timer))
            return
        self._carry_out(node, node.membership.expire(self.clock(node)))


def identity(name: str, incarnation: int = 1) -> Identity:
    return Identity(MemberName(name), incarnation)
