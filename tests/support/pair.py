"""Two ends in virtual time over a bad network: the real gateway and driver, and the real client.

`VirtualLoop` stands in for the event loop, `Network` for the Internet: it loses, doubles, delays
and so re-orders datagrams, and translates addresses. Behind the gateway lives a host that answers
every ping. By its seed a run is the same each time, but for the Diffie-Hellman keys. `Pair.move`
puts another gateway in the place of the first, which goes on with its clients.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

from ferrule.accounts.admission import Accounts
from ferrule.accounts.admission import Settings as AccountsSettings
from ferrule.accounts.users import User
from ferrule.accounts.verifiers import Verifier
from ferrule.client import effects as c
from ferrule.client.call import CLIENT
from ferrule.client.effects import Connected, Ended, News
from ferrule.client.errands import Errand, Ping
from ferrule.client.host import Host
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, parse_ipv4
from ferrule.client.probe import Probe
from ferrule.client.report import Trouble
from ferrule.client.settings import ClientSettings
from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Address, Path, SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.dataplane.interface import LinkSpec, SessionCounters
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway import effects as g
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.image import build_image, parse_image
from ferrule.gateway.settings import GatewaySettings, Site
from ferrule.ike.policy import IkePolicy, Phase1Transform
from ferrule.l2tp import effects as l2
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp import effects as p
from ferrule.ppp.link import PeerLink
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.driver import Driver
from support.accounts import pool

SERVER = "192.0.2.1"
INSIDE = IPv4Address("203.0.113.80")  # the host behind the gateway
KEY = Secret(b"a key of both sides")
USERNAME, PASSWORD = "alice", "correct horse"
START = 1000.0  # of the loop's clock
WALL = 1_750_000_000.0  # Unix time at the start

FAST_PHASE1 = (
    Phase1Transform(Cipher.AES256_CBC, Hash.SHA2_256, Group.CURVE25519),
    Phase1Transform(Cipher.AES128_CBC, Hash.SHA1, Group.ECP256),
)
FAST_PHASE2 = (
    EspSuite(Cipher.AES256_CBC, Integrity.HMAC_SHA1_96),
    EspSuite(Cipher.AES128_GCM16, None),
)
# To draw the permutation of the shards takes as long as a whole set-up: once is enough.
_NAMES = ShardNames(Secret(bytes(32)), tuple(range(SHARDS)), bytes)


# --- time


class Handle:
    """What `call_at` returns, as asyncio.TimerHandle."""

    __slots__ = ("_at", "_call", "cancelled")

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self._at = at
        self._call = call
        self.cancelled = False

    def when(self) -> float:
        return self._at

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        self._call()


class _Done:
    """What `run_in_executor` returns, already resolved when the callback runs."""

    def __init__(self, loop: VirtualLoop, result: Any) -> None:
        self._loop = loop
        self._result = result

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._loop.call_at(self._loop.time() + 0.05, lambda: callback(self))

    def cancelled(self) -> bool:
        return False

    def result(self) -> Any:
        return self._result


class VirtualLoop:
    """As much of asyncio's loop as the driver uses; time passes only from event to event."""

    def __init__(self) -> None:
        self._now = START
        self._heap: list[tuple[float, int, Handle]] = []
        self._serial = itertools.count()
        self.events = 0

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[..., None], *args: Any) -> Handle:
        handle = Handle(when, lambda: callback(*args))
        heapq.heappush(self._heap, (when, next(self._serial), handle))
        return handle

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Handle:
        return self.call_at(self._now + delay, callback, *args)

    def run_in_executor(self, executor: Any, work: Callable[[], Any]) -> _Done:
        del executor
        return _Done(self, work())

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let `seconds` pass, or less once `until()`; returns whether it came true."""
        end = self._now + seconds
        while not until():
            while self._heap and self._heap[0][2].cancelled:
                heapq.heappop(self._heap)
            if not self._heap or self._heap[0][0] > end:
                self._now = end
                return until()
            at, _, handle = heapq.heappop(self._heap)
            self._now = max(self._now, at)
            self.events += 1
            handle.run()
        return True


# --- space


@dataclass(frozen=True)
class Weather:
    """Chances and seconds, of each datagram and each way."""

    loss: float = 0.0
    duplication: float = 0.0
    delay: tuple[float, float] = (0.005, 0.005)


class Network:
    """Carries datagrams between registered addresses, some of them behind NATs."""

    def __init__(self, loop: VirtualLoop, rng: random.Random, weather: Weather) -> None:
        self.weather = weather
        self.cut = False  # nothing at all comes through
        self.carried = 0
        self._loop = loop
        self._rng = rng
        self._ends: dict[Address, Callable[[Address, bytes], None]] = {}
        self._nats: dict[str, str] = {}  # private host -> public host
        self._bindings: dict[Address, Address] = {}  # private -> public
        self._reverse: dict[Address, Address] = {}
        self._next_port = 20_000

    def attach(self, address: Address, receive: Callable[[Address, bytes], None]) -> None:
        self._ends[address] = receive

    def put_behind_nat(self, host: str, public: str) -> None:
        self._nats[host] = public

    def rebind(self, host: str) -> None:
        """The NAT forgets: the next packet out of `host` gets new ports."""
        for private in [a for a in self._bindings if a.host == host]:
            del self._reverse[self._bindings.pop(private)]

    def send(self, source: Address, destination: Address, data: bytes) -> None:
        source = self._translated(source)
        if self.cut:
            return
        weather, rng = self.weather, self._rng
        for _ in range(2 if rng.random() < weather.duplication else 1):
            delay = rng.uniform(*weather.delay)
            if rng.random() >= weather.loss:
                self._loop.call_later(delay, self._arrive, source, destination, data)

    def _translated(self, source: Address) -> Address:
        public_host = self._nats.get(source.host)
        if public_host is None:
            return source
        public = self._bindings.get(source)
        if public is None:
            self._next_port += 1
            public = self._bindings[source] = Address(public_host, self._next_port)
            self._reverse[public] = source
        return public

    def _arrive(self, source: Address, destination: Address, data: bytes) -> None:
        end = self._ends.get(self._reverse.get(destination, destination))
        if end is not None:
            self.carried += 1
            end(source, data)


# --- the gateway's end


@dataclass
class Record:
    """The gateway's report: what it said happened. A bug ends the test."""

    ups: list[g.SessionFacts] = field(default_factory=list)
    ends: list[g.SessionEnded] = field(default_factory=list)
    failures: list[g.SetupFailed] = field(default_factory=list)
    tries: list[g.AuthTried] = field(default_factory=list)
    isakmp_ups: list[g.IsakmpSaUp] = field(default_factory=list)
    ipsec_ups: list[g.IpsecSaUp] = field(default_factory=list)
    drops: dict[Reason, int] = field(default_factory=dict)
    moves: int = 0

    def dropped(self, reason: Reason, detail: str) -> None:
        del detail
        self.drops[reason] = self.drops.get(reason, 0) + 1

    def stage_done(self, stage: str, seconds: float) -> None: ...

    def session_up(self, facts: g.SessionFacts) -> None:
        self.ups.append(facts)

    def session_ended(
        self, ended: g.SessionEnded, counters: SessionCounters | None, now: float
    ) -> None:
        del counters, now
        self.ends.append(ended)

    def setup_failed(self, failed: g.SetupFailed) -> None:
        self.failures.append(failed)

    def auth_tried(self, tried: g.AuthTried) -> None:
        self.tries.append(tried)

    def isakmp_sa_up(self, up: g.IsakmpSaUp) -> None:
        self.isakmp_ups.append(up)

    def ipsec_sa_up(self, up: g.IpsecSaUp) -> None:
        self.ipsec_ups.append(up)

    def sa_down(self, down: g.SaDown) -> None: ...

    def client_moved(self, moved: g.ClientMoved) -> None:
        del moved
        self.moves += 1

    def bug(self, where: str) -> None:
        raise


