"""Packets between members: what enters here for another's clients goes to it, its answers leave
here, and inner packets find the member that has the address.

Our own tables come first, always: the plane asks only for SPIs that it does not have, and a
message whose cookies the gateway knows stays. For all else the name in the packet says the shard,
and the shard its owner (`cluster.routes` for what has no such name). What is for a shard that we
are about to serve waits a moment.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, assert_never

from ferrule.cluster.addresses import AddressBook, build_addresses, parse_addresses
from ferrule.cluster.members import MemberName
from ferrule.cluster.messages import build_to_address, parse_to_address
from ferrule.cluster.relay import HOPS_MAX, Relayed, build_relayed, parse_relayed
from ferrule.cluster.ring import RingKind
from ferrule.cluster.routes import Forwards, RecentPeers, Waiting, rendezvous
from ferrule.cluster.shards import ShardNames
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Cookie, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.dataplane.interface import IkeDatagram
from ferrule.gateway.gateway import Gateway
from ferrule.runtime.cluster import Cluster
from ferrule.runtime.ring_port import RingPort

NO_COOKIE: Final = bytes(8)
NON_ESP_MARKER: Final = bytes(4)  # RFC 3948 2.2
QUICK_MODE: Final = 32  # RFC 2409 Appendix A
_EXCHANGE_AT: Final = 18  # RFC 2408 3.1

Datagram: TypeAlias = tuple[Path, bytes, int | None]  # with the hops that it has left


class Inside(Protocol):
    """The rest of this member, as the relay needs it."""

    def ready(self, shard: int) -> bool:
        """We serve the shard, and all its clients are here."""

    def receive(self, path: Path, datagram: bytes) -> None:
        """As if it came in on a socket of ours; done with when this returns."""

    def receive_ip(self, packet: bytes, *, from_client: bool) -> None: ...

    def send(self, path: Path, datagram: bytes) -> None:
        """Out of a socket of ours."""

    def bind_late(self, punt: IkeDatagram) -> bool:
        """A Quick Mode message of a client that we have. True: the client, and the message with
        it, went to another member."""

    def hand_over_again(self, message: bytes) -> bool:
        """True: with this message a client was handed over, and the hand-over was sent again."""

    def said(self, sender: MemberName, kind: RingKind, body: bytes) -> None:
        """What is not the relay's. Raises ProtocolError."""

    def dropped(self, reason: Reason, detail: str) -> None: ...


