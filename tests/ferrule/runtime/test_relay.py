"""Where a packet goes: our own tables, the owner of its shard, a forward, whoever had the peer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ferrule.cluster.members import MemberName
from ferrule.cluster.messages import build_to_address
from ferrule.cluster.relay import Relayed, build_relayed, parse_relayed
from ferrule.cluster.ring import RingKind
from ferrule.cluster.routes import Forward
from ferrule.cluster.shards import ShardNames
from ferrule.core.ids import Address, Cookie, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.dataplane.interface import IkeDatagram
from ferrule.runtime.relay import NON_ESP_MARKER, QUICK_MODE, Relay

US, ADA, BOB = MemberName("us"), MemberName("ada"), MemberName("bob")
NAMES = ShardNames(Secret(bytes(32)), (1,), lambda octets: bytes(octets))
PEER = Address("198.51.100.7", 4500)
PATH = Path(PEER, Address("192.0.2.1", 4500), True)
ICOOKIE = b"initiato"
MAIN_MODE = 2


@dataclass
class Epoch:
    number: int = 5

    @property
    def id(self) -> Epoch:
        return self


@dataclass
class Cluster:
    """Shard 1 is ours, 2 is Ada's, 3 is Bob's, 4 nobody's."""

    name: MemberName = US
    serving: bool = True
    newest: Epoch = field(default_factory=Epoch)
    owned: dict[int, MemberName] = field(default_factory=lambda: {1: US, 2: ADA, 3: BOB})
    heard: list[bytes] = field(default_factory=list)

    def may_serve(self) -> bool:
        return self.serving

    def owner(self, shard: int) -> MemberName | None:
        return self.owned.get(shard)

    @property
    def owners(self) -> tuple[MemberName, ...]:
        return tuple(sorted(set(self.owned.values())))

    @property
    def peers(self) -> tuple[MemberName, ...]:
        return (ADA, BOB)

    def hear(self, body: bytes) -> None:
        self.heard.append(body)


@dataclass
class Gateway:
    known: set[bytes] = field(default_factory=set)
    peers: set[Address] = field(default_factory=set)

    def knows(self, cookies: bytes) -> bool:
        return cookies in self.known

    def client_at(self, peer: Address) -> object | None:
        return peer if peer in self.peers else None


class Rig:
    """The relay of one member, and what it does."""

    def __init__(self) -> None:
        self.now = 100.0
        self.cluster, self.gateway = Cluster(), Gateway()
        self.sent: list[tuple[RingKind, MemberName, bytes]] = []
        self.there = {ADA, BOB}
        self.unready: set[int] = set()
        self.received: list[tuple[Path, bytes]] = []
        self.packets: list[tuple[bytes, bool]] = []
        self.out: list[tuple[Path, bytes]] = []
        self.bound: list[IkeDatagram] = []
        self.binds = self.again = False
        self.words: list[tuple[MemberName, RingKind]] = []
        self.drops: list[Reason] = []
        self.relay = Relay(
            self.cluster, NAMES, self.gateway, clock=lambda: self.now, wall=lambda: self.now
        )  # type: ignore[arg-type]
        self.relay.attach(self, self)  # type: ignore[arg-type]

    # as RingPort and Inside

    def ready(self, shard: int) -> bool:
        return self.cluster.owner(shard) == US and shard not in self.unready

    def receive(self, path: Path, datagram: bytes) -> None:
        self.received.append((path, datagram))
        if datagram[:4] == NON_ESP_MARKER:
            self.relay.take_ike(IkeDatagram(path, datagram[4:]))
        else:
            spi = Spi(int.from_bytes(datagram[:4], "big"))
            self.relay.take_esp(path, spi, datagram)

    def receive_ip(self, packet: bytes, *, from_client: bool) -> None:
        self.packets.append((packet, from_client))

    def send(self, *arguments: Any) -> bool:
        if len(arguments) == 2:  # out of a socket of ours
            self.out.append(arguments)
            return True
        kind, body, to = arguments
        self.sent.append((kind, to, body))
        return to in self.there

    def bind_late(self, punt: IkeDatagram) -> bool:
        self.bound.append(punt)
        return self.binds

    def hand_over_again(self, message: bytes) -> bool:
        return self.again

    def said(self, sender: MemberName, kind: RingKind, body: bytes) -> None:
        self.words.append((sender, kind))

    def dropped(self, reason: Reason, detail: str) -> None:
        self.drops.append(reason)

    # what a test looks at

    def relayed(self) -> list[tuple[str, MemberName, int]]:
        """Kind, to whom, hops left."""
        return [(kind.name, to, parse_relayed(body).hops_left) for kind, to, body in self.sent]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def esp(shard: int) -> tuple[Spi, bytes]:
    spi = NAMES.spi(shard, ())
    return spi, spi.to_bytes(4, "big") + b"sequence and more"


