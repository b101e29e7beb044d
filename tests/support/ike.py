"""Two IKE endpoints, a virtual clock and a wire that the test may cut, delay or twist."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ferrule.core.ids import Address, Cookie, Path, Spi
from ferrule.core.secret import Secret
from ferrule.ike.effects import IkeEffect, InstallIpsecSa, IsakmpSaUp, SendIke
from ferrule.ike.endpoint import IkeEndpoint
from ferrule.ike.header import HEADER_OCTETS, build_message, parse_header
from ferrule.ike.iana import ExchangeType, Flag
from ferrule.ike.isakmp_sa import IsakmpSa
from ferrule.ike.payloads import Notification, Payload, build_payloads, parse_payloads
from ferrule.ike.policy import IkePolicy
from ferrule.ike.protection import informational

SERVER = Address("198.51.100.1", 500)
CLIENT = Address("203.0.113.7", 500)
KEY = Secret(b"a pre-shared key")


def policy(**changes: object) -> IkePolicy:
    return IkePolicy(**{"keys": (KEY,), **changes})  # type: ignore[arg-type]


def endpoint(seed: int, rules: IkePolicy | None = None) -> IkeEndpoint:
    """An endpoint whose randomness is that of a seed."""
    source = random.Random(seed)
    return IkeEndpoint(
        rules or policy(),
        source.randbytes,
        lambda _: Cookie(source.randbytes(8)),
        lambda _: Spi(source.randrange(256, 1 << 32)),
    )


def mirrored(path: Path) -> Path:
    """The way as the other side sees it."""
    return Path(path.local, path.peer, path.natt)


@dataclass
class Side:
    """One endpoint with all that it said."""

    ike: IkeEndpoint
    effects: list[IkeEffect] = field(default_factory=list)

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def only(self, kind: type):  # type: ignore[no-untyped-def]
        found = self.of(kind)
        assert len(found) == 1, (kind.__name__, self.effects)
        return found[0]


class Link:
    """A client and a server. `filter` sees each datagram and returns those that arrive."""

    def __init__(
        self,
        client: IkePolicy | None = None,
        server: IkePolicy | None = None,
        seed: int = 1,
    ) -> None:
        self.client = Side(endpoint(2 * seed, client))
        self.server = Side(endpoint(2 * seed + 1, server))
        self.now = 1000.0
        self.log: list[tuple[str, Path, bytes]] = []  # sender, path as the receiver sees it
        self.filter: Callable[[str, Path, bytes], list[tuple[Path, bytes]]] = (
            lambda _, path, message: [(path, message)]
        )

    def path(self, *, natt: bool = False) -> Path:
        port = 4500 if natt else 500
        return Path(Address(SERVER.host, port), Address(CLIENT.host, port), natt)

    def run(self, side: Side, effects: list[IkeEffect]) -> None:
        """Take effects of one side and deliver until the wire is silent."""
        queue = [(side, effect) for effect in effects]
        side.effects += effects
        steps = 0
        while queue:
            steps += 1
            assert steps < 10_000, "the two never stop talking"
            sender, effect = queue.pop(0)
            if not isinstance(effect, SendIke):
                continue
            name = "client" if sender is self.client else "server"
            path = mirrored(effect.path)
            self.log.append((name, path, effect.message))
            receiver = self.server if sender is self.client else self.client
            for arriving, message in self.filter(name, path, effect.message):
                answer = receiver.ike.receive(arriving, message, self.now)
                receiver.effects += answer
                queue += [(receiver, item) for item in answer]

    def connect(self, *, natt: bool = False) -> None:
        self.run(self.client, self.client.ike.initiate(self.path(natt=natt), self.now))

    def quick(self, isakmp_sa: int | None = None) -> None:
        number = isakmp_sa if isakmp_sa is not None else self.client.of(IsakmpSaUp)[-1].isakmp_sa
        self.run(self.client, self.client.ike.establish_ipsec_sa(number, self.now))

    def advance(self, seconds: float) -> None:
        """Let time pass, deadline by deadline."""
        end = self.now + seconds
        while True:
            dues = [
                (side.ike.deadline.at, index, side)
                for index, side in enumerate((self.client, self.server))
                if side.ike.deadline is not None and side.ike.deadline.at <= end
            ]
            if not dues:
                break
            at, _, side = min(dues, key=lambda due: due[:2])
            self.now = max(self.now, at)
            self.run(side, side.ike.expire(self.now))
        self.now = end

    def clear(self) -> None:
        self.client.effects.clear()
        self.server.effects.clear()
        self.log.clear()


def clear_message(
    icookie: bytes,
    rcookie: bytes,
    payloads: list[Payload],
    *,
    exchange: int = 2,
    flags: int = 0,
    message_id: int = 0,
) -> bytes:
    """A message in the clear."""
    first, body = build_payloads(payloads)
    return build_message(Cookie(icookie), Cookie(rcookie), first, exchange, flags, message_id, body)


def stop_after(link: Link, count: int) -> list[tuple[str, Path, bytes]]:
    """From now on only `count` datagrams arrive; the others are collected in the returned list."""
    held: list[tuple[str, Path, bytes]] = []
    left = [count]

    def keep(name: str, path: Path, message: bytes) -> list[tuple[Path, bytes]]:
        if left[0] > 0:
            left[0] -= 1
            return [(path, message)]
        held.append((name, path, message))
        return []

    link.filter = keep
    return held


def open_wire(link: Link) -> None:
    link.filter = lambda _, path, message: [(path, message)]


def up(
    client: IkePolicy | None = None,
    server: IkePolicy | None = None,
    *,
    seed: int = 1,
    quick: bool = True,
) -> Link:
    """Two ends with an ISAKMP SA and, if `quick`, a pair of IPsec SAs."""
    link = Link(client, server, seed)
    link.connect()
    if quick:
        link.quick()
    return link


OTHER_KEY = Secret(b"not the same")

NO_DPD = {"dpd_seconds": 0}


def notify_kind(message: bytes) -> int:
    header = parse_header(message)
    assert header.exchange == ExchangeType.INFORMATIONAL
    assert not header.flags & Flag.ENCRYPTION
    return parse_payloads(header.next_payload, message[HEADER_OCTETS:]).first(Notification).kind


def first_message(link: Link) -> tuple[Path, bytes]:
    stop_after(link, 0)
    link.connect()
    _, path, message = link.log[0]
    return path, message


def half_open(messages: int) -> tuple[Link, Path, bytes, bytes]:
    link = Link()
    stop_after(link, messages)
    link.connect()
    header = parse_header(link.log[1][2])
    return link, link.log[0][1], header.icookie, header.rcookie


def sa_of(link: Link, *, server: bool = False) -> IsakmpSa:
    side = link.server if server else link.client
    return list(side.ike._table.isakmp.values())[-1]


def from_client(
    link: Link, *payloads: Payload, message_id: int = 77, path: Path | None = None
) -> list[IkeEffect]:
    """The server receives an authenticated message of the client."""
    message = informational(sa_of(link), message_id, payloads)
    way = path or mirrored(link.path(natt=True))
    return link.server.ike.receive(way, message, link.now)


def note(kind: int, data: bytes = b"", spi: bytes = b"", protocol: int = 1) -> Notification:
    return Notification(1, protocol, spi, kind, data)


def keys_agree(link: Link) -> None:
    client, server = link.client.of(InstallIpsecSa)[-1], link.server.of(InstallIpsecSa)[-1]
    assert client.inbound_spi == server.outbound_spi
    assert client.outbound_spi == server.inbound_spi
    assert client.inbound_key.reveal() == server.outbound_key.reveal()
    assert client.outbound_key.reveal() == server.inbound_key.reveal()