class Relay:
    """`dataplane.interface.Elsewhere`, and the ring's receiver. `counts` is of relayed datagrams,
    by direction and what they are."""

    def __init__(
        self,
        cluster: Cluster,
        names: ShardNames,
        gateway: Gateway,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.may_serve = cluster.may_serve
        self.addresses = AddressBook()
        self.forwards = Forwards()
        self.waiting: Waiting[Datagram] = Waiting()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.last_entered = clock()  # a packet that we relayed to its owner
        self._cluster = cluster
        self._names = names
        self._gateway = gateway
        self._clock = clock
        self.wall = wall
        self._recent = RecentPeers()
        # Of the datagram that is being received from a member:
        self._hops_left: int | None = None
        self._newer_epoch = False  # it was sent in one that we have yet to hear of
        self._inside: Inside | None = None
        self._ring: RingPort | None = None

    def attach(self, inside: Inside, ring: RingPort) -> None:
        self._inside, self._ring = inside, ring

    @property
    def inside(self) -> Inside:
        assert self._inside is not None, "attached before anything is received"
        return self._inside

    @property
    def ring(self) -> RingPort:
        assert self._ring is not None, "attached before anything is received"
        return self._ring

    # --- from the plane

    def take_esp(self, path: Path, spi: Spi, datagram: bytes) -> bool:
        shard = self._names.shard_of_spi(spi)
        return self._take(shard, path, datagram, "esp")

    def take_ip(self, packet: bytes, destination: bytes, *, from_client: bool) -> bool:
        member = self.addresses.find(destination)
        if member is None:
            return False
        self.counts["to_address", "ip"] += 1
        return self.ring.send(
            RingKind.TO_ADDRESS, build_to_address(packet, from_client=from_client), member
        )

    def to_client(self, path: Path, datagram: bytes) -> None:
        """An answer of ours, to leave through the socket that the question entered."""
        body = build_relayed(Relayed(0, self._epoch, path._replace(via=""), datagram))
        if self.ring.send(RingKind.TO_CLIENT, body, MemberName(path.via)):
            self.counts["to_client", _kind(path, datagram)] += 1
        else:
            self.inside.dropped(Reason.NOT_SERVING, f"{path.via} is gone")

    # --- IKE, before the gateway

    def take_ike(self, punt: IkeDatagram) -> bool:
        """True: it is not for our gateway, and on its way."""
        path, message = punt.path, punt.message
        cookies = message[:16]
        if cookies[8:] == NO_COOKIE:
            return self._take_first(path, message)
        if self._gateway.knows(cookies):
            if not self.may_serve():
                self.inside.dropped(Reason.FENCED, f"IKE of {path.peer}")
                return True
            quick_mode = message[_EXCHANGE_AT] == QUICK_MODE
            return quick_mode and self.inside.bind_late(punt)
        if self.inside.hand_over_again(message):
            return True
        cookie = Cookie(cookies[8:])
        shard = self._names.shard_of_cookie(cookie)
        ours = self._cluster.owner(shard) == self._cluster.name
        if not ours or self.inside.ready(shard):
            home = self.forwards.home(cookie, self.wall())
            shard = shard if home is None else home
        return self._take(shard, path, as_sent(path, message), "ike")

    def _take_first(self, path: Path, message: bytes) -> bool:
        """No shard is in it: whoever has a client at this address, else we, else anybody."""
        serving = self.may_serve()
        if serving and self._gateway.client_at(path.peer) is not None:
            return False
        cluster = self._cluster
        others = [member for member in cluster.owners if member != cluster.name]
        to = self._recent.find(path.peer, self._clock())
        if to not in others:
            if serving and self._names.shards:
                return False
            to = rendezvous(path.peer.host.encode(), others)
        if to is None or (self._hops_left is not None and to == path.via):
            self.inside.dropped(Reason.NOT_SERVING, f"a first message of {path.peer}")
        else:
            self._to_owner(to, path, as_sent(path, message), "ike")
        return True

    # --- to the owner

    def _take(self, shard: int, path: Path, datagram: bytes, kind: str) -> bool:
        """False: it would be ours, and there is no such client."""
        to = self._cluster.owner(shard)
        if to is None:
            self.inside.dropped(Reason.NOT_SERVING, f"{kind} of {path.peer}")
        elif to != self._cluster.name and not self._newer_epoch:
            self._to_owner(to, path, datagram, kind)
        elif self.inside.ready(shard):
            return False
        elif not self.waiting.keep(shard, (path, datagram, self._hops_left), self._clock()):
            self.inside.dropped(Reason.NOT_SERVING, f"{kind} of {path.peer}")
        return True

    def _to_owner(self, to: MemberName, path: Path, datagram: bytes, kind: str) -> None:
        hops_left = (HOPS_MAX if self._hops_left is None else self._hops_left) - 1
        if hops_left < 0:
            self.inside.dropped(Reason.RING_HOPS, f"from {path.peer}")
            return
        body = build_relayed(Relayed(hops_left, self._epoch, path, datagram))
        if self.ring.send(RingKind.TO_OWNER, body, to):
            self.counts["to_owner", kind] += 1
            self.last_entered = self._clock()
        else:
            self.inside.dropped(Reason.NOT_SERVING, f"{kind} for {to}")

    def go_on(self, shard: int) -> None:
        """The shard is ready: what waited for it is received now."""
        for path, datagram, hops_left in self.waiting.take(shard, self._clock()):
            self._receive(path, datagram, hops_left)

    # --- from the ring

    def said(self, sender: MemberName, kind: RingKind, body: bytes) -> None:
        try:
            self._dispatch(sender, kind, body)
        except ProtocolError as error:
            self.inside.dropped(error.reason, f"{sender}: {error.detail}")

    def _dispatch(self, sender: MemberName, kind: RingKind, body: bytes) -> None:
        match kind:
            case RingKind.TO_OWNER:
                self._on_to_owner(sender, parse_relayed(body))
            case RingKind.TO_CLIENT:
                self._on_to_client(sender, parse_relayed(body))
            case RingKind.TO_ADDRESS:
                from_client, packet = parse_to_address(body)
                self.counts["from_address", "ip"] += 1
                self.inside.receive_ip(packet, from_client=from_client)
            case RingKind.ADDRESSES:
                here, addresses = parse_addresses(body)
                self.addresses.hear(sender, here, addresses, self._clock())
            case RingKind.HEARTBEAT:
                self._cluster.hear(body)
            case RingKind.HAND_OVER | RingKind.END_SESSION | RingKind.SESSIONS_ENDED | RingKind.TRY:
                self.inside.said(sender, kind, body)
            case _:
                assert_never(kind)

    def _on_to_owner(self, sender: MemberName, relayed: Relayed) -> None:
        self.counts["from_ingress", _kind(relayed.path, relayed.datagram)] += 1
        self.receive(sender, relayed)

    def receive(self, sender: MemberName, relayed: Relayed) -> None:
        """A client's datagram that another member gave us, as if it had come in here."""
        path = relayed.path if relayed.path.via else relayed.path._replace(via=sender)
        if path.via == self._cluster.name:
            path = path._replace(via="")  # it has gone round
        self._newer_epoch = 0 < (relayed.epoch - self._epoch) % (1 << 32) < 1 << 31
        try:
            self._receive(path, relayed.datagram, relayed.hops_left)
        finally:
            self._newer_epoch = False

    def _receive(self, path: Path, datagram: bytes, hops_left: int | None) -> None:
        self._hops_left = hops_left
        try:
            self.inside.receive(path, datagram)
        finally:
            self._hops_left = None

    def _on_to_client(self, sender: MemberName, relayed: Relayed) -> None:
        path = relayed.path
        self._recent.note(path.peer, sender, self._clock())
        self.counts["from_owner", _kind(path, relayed.datagram)] += 1
        self.inside.send(path, relayed.datagram)

    # --- addresses

    def announce(self, addresses: list[bytes], *, here: bool = True) -> None:
        """Tell all others that these inner addresses are here, or gone."""
        for body in build_addresses(here, addresses):
            for member in self._cluster.peers:
                self.ring.send(RingKind.ADDRESSES, body, member)

    def sweep(self) -> None:
        """Forget what has not been said again."""
        self.addresses.expire(self._cluster.peers, self._clock())

    # ---

    @property
    def _epoch(self) -> int:
        newest = self._cluster.newest
        return newest.id.number if newest is not None else 0


def as_sent(path: Path, message: bytes) -> bytes:
    """An ISAKMP message as it came on the wire."""
    return NON_ESP_MARKER + message if path.natt else message


def _kind(path: Path, datagram: bytes) -> str:
    return "ike" if not path.natt or datagram[:4] == NON_ESP_MARKER else "esp"
