"""Targets for what comes over the ring and lies in the store: envelopes, heartbeats, relayed
datagrams, records, snapshots; and a member that is told anything by its peers."""

from __future__ import annotations

from ferrule.cluster.addresses import build_addresses, parse_addresses
from ferrule.cluster.effects import AskBeat, ClusterEffect, SendHeartbeat, StoreView
from ferrule.cluster.members import (
    Epoch,
    EpochId,
    Identity,
    Member,
    MemberName,
    build_epoch,
    build_heartbeat,
    build_record,
    parse_epoch,
    parse_heartbeat,
    parse_record,
)
from ferrule.cluster.membership import Membership
from ferrule.cluster.messages import (
    build_end_sessions,
    build_hand_over,
    build_sessions_ended,
    build_to_address,
    build_try,
    parse_end_sessions,
    parse_hand_over,
    parse_sessions_ended,
    parse_to_address,
    parse_try,
)
from ferrule.cluster.relay import build_relayed, parse_relayed
from ferrule.cluster.ring import MAC_OCTETS, VERSION, Ring, RingKind
from ferrule.cluster.routes import build_forward, parse_forward
from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.gateway.image import build_image as build_client
from ferrule.gateway.image import parse_image as parse_client
from ferrule.store.snapshot import UNREADABLE, Image, parse_image
from fuzz.machines import EFFECTS_MAX, RECORDS_MAX, pass_time
from fuzz.registry import Entropy, records, target

RING_KEY = Secret(bytes(range(32)))
OURS, THEIRS = MemberName("a-0"), MemberName("a-1")
PEER = Member(Identity(THEIRS, 7), Address("192.0.2.2", 4501))


@target()
def ring_datagram(data: bytes) -> None:
    """First octet: even, a datagram as it is; odd, one whose MAC is made right."""
    ours, peer = Ring(OURS, [RING_KEY]), Ring(THEIRS, [RING_KEY])
    if data[:1] and data[0] & 1:
        kind = RingKind(data[0] // 2 % len(RingKind) + 1)
        said = peer.wrap(kind, data[1:], OURS)
        assert ours.unwrap(said, THEIRS) == (kind, data[1:])
        ring_body(kind, data[1:])
    else:
        ring_body(*ours.unwrap(data[1:], THEIRS))


def ring_body(kind: RingKind, body: bytes) -> None:
    match kind:
        case RingKind.HEARTBEAT:
            heartbeat = parse_heartbeat(body)
            assert parse_heartbeat(build_heartbeat(heartbeat)) == heartbeat
        case RingKind.TO_OWNER | RingKind.TO_CLIENT:
            relayed = parse_relayed(body)
            assert build_relayed(relayed) == body
        case RingKind.TO_ADDRESS:
            from_client, packet = parse_to_address(body)
            assert build_to_address(packet, from_client=from_client) == body
        case RingKind.ADDRESSES:
            here, addresses = parse_addresses(body)
            said = [parse_addresses(part) for part in build_addresses(here, addresses)]
            assert [address for _, some in said for address in some] == addresses
        case RingKind.HAND_OVER:
            hand_over = parse_hand_over(body)
            assert build_hand_over(hand_over) == body
        case RingKind.END_SESSION:
            wish = parse_end_sessions(body)
            assert parse_end_sessions(build_end_sessions(wish)) == wish
        case RingKind.SESSIONS_ENDED:
            assert build_sessions_ended(*parse_sessions_ended(body)) == body
        case RingKind.TRY:
            assert build_try(parse_try(body)) == body
    forward = parse_forward(body)
    assert build_forward(forward) == body


@target(octets_max=8192)
def store_checkpoint(data: bytes) -> None:
    """A client's image, whoever wrote it: what is read can be written, and is read as the same."""
    image = build_client(parse_client(data))
    assert build_client(parse_client(image)) == image


@target()
def store_record(data: bytes) -> None:
    """What another member, or another version, wrote to the store."""
    if data[:1] and data[0] & 1:
        epoch = parse_epoch(data[1:])
        assert build_epoch(epoch) == data[1:]
        return
    record = parse_record(data[1:])
    assert parse_record(build_record(record)) == record


@target(*UNREADABLE, octets_max=4096)
def store_snapshot(data: bytes) -> None:
    assert isinstance(parse_image(data), Image)


@target(octets_max=4096)
def ring_member(data: bytes) -> None:
    """A member of an epoch of two. Records: a heartbeat of whoever it says, or time, or a word of
    the store. Whatever they are, it serves no longer than its proofs hold."""
    now = 100.0
    member = Membership(OURS, Address("192.0.2.1", 4501), Entropy(), now)
    epoch = Epoch(EpochId(3, 3), (Member(member.identity, Address("192.0.2.1", 4501)), PEER))
    asked = latest(member.expire(now), 0)
    asked = latest(member.answer(StoreView(asked, epoch), now), asked)
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        match record[0] & 3 if record else 3:
            case 0 | 1:
                effects = member.receive(parse_heartbeat(record[1:]), now)
            case 2:
                named = parse_epoch(record[1:]) if len(record) > 1 else epoch
                effects = member.answer(StoreView(asked, named), now)
            case _:
                now, effects = pass_time(member, now)
        asked = latest(effects, asked)
        assert len(effects) <= EFFECTS_MAX
        assert all(
            len(build_heartbeat(e.heartbeat)) < 16_000
            for e in effects
            if isinstance(e, SendHeartbeat)
        )
    assert not member.serves(7, now + 60.0) or member.epoch is None or len(member.epoch.members) < 2


def latest(effects: list[ClusterEffect], before: int) -> int:
    """The newest question to the store."""
    return max([before, *(effect.ask for effect in effects if isinstance(effect, AskBeat))])


def enveloped(kind: RingKind, body: bytes) -> bytes:
    """What a datagram of the peer looks like."""
    said = Ring(THEIRS, [RING_KEY]).wrap(kind, body, OURS)
    assert said[0] == VERSION << 4 | kind
    assert said[1:-MAC_OCTETS] == body
    return said