def ike(shard: int | None, exchange: int = MAIN_MODE, path: Path = PATH) -> IkeDatagram:
    """A message under a cookie of that shard; None: a first one."""
    cookie = bytes(8) if shard is None else NAMES.cookie(shard)
    return IkeDatagram(path, ICOOKIE + cookie + bytes(2) + bytes((exchange,)) + bytes(9))


def to_owner(datagram: bytes, hops: int = 1, epoch: int = 5, path: Path = PATH) -> bytes:
    return build_relayed(Relayed(hops, epoch, path, datagram))


# --- ESP


def test_esp_goes_to_the_owner_of_its_shard(rig: Rig) -> None:
    spi, datagram = esp(2)
    assert rig.relay.take_esp(PATH, spi, datagram)
    assert rig.relayed() == [("TO_OWNER", ADA, 1)]
    relayed = parse_relayed(rig.sent[0][2])
    assert (relayed.path, relayed.datagram, relayed.epoch) == (PATH, datagram, 5)
    assert rig.relay.counts == {("to_owner", "esp"): 1}
    assert rig.relay.last_entered == rig.now


def test_esp_of_a_shard_of_ours_is_unknown_or_waits(rig: Rig) -> None:
    spi, datagram = esp(1)
    assert not rig.relay.take_esp(PATH, spi, datagram)
    rig.unready = {1}
    assert rig.relay.take_esp(PATH, spi, datagram)
    rig.unready = set()
    rig.relay.go_on(1)
    assert rig.received == [(PATH, datagram)]
    assert rig.sent == []


def test_esp_of_nobody_s_shard_and_for_somebody_who_is_gone(rig: Rig) -> None:
    assert rig.relay.take_esp(PATH, *esp(4))
    rig.there = set()
    assert rig.relay.take_esp(PATH, *esp(2))
    assert rig.drops == [Reason.NOT_SERVING] * 2


def test_no_more_waits_than_fits(rig: Rig) -> None:
    rig.unready = {1}
    for _ in range(300):
        assert rig.relay.take_esp(PATH, *esp(1))
    assert len(rig.drops) == 300 - 256


# --- IKE


def test_what_the_gateway_knows_stays(rig: Rig) -> None:
    message = ike(2)
    rig.gateway.known = {message.message[:16]}
    assert not rig.relay.take_ike(message)
    rig.cluster.serving = False
    assert rig.relay.take_ike(message)
    assert rig.drops == [Reason.FENCED]


def test_a_quick_mode_message_may_take_its_client_along(rig: Rig) -> None:
    message = ike(1, QUICK_MODE)
    rig.gateway.known = {message.message[:16]}
    assert not rig.relay.take_ike(message)
    rig.binds = True
    assert rig.relay.take_ike(message)
    assert rig.bound == [message] * 2
    assert not rig.relay.take_ike(ike(1))  # another exchange
    assert len(rig.bound) == 2