def user(username: str = USERNAME, password: str = PASSWORD, **fields: Any) -> User:
    fields.setdefault("verifier", Verifier.of_password(password))
    return User(username, **fields)


def gateway_settings(**ike: Any) -> GatewaySettings:
    """Of a gateway that takes everything that it can, with quick groups."""
    return GatewaySettings(
        ike=IkePolicy(keys=(KEY,), **ike),
        l2tp=L2tpPolicy(),
        ppp=PppPolicy(auth=("mschapv2", "chap", "pap")),
        outer_mtu=1500,
        mtu=1400,
        dns=(IPv4Address("203.0.113.53"),),
    )


class WritingDriver(Driver):
    """Writes down what changed, after each turn: a store that answers at once."""

    written: Callable[[], None] = staticmethod(lambda: None)

    def drain(self) -> None:
        super().drain()
        self.written()


class GatewayEnd:
    """Gateway, driver and Python plane, as `runtime.server` joins them. `images` is what another
    one could go on with at any time: octets by the clients' names."""

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        entropy: Callable[[int], bytes],
        settings: GatewaySettings,
        users: Iterable[User],
        *,
        clustered: bool = False,
        record: Record | None = None,
    ) -> None:
        self.record = record or Record()
        self.pings = 0
        self.images: dict[str, bytes] = {}
        self.alive = True
        self.sent: list[bytes] | None = None  # datagrams, for whoever wants to see them
        self.accounts = Accounts(
            AccountsSettings(users=tuple(users), pools=(pool("10.64.0.0/16"),))
        )
        site = Site(settings, self.accounts, entropy, wall_offset=WALL - START)
        names = copy(_NAMES)
        names._entropy = entropy
        self.gateway = Gateway(site, names, entropy, clustered=clustered)
        self._loop = loop
        self._network = network
        self.driver = WritingDriver(self.gateway, self.record, loop)  # type: ignore[arg-type]
        if clustered:
            self.driver.written = self._write
        self.plane = PythonPlane(
            clock=loop.time, punt=self.driver.punt, transmit=self._send, deliver=self._deliver
        )
        self.driver.attach(self.plane)
        for port in (500, 4500):
            network.attach(Address(SERVER, port), self._receiver(port))

    def _send(self, path: Path, data: bytes) -> None:
        if not self.alive:
            return
        if self.sent is not None:
            self.sent.append(data)
        self._network.send(path.local, path.peer, data)

    def image(self, client: Client, *, final: bool = False) -> bytes:
        state = self.plane.client_state(client.id)
        return build_image(self.gateway.export(client.id, state, self._loop.time(), final=final))

    def _write(self) -> None:
        clients = self.gateway.clients
        for client_id in self.gateway.dirty:
            self.images[clients[client_id].uid] = self.image(clients[client_id])
        self.gateway.dirty.clear()
        for uid in self.images.keys() - {client.uid for client in clients.values()}:
            del self.images[uid]

    def kill(self) -> dict[str, bytes]:
        """It stops; what was written last of its clients."""
        self.alive = False
        self.driver.close()
        return self.images

    def release(self) -> dict[str, bytes]:
        """It lets go of all its clients, in good order."""
        images = {}
        for client in list(self.gateway.clients.values()):
            images[client.uid] = self.image(client, final=True)
            self.driver.command(lambda _, one=client: self.gateway.evict(one.id))  # type: ignore[misc]
        assert self.rows == 0
        self.kill()
        return images

    def adopt(self, images: Iterable[bytes]) -> None:
        for octets in images:
            image = parse_image(octets)
            self.driver.command(lambda now, one=image: self.gateway.adopt(one, now))  # type: ignore[misc]

    def _receiver(self, port: int) -> Callable[[Address, bytes], None]:
        local = Address(SERVER, port)

        def receive(source: Address, data: bytes) -> None:
            if self.alive:
                self.plane.receive_datagram(Path(source, local, port == 4500), data)
                self.driver.drain()

        return receive

    def _deliver(self, data: bytes) -> None:
        """The host behind the gateway answers pings, a moment later."""
        packet = parse_ipv4(data)
        if packet.protocol != IpProtocol.ICMP:
            return
        echo = parse_icmp(packet.payload)
        if isinstance(echo, Echo) and not echo.reply:
            self.pings += 1
            reply = build_echo(Echo(True, echo.identifier, echo.sequence, echo.data))
            answer = build_ipv4(
                Ipv4Packet(packet.destination, packet.source, IpProtocol.ICMP, reply)
            )
            self._loop.call_later(0.001, self._transmit, answer)

    def _transmit(self, packet: bytes) -> None:
        self.plane.transmit_ip(packet)
        self.driver.drain()

    @property
    def rows(self) -> int:
        """How many things the gateway and its plane hold for clients."""
        plane = self.plane
        return (
            len(self.gateway.clients)
            + self.gateway.site.calls
            + sum(use.leased for use in self.accounts.pool_use())
            + len(plane._clients)
            + len(plane._sas)
            + len(plane._by_address)
        )


