"""Members of a gateway that share a store, in virtual time: real gateways, drivers and PPP.

What IKE and L2TP do before a call is left out, and so are check-points: a client that moves takes
its place along. The ring brings END_SESSION at once, or when a member is awake again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import selectors
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, cast

from ferrule.accounts.admission import Accounts
from ferrule.accounts.admission import Settings as AccountsSettings
from ferrule.accounts.sessions import Limits
from ferrule.accounts.users import User
from ferrule.cluster.members import Epoch, EpochId, Identity, Member, MemberName, Record
from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Address, ClientId, Path, SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.dataplane.interface import PppControl
from ferrule.gateway import effects as g
from ferrule.gateway.call import Call
from ferrule.gateway.client import Client, Origin
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey, Site
from ferrule.l2tp.effects import SessionUp
from ferrule.ppp import effects as p
from ferrule.ppp.link import PeerLink
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.driver import Driver
from ferrule.runtime.lease_names import session_name
from ferrule.runtime.leases import EVERYBODY, StoreLeases
from ferrule.store.interface import StoreAway
from ferrule.store.memory import MemoryStore
from support.accounts import pool, user
from support.pair import Record as Report
from support.pair import gateway_settings

WALL = 1_750_000_000.0
PASSWORD = "secret"
NAMES_KEY = Secret(bytes(range(32)))
_ALL = tuple(range(SHARDS))
_NAMES = ShardNames(Secret(bytes(32)), _ALL, bytes)


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting, time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits for ever"
            self.now += max(0.0, timeout)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


# --- the store as one member sees it


class ReachedStore:
    """`up`: it answers; `lost`: it does what it is asked, and the answer gets lost."""

    def __init__(self, store: MemoryStore, awake: asyncio.Event) -> None:
        self.store = store
        self.up = True
        self.lost = False
        self.delay = 0.0
        self.calls: list[str] = []
        self._awake = awake

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any) -> Any:
            await asyncio.sleep(self.delay)
            await self._awake.wait()
            if not self.up:
                raise StoreAway("cut off")
            self.calls.append(name)
            answer = await getattr(self.store, name)(*arguments)
            await asyncio.sleep(self.delay)
            await self._awake.wait()
            if self.lost:
                raise StoreAway("the answer got lost")
            return answer

        return ask


class _Plane:
    """Takes everything, and carries PPP to the peers."""

    def __init__(self, send_ppp: Callable[..., None]) -> None:
        self.send_ppp = send_ppp

    def session_counters(self, *key: int) -> None:
        del key

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


# --- who takes part


@dataclass
class Peer:
    """A client's end of a call. `address` is what IPCP gave it, while it is up."""

    username: str
    member: MemberNode
    key: SessionKey
    link: PeerLink
    number: int
    address: IPv4Address | None = None
    failure: Reason | None = None
    over: bool = False

    @property
    def up(self) -> bool:
        return self.address is not None and not self.over