def test_ike_goes_to_the_owner_of_its_cookie_s_shard(rig: Rig) -> None:
    message = ike(3)
    assert rig.relay.take_ike(message)
    assert rig.relayed() == [("TO_OWNER", BOB, 1)]
    assert parse_relayed(rig.sent[0][2]).datagram == NON_ESP_MARKER + message.message
    assert not rig.relay.take_ike(ike(1))  # ours, and unknown: the gateway says so


def test_on_port_500_nothing_marks_ike(rig: Rig) -> None:
    message = ike(3, path=PATH._replace(natt=False))
    rig.relay.take_ike(message)
    assert parse_relayed(rig.sent[0][2]).datagram == message.message


def test_a_forward_leads_to_the_client_s_home(rig: Rig) -> None:
    message = ike(1)
    cookie = Cookie(message.message[8:16])
    rig.relay.forwards.put(cookie, Forward(3, rig.now + 10))
    assert rig.relay.take_ike(message)
    assert rig.relayed() == [("TO_OWNER", BOB, 1)]
    rig.now += 20
    assert not rig.relay.take_ike(message)  # forgotten


def test_forwards_are_waited_for(rig: Rig) -> None:
    message = ike(1)
    rig.unready = {1}
    assert rig.relay.take_ike(message)
    rig.relay.forwards.put(Cookie(message.message[8:16]), Forward(2, rig.now + 10))
    rig.unready = set()
    rig.relay.go_on(1)
    assert rig.relayed() == [("TO_OWNER", ADA, 1)]


def test_a_client_that_was_just_handed_over(rig: Rig) -> None:
    rig.again = True
    assert rig.relay.take_ike(ike(1, QUICK_MODE))
    assert rig.sent == []


# --- first messages


def test_a_first_message_is_ours_if_we_serve(rig: Rig) -> None:
    assert not rig.relay.take_ike(ike(None))
    NAMES.shards = ()
    try:
        assert rig.relay.take_ike(ike(None))
        assert rig.relayed()[0][1] in (ADA, BOB)
        rig.cluster.owned = {1: US}
        assert rig.relay.take_ike(ike(None))
        assert rig.drops == [Reason.NOT_SERVING]
    finally:
        NAMES.shards = (1,)


def test_a_first_message_of_a_peer_whose_client_another_has(rig: Rig) -> None:
    rig.relay.said(BOB, RingKind.TO_CLIENT, build_relayed(Relayed(0, 5, PATH, b"answer")))
    assert rig.out == [(PATH, b"answer")]
    assert rig.relay.take_ike(ike(None))
    assert rig.relayed() == [("TO_OWNER", BOB, 1)]
    rig.gateway.peers = {PEER}  # by now the client is here
    assert not rig.relay.take_ike(ike(None))
    rig.gateway.peers = set()
    rig.cluster.owned = {1: US, 2: ADA}  # Bob owns nothing any more
    assert not rig.relay.take_ike(ike(None))


def test_who_is_fenced_passes_first_messages_on(rig: Rig) -> None:
    rig.cluster.serving = False
    assert rig.relay.take_ike(ike(None))
    assert rig.relayed()[0][1] in (ADA, BOB)


# --- from others


def test_what_a_member_relays_is_received_with_the_way_back(rig: Rig) -> None:
    _, datagram = esp(1)
    rig.relay.said(ADA, RingKind.TO_OWNER, to_owner(datagram))
    assert rig.received == [(PATH._replace(via="ada"), datagram)]
    rig.relay.to_client(PATH._replace(via="ada"), b"answer")
    assert rig.relayed() == [("TO_CLIENT", ADA, 0)]
    assert parse_relayed(rig.sent[0][2]) == Relayed(0, 5, PATH, b"answer")
    assert rig.relay.counts == {("from_ingress", "esp"): 1, ("to_client", "esp"): 1}
    rig.relay.to_client(PATH._replace(via="gone"), b"answer")
    assert rig.drops == [Reason.NOT_SERVING]