# --- the clients' end


def client_settings(
    *,
    key: Secret = KEY,
    username: str = USERNAME,
    password: str = PASSWORD,
    auth: tuple[str, ...] = ("mschapv2", "chap", "pap"),
    timeout: float = 60.0,
    **ike: Any,
) -> ClientSettings:
    ike.setdefault("offer_phase1", FAST_PHASE1)
    ike.setdefault("offer_phase2", FAST_PHASE2)
    ike.setdefault("allow_modp1024", True)
    ike.setdefault("allow_md5", True)
    return ClientSettings(
        ike=IkePolicy(keys=(key,), **ike),
        l2tp=L2tpPolicy(host_name="probe"),
        ppp=PppPolicy(auth=auth),
        credentials=Credentials(username, Secret(password.encode())),
        timeout=timeout,
    )


class ClientEnd:
    """A probe or a bare host with two ports of its own, driven by the virtual loop."""

    def __init__(self, loop: VirtualLoop, network: Network, host: str) -> None:
        self._loop = loop
        self._network = network
        self._timer: Handle | None = None
        self._paths = {
            natt: Path(Address(SERVER, server), Address(host, local), natt)
            for natt, server, local in ((False, 500, 40_500), (True, 4500, 44_500))
        }
        self.engine: Probe | Host | None = None
        for natt, path in self._paths.items():
            network.attach(path.local, self._receiver(natt))

    def adapt(self, settings: ClientSettings) -> ClientSettings:
        return replace(settings, ike=replace(settings.ike, natt_local_port=44_500))

    @property
    def path(self) -> Path:
        return self._paths[False]

    def transmit(self, path: Path, data: bytes) -> None:
        self._network.send(path.local, path.peer, data)

    def _receiver(self, natt: bool) -> Callable[[Address, bytes], None]:
        def receive(source: Address, data: bytes) -> None:
            path = self._paths[natt]
            if self.engine is not None and source == path.peer:
                self.engine.receive_datagram(path, data)
                self.rearm()

        return receive

    def rearm(self) -> None:
        assert self.engine is not None
        deadline = self.engine.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() == deadline.at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline.at, self._on_timer)

    def _on_timer(self) -> None:
        assert self.engine is not None
        self._timer = None
        self.engine.expire()
        self.rearm()


