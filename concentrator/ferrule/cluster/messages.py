"""The rarer words between members: a client handed over, sessions to be ended, a password that was
tried, an inner packet.

A hand-over is for one epoch only, so that none that comes late can bring back a client that has
gone on elsewhere since. Its image is sealed; the datagram that caused it comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ferrule.cluster.relay import Relayed, build_relayed, parse_relayed
from ferrule.cluster.shards import SHARDS
from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason

UID_DIGITS: Final = 16
NAME_OCTETS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class HandOver:
    """The client `uid` for the receiver, with `shard`, one of the receiver's, as its new home."""

    epoch: int
    shard: int
    uid: str
    blob: bytes
    cause: Relayed


class Ending(IntEnum):
    """Which sessions END_SESSION is about."""

    SESSION = 1  # one, by the name that it has in the store
    USER = 2
    EVERYBODY = 3


@dataclass(frozen=True, slots=True)
class EndSessions:
    """`ask` comes back with SESSIONS_ENDED."""

    ask: int
    what: Ending
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Try:
    """A password was tried from the host `source`, as the peer's `username`. Was it right?"""

    right: bool
    source: str
    username: str


def build_hand_over(hand_over: HandOver) -> bytes:
    return b"".join(
        (
            hand_over.epoch.to_bytes(8, "big"),
            hand_over.shard.to_bytes(2, "big"),
            bytes.fromhex(hand_over.uid),
            len(hand_over.blob).to_bytes(2, "big"),
            hand_over.blob,
            build_relayed(hand_over.cause),
        )
    )


def parse_hand_over(body: bytes) -> HandOver:
    """Raises Malformed (RING_MALFORMED), as the other parsers do."""
    reader = Reader(body, Reason.RING_MALFORMED)
    epoch, shard = int.from_bytes(reader.take(8), "big"), reader.u16()
    if shard >= SHARDS:
        raise Malformed(Reason.RING_MALFORMED, f"shard {shard}")
    uid, blob = reader.take(UID_DIGITS // 2).hex(), reader.take(reader.u16())
    return HandOver(epoch, shard, uid, blob, parse_relayed(reader.rest()))


def build_end_sessions(wish: EndSessions) -> bytes:
    reason = wish.reason.value.encode()
    return b"".join(
        (
            wish.ask.to_bytes(4, "big"),
            bytes((wish.what, len(reason))),
            reason,
            wish.name.encode(),
        )
    )


def parse_end_sessions(body: bytes) -> EndSessions:
    reader = Reader(body, Reason.RING_MALFORMED)
    ask, what, reason_octets = reader.u32(), reader.u8(), reader.take(reader.u8())
    name_octets = reader.rest()
    if len(name_octets) > NAME_OCTETS_MAX:
        raise Malformed(Reason.RING_MALFORMED, "a name that cannot be one")
    try:
        reason, name = Reason(reason_octets.decode()), name_octets.decode()
        return EndSessions(ask, Ending(what), name, reason)
    except ValueError:
        raise Malformed(Reason.RING_MALFORMED, "an ending of another version") from None


def build_sessions_ended(ask: int, count: int) -> bytes:
    return ask.to_bytes(4, "big") + count.to_bytes(4, "big")


def parse_sessions_ended(body: bytes) -> tuple[int, int]:
    """The question, and how many sessions ended."""
    reader = Reader(body, Reason.RING_MALFORMED)
    ask, count = reader.u32(), reader.u32()
    reader.finish()
    return ask, count


def build_try(tried: Try) -> bytes:
    source = tried.source.encode()
    return bytes((tried.right, len(source))) + source + tried.username.encode()


def parse_try(body: bytes) -> Try:
    reader = Reader(body, Reason.RING_MALFORMED)
    right, source, username = reader.u8(), reader.take(reader.u8()), reader.rest()
    if right > 1 or len(username) > NAME_OCTETS_MAX:
        raise Malformed(Reason.RING_MALFORMED, "a try that cannot be one")
    try:
        return Try(bool(right), source.decode(), username.decode())
    except ValueError:
        raise Malformed(Reason.RING_MALFORMED, "a try by nobody") from None


def build_to_address(packet: bytes, *, from_client: bool) -> bytes:
    return bytes((from_client,)) + packet


def parse_to_address(body: bytes) -> tuple[bool, bytes]:
    """Whether a client sent it, and the packet."""
    if not body or body[0] > 1:
        raise Malformed(Reason.RING_MALFORMED, "a packet from nobody")
    return bool(body[0]), body[1:]