class MemberNode:
    """One process. While it sleeps nothing of it happens."""

    def __init__(self, world: World, name: str, incarnation: int) -> None:
        loop = world.loop
        self.world = world
        self.identity = Identity(MemberName(name), incarnation)
        self.awake = asyncio.Event()
        self.awake.set()
        self.report = Report()
        self.accounts = Accounts(world.settings)
        site = Site(gateway_settings(), self.accounts, world.random.randbytes, WALL - loop.time())
        self.gateway = Gateway(site, _NAMES, world.random.randbytes)
        self.driver = Driver(self.gateway, cast(Any, self.report), loop)
        self.driver.attach(cast(Any, _Plane(self._send_ppp)))
        self.store = ReachedStore(world.store, self.awake)
        self.leases = StoreLeases(
            self.gateway,
            cast(Any, self.store),
            names_key=NAMES_KEY,
            identity=lambda: self.identity,
            command=self._command,
            end_elsewhere=self._end_elsewhere,
            report=self.report,
            loop=loop,
        )
        self.driver.leases = self.leases
        self.peers: dict[SessionKey, Peer] = {}
        self._waiting: deque[Callable[[], None]] = deque()
        self.task = loop.create_task(self.leases.run())

    @property
    def name(self) -> str:
        return self.identity.name

    def do(self, deed: Callable[[], None]) -> None:
        """Now, or once it is awake again, in order."""
        self._waiting.append(deed)
        while self.awake.is_set() and self._waiting:
            self._waiting.popleft()()

    def wake(self) -> None:
        self.awake.set()
        self.do(lambda: None)

    def stop(self) -> None:
        """As `kill -9` does."""
        self.task.cancel()
        for task in self.leases._tasks:
            task.cancel()
        self.driver.close()

    def _command(
        self,
        verb: Callable[[float], Iterable[g.GatewayEffect]],
        client: ClientId | None = None,
    ) -> None:
        self.do(lambda: self.driver.command(verb, client))

    def _end_elsewhere(self, owner: str, session: str, reason: Reason) -> None:
        self.world.end_session(self, owner, session, reason)

    # --- clients

    def new_client(self, host: str) -> Client:
        self.world.serial += 1
        path = Path(Address(host, 4500), Address("192.0.2.1", 4500), natt=True)
        origin = Origin(path, f"id of {host}", "", (), self.world.loop.time())
        return self.gateway._new_client(origin, self.world.serial % SHARDS)

    def call(self, client: Client, username: str, password: str = PASSWORD) -> Peer:
        """An L2TP session comes up, and PPP begins."""
        world = self.world
        world.serial += 1
        tunnel, session = TunnelId(world.serial), SessionId(1)
        key = SessionKey(client.id, tunnel, session)
        link = self._peer_link(username, password)
        peer = Peer(username, self, key, link, world.serial)
        self.peers[key] = peer
        world.peers.append(peer)
        up = SessionUp(tunnel, session, tunnel, session, sequencing=False, seconds=0.0)
        self.do(lambda: self.driver.command(lambda now: client._translate([up], now), client.id))
        self._heed(peer, link.start(world.loop.time()))
        return peer

    def dial_again(self, peer: Peer, password: str = PASSWORD) -> None:
        """The peer's PPP lost its memory and begins anew in the same call."""
        peer.link = self._peer_link(peer.username, password)
        self._heed(peer, peer.link.start(self.world.loop.time()))

    def _peer_link(self, username: str, password: str) -> PeerLink:
        credentials = Credentials(username, Secret(password.encode()))
        return PeerLink(PppPolicy(auth=("pap",)), credentials, self.world.random.randbytes)

    def _send_ppp(
        self, client: ClientId, tunnel: TunnelId, session: SessionId, frame: bytes
    ) -> None:
        peer = self.peers.get(SessionKey(client, tunnel, session))
        if peer is not None:
            self.world.loop.call_soon(self._to_peer, peer, frame)

    def _to_peer(self, peer: Peer, frame: bytes) -> None:
        self._heed(peer, peer.link.receive(frame, self.world.loop.time()))

    def _heed(self, peer: Peer, effects: list[p.PppEffect]) -> None:
        for effect in effects:
            match effect:
                case p.SendPpp():
                    self.world.loop.call_soon(self._to_member, peer.member, peer.key, effect.frame)
                case p.NetworkUp():
                    peer.address = effect.local
                case p.AuthenticationFailed():
                    peer.failure = effect.reason
                case p.LinkDown():
                    peer.over = True

    @staticmethod
    def _to_member(member: MemberNode, key: SessionKey, frame: bytes) -> None:
        def deed() -> None:
            member.driver.punt(PppControl(*key, frame))
            member.driver.drain()

        member.do(deed)

    def hang_up(self, peer: Peer) -> None:
        self._heed(peer, peer.link.close(Reason.PEER_CLOSED, self.world.loop.time()))
        peer.over = True

    # --- what is here

    def sessions(self) -> dict[str, tuple[SessionKey, Call]]:
        """Those that have a place, by their names in the store."""
        found = {}
        for client in self.gateway.clients.values():
            for (tunnel, session), call in client.calls.items():
                if call.place is not None:
                    name = session_name(client.uid, tunnel, session)
                    found[name] = (SessionKey(client.id, tunnel, session), call)
        return found


@dataclass
class Overlap:
    """Of two live sessions with one address."""

    users: tuple[str, str]
    since: float