class Pair:
    """A gateway, a network, and as many clients as wanted."""

    def __init__(
        self,
        seed: int = 0,
        weather: Weather | None = None,
        settings: GatewaySettings | None = None,
        users: Iterable[User] | None = None,
        *,
        clustered: bool = False,
    ) -> None:
        self.rng = random.Random(seed)
        self._ends_of: dict[int, ClientEnd] = {}
        self.loop = VirtualLoop()
        self.network = Network(self.loop, random.Random(seed + 1), weather or Weather())
        self._clustered = clustered
        self._settings = settings or gateway_settings()
        self._users = (user(),) if users is None else tuple(users)
        self.gateway = self._new_gateway(random.Random(seed + 2).randbytes)

    def _new_gateway(
        self, entropy: Callable[[int], bytes], record: Record | None = None
    ) -> GatewayEnd:
        return GatewayEnd(
            self.loop,
            self.network,
            entropy,
            self._settings,
            self._users,
            clustered=self._clustered,
            record=record,
        )

    def move(self, *, killed: bool = False, images: dict[str, bytes] | None = None) -> GatewayEnd:
        """Another gateway goes on in the place of this one: after it was `killed`, with what it had
        written down last, or else with what it hands over. `images`: with these."""
        former = self.gateway
        handed = former.kill() if killed else former.release()
        self.gateway = self._new_gateway(random.Random(self.rng.random()).randbytes, former.record)
        self.gateway.pings = former.pings
        self.gateway.adopt((handed if images is None else images).values())
        return self.gateway

    def probe(
        self,
        settings: ClientSettings | None = None,
        *,
        host: str = "10.0.0.2",
        nat: str = "",
        errands: Iterable[Errand] | None = None,
    ) -> Probe:
        """Start a probe that pings the host inside and leaves."""
        end = self._end(host, nat)
        entropy = random.Random(self.rng.random()).randbytes
        if errands is None:
            errands = [Ping(INSIDE, entropy)]
        probe = Probe(
            end.adapt(settings or client_settings()),
            end.path,
            errands,
            entropy=entropy,
            clock=self.loop.time,
            transmit=end.transmit,
        )
        end.engine = probe
        self._ends_of[id(probe)] = end
        probe.start()
        end.rearm()
        return probe

    def host(
        self,
        settings: ClientSettings | None = None,
        *,
        host: str = "10.0.0.2",
        nat: str = "",
        deliver: Callable[[bytes], None] = lambda _: None,
        notify: Callable[[News], None] = lambda _: None,
    ) -> Host:
        """Start a client that stays."""
        end = self._end(host, nat)
        one = Host(
            end.adapt(settings or client_settings()),
            end.path,
            entropy=random.Random(self.rng.random()).randbytes,
            clock=self.loop.time,
            transmit=end.transmit,
            deliver=deliver,
            notify=notify,
        )
        end.engine = one
        self._ends_of[id(one)] = end
        one.start()
        end.rearm()
        return one

    def _end(self, host: str, nat: str) -> ClientEnd:
        if nat:
            self.network.put_behind_nat(host, nat)
        return ClientEnd(self.loop, self.network, host)

    def interrupt(self, probe: Probe) -> None:
        """As Ctrl-C does."""
        if not probe.done:
            probe.interrupt(Trouble(probe.step, Reason.ADMIN_KICK, "interrupted"))
        self._ends_of[id(probe)].rearm()

    def act(self, one: Host, deed: Callable[[Host], None]) -> None:
        """Do something to a host from outside, and move its timer."""
        deed(one)
        self._ends_of[id(one)].rearm()