def test_two_hops_and_no_more_and_the_ingress_is_named(rig: Rig) -> None:
    _, datagram = esp(3)
    rig.relay.said(ADA, RingKind.TO_OWNER, to_owner(datagram, hops=1))
    assert rig.relayed() == [("TO_OWNER", BOB, 0)]
    assert parse_relayed(rig.sent[0][2]).path.via == "ada"
    rig.relay.said(ADA, RingKind.TO_OWNER, to_owner(datagram, hops=0))
    assert rig.drops == [Reason.RING_HOPS]
    assert len(rig.sent) == 1


def test_what_comes_back_to_us_came_in_here(rig: Rig) -> None:
    _, datagram = esp(1)
    body = to_owner(datagram, hops=0, path=PATH._replace(via="us"))
    rig.relay.said(ADA, RingKind.TO_OWNER, body)
    assert rig.received == [(PATH, datagram)]


def test_who_hears_of_a_newer_epoch_waits_for_it(rig: Rig) -> None:
    """The sender let go of the shard, and we may be about to get it."""
    _, datagram = esp(2)
    rig.relay.said(ADA, RingKind.TO_OWNER, to_owner(datagram, epoch=6))
    assert rig.sent == []
    rig.cluster.owned[2] = US
    rig.cluster.newest = Epoch(6)
    rig.relay.go_on(2)
    assert rig.received == [(PATH._replace(via="ada"), datagram)] * 2
    rig.relay.said(ADA, RingKind.TO_OWNER, to_owner(esp(3)[1], epoch=4))  # older: pass it on
    assert rig.relayed() == [("TO_OWNER", BOB, 0)]


# --- inner packets


def test_inner_packets_find_the_member_that_has_the_address(rig: Rig) -> None:
    address = b"\x0a\x14\x00\x02"
    assert not rig.relay.take_ip(b"packet", address, from_client=False)
    rig.relay.said(ADA, RingKind.ADDRESSES, b"\1" + address)
    assert address in rig.relay.addresses
    assert rig.relay.take_ip(b"packet", address, from_client=True)
    assert rig.sent == [(RingKind.TO_ADDRESS, ADA, b"\1packet")]
    rig.relay.said(ADA, RingKind.ADDRESSES, b"\0" + address)
    assert address not in rig.relay.addresses
    rig.relay.said(BOB, RingKind.TO_ADDRESS, build_to_address(b"packet", from_client=True))
    assert rig.packets == [(b"packet", True)]


def test_our_addresses_are_told_to_everybody_and_theirs_forgotten(rig: Rig) -> None:
    rig.relay.announce([b"\x0a\x14\x00\x02"])
    assert [(kind.name, to) for kind, to, _ in rig.sent] == [("ADDRESSES", ADA), ("ADDRESSES", BOB)]
    rig.relay.said(ADA, RingKind.ADDRESSES, b"\1" + b"\x0a\x14\x00\x03")
    rig.now += 20
    rig.relay.sweep()
    assert b"\x0a\x14\x00\x03" not in rig.relay.addresses


# --- the rest


def test_other_words_are_passed_inside(rig: Rig) -> None:
    kinds = (RingKind.HAND_OVER, RingKind.END_SESSION, RingKind.SESSIONS_ENDED, RingKind.TRY)
    for kind in kinds:
        rig.relay.said(ADA, kind, b"")
    assert rig.words == [(ADA, kind) for kind in kinds]
    rig.relay.said(ADA, RingKind.HEARTBEAT, b"beat")
    assert rig.cluster.heard == [b"beat"]


@pytest.mark.parametrize(
    "kind",
    [RingKind.TO_OWNER, RingKind.TO_CLIENT, RingKind.TO_ADDRESS, RingKind.ADDRESSES],
    ids=lambda kind: kind.name,
)
def test_nonsense_is_counted(rig: Rig, kind: RingKind) -> None:
    rig.relay.said(ADA, kind, b"\xff\xff")
    assert rig.drops == [Reason.RING_MALFORMED]