class World:
    """Members, their store, and what must never happen."""

    def __init__(
        self,
        *users: User,
        cidr: str = "10.0.0.0/28",
        sessions_per_user: int = 2,
        sessions_max: int = 0,
        names: tuple[str, ...] = ("a-0", "a-1"),
        seed: int = 1,
    ) -> None:
        self.loop = JumpingLoop()
        self.bugs: list[BaseException] = []
        self.loop.set_exception_handler(self._on_bug)
        self.random = random.Random(seed)
        self.settings = AccountsSettings(
            users=users or (user("alice"), user("bob"), user("eve")),
            pools=(pool(cidr),),
            limits=Limits(sessions_per_user, sessions_max),
        )
        self.store = MemoryStore(clock=lambda: WALL - 1000.0 + self.loop.time())
        self.members: dict[str, MemberNode] = {}
        self.peers: list[Peer] = []
        self.serial = 0
        self.ring_up = True
        self._epochs = itertools.count(1)
        self._incarnations = itertools.count(1)
        self._overlaps: dict[tuple[str, str], Overlap] = {}
        self._above: dict[str, float] = {}
        self.longest_overlap = self.longest_above = self._looked = 0.0
        asyncio.set_event_loop(self.loop)
        self.start(*names)
        self.run(2.0)

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        self.bugs.append(context.get("exception") or RuntimeError(context["message"]))

    def close(self) -> None:
        for member in list(self.members.values()):
            member.stop()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        asyncio.set_event_loop(None)

    # --- members

    def start(self, *names: str) -> None:
        """New processes of these names, and an epoch with them."""
        for name in names:
            self.members[name] = MemberNode(self, name, next(self._incarnations))
        self.new_epoch()

    def kill(self, name: str) -> None:
        self.members.pop(name).stop()
        self.new_epoch()

    def new_epoch(self) -> None:
        """Everybody who is there lives in one with all the others."""
        identities = sorted(member.identity for member in self.members.values())
        listed = tuple(Member(who, Address(f"{who.name}.ring", 4501)) for who in identities)
        number = next(self._epochs)
        epoch = Epoch(EpochId(number, number), listed)
        book = self.store.members
        current = book.epoch.id if book.epoch is not None else None
        book.change(current, {}, epoch, {who: Record(who, 1, epoch) for who in identities})
        for member in self.members.values():
            member.do(member.leases.renew_soon)

    def empty_store(self) -> None:
        """It was restarted and knows nothing; whoever serves fills it again."""
        fresh = MemoryStore(clock=self.store._clock)
        self.store.members, self.store.leases = fresh.members, fresh.leases
        self.new_epoch()

    def end_session(self, sender: MemberNode, owner: str, session: str, reason: Reason) -> None:
        """What the ring does."""
        if self.ring_up:
            for member in list(self.members.values()):
                if member is not sender and owner in (EVERYBODY, member.name):
                    member.do(lambda m=member: m.leases.end(session, reason))  # type: ignore[misc]

    def move(self, client: Client, source: MemberNode, target: MemberNode) -> Client:
        """A planned hand-over, call by call: IKE and L2TP are not there to be moved."""
        gateway = target.gateway
        calls = [(key, call.export(0, 0, 0)) for key, call in client.calls.items()]
        moved = Client(gateway._table.new_id(), gateway.site, client.origin, client.uid, 0)
        source.gateway.evict(client.id)
        gateway._table.add(moved)

        def adopt(now: float) -> list[g.GatewayEffect]:
            effects: list[g.GatewayEffect] = []
            for ids, image in calls:
                call = moved._add_call(
                    ids,
                    image.inner_mtu,
                    phase2_suite="",
                    client_name="",
                    started=now,
                    stages={},
                )
                peer = source.peers.pop(SessionKey(client.id, *ids))
                peer.member, peer.key = target, call.key
                target.peers[call.key] = peer
                effects += moved._after(call, call.restore(image, now), now)
            return effects

        def deed() -> None:
            target.driver.command(adopt, moved.id)
            target.leases.adopted(moved.id)

        target.do(deed)
        return moved

    # --- time

    def run(self, seconds: float, *, step: float = 0.25) -> None:
        """Let time pass, and look every now and then."""
        end = self.loop.time() + seconds
        while self.loop.time() < end:
            self.loop.run_until_complete(
                asyncio.sleep(min(step, max(0.0, end - self.loop.time()) + 1e-6))
            )
            self.look()

    def settle(self) -> None:
        self.run(1.0)

    # --- what must never happen

    def live(self) -> dict[str, tuple[MemberNode, Call]]:
        """Sessions that carry data. A member that sleeps carries none."""
        return {
            name: (member, call)
            for member in self.members.values()
            if member.awake.is_set()
            for name, (_, call) in member.sessions().items()
            if call.bound
        }

    def look(self) -> None:
        """Note how long two sessions have had one address, and a user too many sessions, while all
        members reach the store: who does not can't know better."""
        if self.bugs:
            raise self.bugs[0]
        now, live = self.loop.time(), self.live()
        if not all(m.store.up and m.store.delay < 1.0 for m in self.members.values()):
            passed = now - self._looked
            for overlap in self._overlaps.values():
                overlap.since += passed
            self._above = {name: since + passed for name, since in self._above.items()}
        self._looked = now
        overlaps: dict[tuple[str, str], Overlap] = {}
        for (one, (_, a)), (two, (_, b)) in itertools.combinations(sorted(live.items()), 2):
            assert a.place is not None
            assert b.place is not None
            if a.place.address == b.place.address:
                pair = (one, two)
                overlaps[pair] = self._overlaps.get(
                    pair, Overlap((a.place.username, b.place.username), now)
                )
        self._overlaps = overlaps
        counts: dict[str, int] = {}
        for _, call in live.values():
            assert call.place is not None
            counts[call.place.username] = counts.get(call.place.username, 0) + 1
        above = {name for name, count in counts.items() if 0 < self._limit(name) < count}
        self._above = {name: self._above.get(name, now) for name in above}
        self.longest_overlap = max(
            [self.longest_overlap, *(now - overlap.since for overlap in overlaps.values())]
        )
        self.longest_above = max(
            [self.longest_above, *(now - since for since in self._above.values())]
        )
        for overlap in overlaps.values():
            assert len(set(overlap.users)) == 1, f"two users have one address: {overlap}"
        for member in self.members.values():
            keys = {key for key, _ in member.sessions().values()}
            assert keys == set(member.accounts.sessions), "the accounts know other sessions"

    def _limit(self, username: str) -> int:
        member = next(iter(self.members.values()))
        terms = member.accounts.terms(username)
        return terms.limit if terms is not None else 0

    def leased(self) -> dict[str, IPv4Address]:
        """What the store holds."""
        return {name: lease.address for name, lease in self.store.leases.leases.items()}

    def held(self) -> dict[str, IPv4Address]:
        """What the members hold."""
        return {
            name: call.place.address
            for member in self.members.values()
            for name, (_, call) in member.sessions().items()
            if call.place is not None
        }