class Seat:
    """A client that stays, with what it was told and what came through its tunnel."""

    def __init__(self, pair: Pair, host: str = "10.0.0.2", nat: str = "", **settings: Any) -> None:
        self.pair = pair
        self.news: list[News] = []
        self.packets: list[bytes] = []
        self.host: Host = pair.host(
            client_settings(**settings),
            host=host,
            nat=nat,
            deliver=self.packets.append,
            notify=self.news.append,
        )

    def connect(self, seconds: float = 20.0) -> Seat:
        assert self.pair.loop.run(seconds, lambda: self.connected is not None), self.news
        return self

    @property
    def connected(self) -> Connected | None:
        return next((n for n in self.news if isinstance(n, Connected)), None)

    @property
    def ended(self) -> Ended | None:
        return next((n for n in self.news if isinstance(n, Ended)), None)

    def ping(self, tries: int = 1) -> bool:
        """Pings to the host inside, until an answer comes; did it?"""
        assert self.connected is not None
        before = len(self.packets)
        for _ in range(tries):
            request = build_echo(Echo(False, 7, before, b"x" * 32))
            packet = Ipv4Packet(self.connected.network.address, INSIDE, IpProtocol.ICMP, request)
            self.pair.act(self.host, lambda host, one=packet: host.send_ip(build_ipv4(one)))  # type: ignore[misc]
            if self.pair.loop.run(2.0, lambda: len(self.packets) > before):
                return True
        return False


