"""Two ends in virtual time over a bad network: the real gateway and driver, and the real client.

`VirtualLoop` stands in for the event loop, `Network` for the Internet: it loses, doubles, delays
and so re-orders datagrams, and translates addresses. Behind the gateway lives a host that answers
every ping. By its seed a run is the same each time, but for the Diffie-Hellman keys.
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
from ferrule.client.effects import News
from ferrule.client.errands import Errand, Ping
from ferrule.client.host import Host
from ferrule.client.icmp import Echo, build_echo, parse_icmp
from ferrule.client.ipv4 import IpProtocol, Ipv4Packet, build_ipv4, parse_ipv4
from ferrule.client.probe import Probe
from ferrule.client.report import Trouble
from ferrule.client.settings import ClientSettings
from ferrule.cluster.shards import SHARDS, ShardNames
from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.dataplane.interface import SessionCounters
from ferrule.dataplane.python import PythonPlane
from ferrule.gateway import effects as g
from ferrule.gateway.gateway import Gateway
from ferrule.gateway.settings import GatewaySettings, Site
from ferrule.ike.policy import IkePolicy, Phase1Transform
from ferrule.l2tp.policy import L2tpPolicy
from ferrule.ppp.policy import Credentials, PppPolicy
from ferrule.runtime.driver import Driver
from support.accounts import pool

SERVER = "192.0.2.1"
INSIDE = IPv4Address("203.0.113.80")  # the host behind the gateway
KEY = Secret(b"a key of both sides")
USERNAME, PASSWORD = "alice", "correct horse"
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
        self._now = 1000.0
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


class GatewayEnd:
    """Gateway, driver and Python plane, as `runtime.server` joins them."""

    def __init__(
        self,
        loop: VirtualLoop,
        network: Network,
        entropy: Callable[[int], bytes],
        settings: GatewaySettings,
        users: Iterable[User],
    ) -> None:
        self.record = Record()
        self.pings = 0
        self.accounts = Accounts(
            AccountsSettings(users=tuple(users), pools=(pool("10.64.0.0/16"),))
        )
        site = Site(settings, self.accounts, entropy, wall_offset=WALL - loop.time())
        names = copy(_NAMES)
        names._entropy = entropy
        self.gateway = Gateway(site, names, entropy)
        self._loop = loop
        self._network = network
        self.driver = Driver(self.gateway, self.record, loop)  # type: ignore[arg-type]
        self.plane = PythonPlane(
            clock=loop.time,
            punt=self.driver.punt,
            transmit=lambda path, data: network.send(path.local, path.peer, data),
            deliver=self._deliver,
        )
        self.driver.attach(self.plane)
        for port in (500, 4500):
            network.attach(Address(SERVER, port), self._receiver(port))

    def _receiver(self, port: int) -> Callable[[Address, bytes], None]:
        local = Address(SERVER, port)

        def receive(source: Address, data: bytes) -> None:
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
    ) -> None:
        self.rng = random.Random(seed)
        self._ends_of: dict[int, ClientEnd] = {}
        self.loop = VirtualLoop()
        self.network = Network(self.loop, random.Random(seed + 1), weather or Weather())
        self.gateway = GatewayEnd(
            self.loop,
            self.network,
            random.Random(seed + 2).randbytes,
            settings or gateway_settings(),
            (user(),) if users is None else users,
        )

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
