"""One of several replicas: joins membership, relay, check-points, take-over and leases with the
gateway, the plane and the driver of this process.

Made before the plane, which asks it for what is elsewhere; `start` opens the ring. Whatever the
configuration says of store and ring is read at the start only, but for the keys and the password.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

from ferrule.cluster.addresses import TELL_SECONDS
from ferrule.cluster.effects import Standing
from ferrule.cluster.members import MemberName
from ferrule.cluster.membership import SERVING
from ferrule.cluster.messages import Ending, EndSessions
from ferrule.cluster.ring import Ring, RingKind
from ferrule.cluster.sealing import Sealer, key_id
from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.cluster.timing import Timing
from ferrule.core.ids import ClientId, Path
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import IkeDatagram
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway import effects as g
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import SessionKey
from ferrule.runtime.checkpoints import Checkpoints
from ferrule.runtime.cluster import Cluster
from ferrule.runtime.config import Config
from ferrule.runtime.driver import Driver
from ferrule.runtime.endings import Endings
from ferrule.runtime.images import Images
from ferrule.runtime.late_binding import LateBinding
from ferrule.runtime.leases import StoreLeases
from ferrule.runtime.member_config import is_alone, keys_of, member_name, ring_address
from ferrule.runtime.member_view import MemberView
from ferrule.runtime.relay import Relay
from ferrule.runtime.report import TelemetryReport
from ferrule.runtime.ring_port import RingPort
from ferrule.runtime.sweep import sweep
from ferrule.runtime.takeover import TakeOver
from ferrule.runtime.tries import Tries
from ferrule.store.interface import Store
from ferrule.store.memory import MemoryStore
from ferrule.store.valkey import ValkeyStore
from ferrule.telemetry.cluster_metrics import ClusterMetrics

LINGER_SECONDS: Final = 8.0  # until a balancer has seen three times that we are not ready
QUIET_SECONDS: Final = 1.0  # without a packet for anybody, at the end of a drain
CUT_OFF_SECONDS: Final = 1.0  # until balancers are told
RELEASE_SECONDS: Final = 10.0  # for all our shards to be others'
_BATCH: Final = 128


class Member:
    """`relay` is what the plane asks; the rest is done by what `start` leaves in its `stack`."""

    def __init__(
        self,
        config: Config,
        store: Store,
        names: ShardNames,
        gateway: Gateway,
        driver: Driver,
        report: TelemetryReport,
        loop: asyncio.AbstractEventLoop,
        *,
        timing: Timing | None = None,
    ) -> None:
        """Raises OSError, with a message for a person, for an environment that says nothing."""
        spec = config.gateway.store
        keys = keys_of(spec)
        assert keys, "config_checks wants one"
        assert spec.names_key is not None
        self.name = member_name(config)
        self.address = ring_address(config)
        self.alone = is_alone(spec)
        self.store = store
        self.cluster = Cluster(
            self.name, self.address, store, os.urandom, timing=timing, alone=self.alone
        )
        self._gateway = gateway
        self._names = names
        self._driver = driver
        self._report = report
        self._loop = loop
        self._log = structlog.get_logger("ferrule")
        self._receive: Callable[[Path, bytes], None] | None = None
        self._send: Callable[[Path, bytes], None] | None = None
        self._plane: PythonPlane | None = None
        self._was_member = False
        self._drained = False
        self.view = MemberView(self, time.time)
        self.metrics = ClusterMetrics(report.metrics.registry, self.view.snapshot)
        self._ring = Ring(self.name, keys)
        self._sealer = sealer = Sealer(spec.gateway, keys, os.urandom)
        self._key_ids = [key_id(key) for key in keys]
        self.relay = Relay(self.cluster, names, gateway, clock=loop.time)
        self.images = Images(gateway, names, sealer, self.relay.forwards, clock=loop.time)
        self.checkpoints = Checkpoints(
            gateway,
            names,
            store,
            self.images,
            self.relay.forwards,
            watch=self.cluster.watch,
            clock=loop.time,
        )
        self.takeover = TakeOver(
            self.cluster,
            gateway,
            names,
            store,
            self.images,
            self.checkpoints,
            self.relay,
            clock=loop.time,
            observe=self._took_over,
        )
        self.late_binding = LateBinding(
            self.cluster,
            gateway,
            names,
            self.images,
            self.checkpoints,
            self.takeover,
            self.relay,
            clock=loop.time,
            entropy=os.urandom,
        )
        self.endings = Endings(self.cluster, self.relay, self._end_here)
        self.tries = Tries(self.cluster, self.relay, lambda: gateway.site.accounts, clock=loop.time)
        self.leases = StoreLeases(
            gateway,
            store,
            names_key=spec.names_key,
            identity=lambda: self.cluster.identity,
            command=driver.command,
            end_elsewhere=self.endings.tell,
            report=report,
            loop=loop,
            may_serve=self.cluster.may_serve,
        )

    # --- life

    async def start(
        self,
        stack: contextlib.AsyncExitStack,
        plane: PythonPlane,
        receive: Callable[[Path, bytes], None],
        send: Callable[[Path, bytes], None],
    ) -> None:
        """`receive` takes a datagram as if it came in here, `send` is for our own sockets. Raises
        OSError."""
        self._plane, self._receive, self._send = plane, receive, send
        self.view.attach(plane)
        ring = RingPort(self.address, self._ring, self.relay.said, self.dropped)
        stack.callback(ring.close)
        self.relay.attach(self, ring)
        self.images.attach(plane)
        self.checkpoints.attach(self._driver, self.takeover)
        self.takeover.attach(self._driver, self)
        self._driver.others = self
        self._driver.leases = self.leases
        self._loop.add_reader(ring.fileno(), self._read, ring)
        stack.callback(self._loop.remove_reader, ring.fileno())
        stack.push_async_callback(self.store.close)
        stack.push_async_callback(self.leases.close)
        for work in (
            self.checkpoints.run(),
            sweep(self._gateway, self._names, self.relay.forwards, self.checkpoints, self.images),
            self.leases.run(),
            self._announce(),
        ):
            stack.push_async_callback(_ended, asyncio.ensure_future(self._going_on(work)))
        stack.callback(self.checkpoints.close)
        stack.callback(self.takeover.close)
        stack.callback(self.cluster.close)
        self.cluster.start(ring, self.takeover)

    async def _going_on(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - it is told, and the rest goes on
            self._report.bug("member")

    def _read(self, ring: RingPort) -> None:
        ring.read(_BATCH)

    @property
    def missing(self) -> str:
        """What we wait for before we can be of use; "" for nothing. Not ready are who was never a
        member yet, who is cut off from all others, so that clients find one that can serve them,
        and who has handed everybody over; not who only misses the store."""
        cluster = self.cluster
        if self._drained:
            return "draining: other members have the clients"
        if cluster.standing in SERVING:
            self._was_member = True
        elif not self._was_member:
            return f"not among the members yet: {cluster.watch.why or 'waiting for the others'}"
        elif cluster.stands_for > CUT_OFF_SECONDS:
            return f"{cluster.standing.value}: {cluster.why}"
        return ""

    def reload(self, config: Config) -> None:
        """Other keys are used from now on, and what we have is sealed by them anew."""
        spec = config.gateway.store
        if isinstance(self.store, ValkeyStore) and spec.password is not None:
            self.store.use_password(spec.password)
        keys = keys_of(spec)
        named = [key_id(key) for key in keys]
        if not keys or named == self._key_ids:
            return
        self._sealer.replace(keys)
        self._ring.replace(keys)
        if isinstance(self.store, MemoryStore):
            self.store.use_keys(keys)
        self.checkpoints.mark_all()
        self._key_ids = named
        self._log.info("keys of the shared state replaced", accepted=len(keys))

    async def write_down(self) -> None:
        """All clients as they are now, for our next life. What can't be written is lost with us."""
        self.checkpoints.mark_all()
        await self.checkpoints.rest(RELEASE_SECONDS)
        if self.checkpoints.busy:
            self._log.warning("not everybody could be written down")

    async def drain(self, seconds: float) -> bool:
        """Hand everything over, then relay until nobody sends here any more. False: there is
        nobody to take it. Where all leave at once that is one of us, with everybody's clients."""
        if self.cluster.standing not in (Standing.ACTIVE, Standing.FROZEN):
            return False
        others = [name for name in self.cluster.owners if name != self.name]
        began = self._loop.time()
        if others:
            self._log.info("draining", members=others)
        self.cluster.drain()
        while self.cluster.held or self._gateway.clients:
            if self._has_everything:
                return False
            if self._loop.time() > began + min(seconds, RELEASE_SECONDS):
                self._log.warning("not everybody could be handed over")
                return False
            await asyncio.sleep(0.02)
        handed_over = self._loop.time()
        self._drained = True  # flows that stand are only sent elsewhere once we are not ready
        while self._loop.time() < began + seconds:
            quiet_since = max(handed_over + LINGER_SECONDS, self.relay.last_entered)
            if not self.cluster.owners or self._loop.time() > quiet_since + QUIET_SECONDS:
                break
            await asyncio.sleep(0.1)
        self._log.info(
            "drained",
            seconds=round(handed_over - began, 3),
            relayed_for=round(self._loop.time() - handed_over, 1),
        )
        return True

    @property
    def _has_everything(self) -> bool:
        """We own all shards, and all of their clients are here."""
        all_ours = self.cluster.owners == (self.name,) and len(self.cluster.held) == SHARDS
        return all_ours and not self.takeover.coming

    # --- the driver's `Others`

    def may_serve(self) -> bool:
        return self.cluster.may_serve()

    def take_ike(self, punt: IkeDatagram) -> bool:
        return self.relay.take_ike(punt)

    def commit(self, effects: list[g.GatewayEffect], now: float) -> list[g.GatewayEffect]:
        for effect in effects:
            match effect:
                case g.BindSession():
                    self.relay.announce([effect.session.address])
                case g.AuthTried():
                    self.tries.tell(effect)
                case _:
                    pass
        return self.checkpoints.commit(effects, now)

    # --- the relay's `Inside`

    def ready(self, shard: int) -> bool:
        return self.takeover.ready(shard)

    def receive(self, path: Path, datagram: bytes) -> None:
        assert self._receive is not None
        self._receive(path, datagram)

    def receive_ip(self, packet: bytes, *, from_client: bool) -> None:
        assert self._plane is not None
        self._plane.receive_relayed_ip(packet, from_client=from_client)
        if self._driver.pending:
            self._driver.drain()

    def send(self, path: Path, datagram: bytes) -> None:
        assert self._send is not None
        self._send(path, datagram)

    def bind_late(self, punt: IkeDatagram) -> bool:
        return self.late_binding.bind(punt)

    def hand_over_again(self, message: bytes) -> bool:
        return self.late_binding.again(message)

    def said(self, sender: MemberName, kind: RingKind, body: bytes) -> None:
        match kind:
            case RingKind.HAND_OVER:
                refused = self.late_binding.receive(sender, body)
                if refused is not None:
                    self.dropped(refused, f"a client from {sender}")
            case RingKind.END_SESSION:
                self.endings.on_end_sessions(sender, body)
            case RingKind.SESSIONS_ENDED:
                self.endings.on_sessions_ended(sender, body)
            case RingKind.TRY:
                self.tries.hear(body)
            case _:
                raise ValueError(f"{kind} is the relay's")

    def dropped(self, reason: Reason, detail: str) -> None:
        self._report.dropped(reason, detail)

    # --- the take-over's `Sessions`

    def adopted(self, client: ClientId) -> None:
        self.leases.adopted(client)

    async def say_leases(self, seconds: float) -> None:
        await self.leases.say(seconds)

    def shards_changed(self) -> None:
        self.late_binding.epoch_changed()
        self.leases.renew_soon()
        if self.may_serve():
            self.relay.announce(self._addresses())

    def _took_over(self, seconds: float, shards: int, clients: int) -> None:
        self.view.took_over(seconds, shards, clients)
        self.metrics.took_over(seconds)

    # --- sessions

    def sessions_by_member(self) -> dict[str, int]:
        """Sessions with an address, as far as the others have said."""
        return {**self.relay.addresses.counts(), self.name: len(self._addresses())}

    def _addresses(self) -> list[bytes]:
        return [
            call.facts.address.packed
            for call in self._gateway.sessions()
            if call.facts.address is not None
        ]

    async def _announce(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            if self.may_serve():
                self.relay.announce(self._addresses())
            self.relay.sweep()
            self.view.sample()

    def _end_here(self, wish: EndSessions) -> int:
        if wish.what is Ending.SESSION:
            return int(self.leases.end(wish.name, wish.reason))
        keys = [
            call.key
            for call in self._gateway.sessions()
            if wish.what is Ending.EVERYBODY or call.facts.username == wish.name
        ]
        for key in keys:
            self._end(key, wish.reason)
        return len(keys)

    def _end(self, key: SessionKey, reason: Reason) -> None:
        self._driver.command(lambda now: self._gateway.close_session(key, reason, now), key.client)


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