class SecondCall:
    """Another call of the same client, in the same tunnel: its own session, PPP link and address.

    A client of ours places one call only; this one borrows its tunnel and its plane."""

    def __init__(self, seat: Seat) -> None:
        self._pair, self._host = seat.pair, seat.host
        self._call = seat.host._initiator._call
        self._receive_first = self._call.receive_ppp
        self._on_l2tp_first = self._call._on_l2tp
        self._ids: tuple[TunnelId, SessionId] | None = None
        self._link: PeerLink | None = None
        self._timer: Handle | None = None
        self.address: IPv4Address | None = None
        self.ended = False
        self._call.receive_ppp = self._receive_ppp  # type: ignore[method-assign]
        self._call._on_l2tp = self._on_l2tp  # type: ignore[method-assign]
        assert self._call.ids is not None
        tunnel, now = self._call.ids[0], self._pair.loop.time()
        effects = self._on_l2tp(self._call._l2tp.open_session(tunnel, now), now)
        self._pair.act(self._host, lambda host: host._execute(effects))

    def _on_l2tp(self, effects: list[l2.L2tpEffect], now: float) -> list[c.ClientEffect]:
        out: list[c.ClientEffect] = []
        for effect in effects:
            match effect:
                case l2.SessionUp():
                    out += self._on_session_up(effect, now)
                case l2.SessionDown() if (effect.tunnel, effect.session) == self._ids:
                    self.ended = True
                case _:
                    out += self._on_l2tp_first([effect], now)
        return out

    def _on_session_up(self, up: l2.SessionUp, now: float) -> list[c.ClientEffect]:
        settings = self._call._settings
        self._ids = (up.tunnel, up.session)
        self._link = PeerLink(settings.ppp, settings.credentials, self._call._entropy)
        link = LinkSpec(CLIENT, *self._ids, up.peer_tunnel, up.peer_session, up.sequencing)
        return [c.AddLink(link), *self._on_ppp(self._link.start(now))]

    def _receive_ppp(
        self, tunnel: TunnelId, session: SessionId, frame: bytes, now: float
    ) -> list[c.ClientEffect]:
        if (tunnel, session) != self._ids or self._link is None:
            return self._receive_first(tunnel, session, frame, now)
        return self._on_ppp(self._link.receive(frame, now))

    def _on_ppp(self, effects: list[p.PppEffect]) -> list[c.ClientEffect]:
        assert self._ids is not None
        out: list[c.ClientEffect] = []
        for effect in effects:
            match effect:
                case p.SendPpp():
                    out.append(c.SendPpp(CLIENT, *self._ids, effect.frame))
                case p.NetworkUp():
                    self.address = effect.local
                case p.NetworkDown() | p.LinkDown():
                    self.address = None
        self._arm()
        return out

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._link.deadline if self._link is not None else None
        if deadline is not None:
            self._timer = self._pair.loop.call_at(deadline.at, self._on_timer)

    def _on_timer(self) -> None:
        assert self._link is not None
        effects = self._on_ppp(self._link.expire(self._pair.loop.time()))
        self._pair.act(self._host, lambda host: host._execute(effects))
