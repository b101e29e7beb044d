"""Members and epochs, as the ring and the store tell them: vocabulary, and its octets.

An epoch is a list of members that all of them agree on, because it was written to the store by
compare-and-set. Its number orders epochs; its token tells apart two of the same number, which a
store that lost its last writes can bring about. A record is what a member writes to the store with
each beat of its heart; a heartbeat is what it says to the others on the ring. Version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NewType

from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason

MemberName = NewType("MemberName", str)  # of the pod: the same again after a restart

VERSION: Final = 1
MEMBERS_MAX: Final = 64
NAME_OCTETS_MAX: Final = 63  # a DNS label


class Identity(NamedTuple):
    """One life of a member: its name, and a random number drawn when it came up."""

    name: MemberName
    incarnation: int  # 64 bits

    def __str__(self) -> str:
        return f"{self.name}/{self.incarnation:016x}"


class EpochId(NamedTuple):
    """`token` is random: two epochs are the same only if it is."""

    number: int
    token: int  # 64 bits


@dataclass(frozen=True, slots=True)
class Member:
    """`address` is where its ring port is. Who is draining owns nothing, and still relays."""

    identity: Identity
    address: Address
    draining: bool = False

    @property
    def name(self) -> MemberName:
        return self.identity.name


@dataclass(frozen=True, slots=True)
class Epoch:
    """`members` are in the order of their names, each name once."""

    id: EpochId
    members: tuple[Member, ...]

    def find(self, name: MemberName) -> Member | None:
        return next((member for member in self.members if member.name == name), None)

    def lists(self, identity: Identity) -> bool:
        return any(member.identity == identity for member in self.members)

    @property
    def owners(self) -> tuple[MemberName, ...]:
        """Who may own shards."""
        return tuple(member.name for member in self.members if not member.draining)


@dataclass(frozen=True, slots=True)
class Record:
    """Of a member in the store.

    `beat` counts its heartbeats from 1, `lives_in` is the epoch that it has taken over. `denied`:
    members that it no longer acknowledges, with the last beat that it did; it takes that back
    only when the store shows a later one.
    """

    identity: Identity
    beat: int
    lives_in: Epoch | None
    denied: Mapping[Identity, int] = field(default_factory=dict)

    @property
    def mark(self) -> bytes:
        """What compare-and-set looks at: which beat of which life."""
        return f"{self.identity}:{self.beat}".encode()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a member says to another. `lives_in` is the epoch that it has taken over, `newest` the
    newest that it knows of; `heard` acknowledges the others' beats."""

    identity: Identity
    beat: int
    lives_in: EpochId | None
    newest: Epoch | None
    heard: Mapping[Identity, int] = field(default_factory=dict)


# --- octets ------------------------------------------------------------------------------------


def build_epoch(epoch: Epoch) -> bytes:
    return bytes((VERSION,)) + _build_epoch(epoch)


def parse_epoch(octets: bytes) -> Epoch:
    """Raises Malformed (RING_MALFORMED), as the other parsers do."""
    reader = _open(octets)
    epoch = _read_epoch(reader)
    reader.finish()
    return epoch


def build_record(record: Record) -> bytes:
    return b"".join(
        (
            bytes((VERSION,)),
            _build_identity(record.identity),
            record.beat.to_bytes(8, "big"),
            _build_optional(record.lives_in),
            _build_beats(record.denied),
        )
    )


def parse_record(octets: bytes) -> Record:
    reader = _open(octets)
    record = Record(
        _read_identity(reader), _read_u64(reader), _read_optional(reader), _read_beats(reader)
    )
    reader.finish()
    return record


def build_heartbeat(heartbeat: Heartbeat) -> bytes:
    lives_in = heartbeat.lives_in
    return b"".join(
        (
            bytes((VERSION,)),
            _build_identity(heartbeat.identity),
            heartbeat.beat.to_bytes(8, "big"),
            b"\0" if lives_in is None else b"\1" + _build_epoch_id(lives_in),
            _build_optional(heartbeat.newest),
            _build_beats(heartbeat.heard),
        )
    )


def parse_heartbeat(octets: bytes) -> Heartbeat:
    reader = _open(octets)
    heartbeat = Heartbeat(
        _read_identity(reader),
        _read_u64(reader),
        _read_epoch_id(reader) if _read_flag(reader) else None,
        _read_optional(reader),
        _read_beats(reader),
    )
    reader.finish()
    return heartbeat


def _open(octets: bytes) -> Reader:
    reader = Reader(octets, Reason.RING_MALFORMED)
    if (version := reader.u8()) != VERSION:
        raise Malformed(Reason.RING_MALFORMED, f"version {version} of a member's words")
    return reader


def _build_text(text: str) -> bytes:
    octets = text.encode()
    return bytes((len(octets),)) + octets


def read_text(reader: Reader) -> str:
    """A name behind its length in one octet. Raises Malformed (RING_MALFORMED)."""
    octets = reader.take(reader.u8())
    try:
        text = octets.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(Reason.RING_MALFORMED, "a name that is not ASCII") from None
    if not 1 <= len(text) <= NAME_OCTETS_MAX or not text.isprintable():
        raise Malformed(Reason.RING_MALFORMED, "a name that cannot be one")
    return text


def _read_u64(reader: Reader) -> int:
    return int.from_bytes(reader.take(8), "big")


def _read_flag(reader: Reader) -> bool:
    if (flag := reader.u8()) > 1:
        raise Malformed(Reason.RING_MALFORMED, f"neither yes nor no but {flag}")
    return bool(flag)


def _build_identity(identity: Identity) -> bytes:
    return _build_text(identity.name) + identity.incarnation.to_bytes(8, "big")


def _read_identity(reader: Reader) -> Identity:
    return Identity(MemberName(read_text(reader)), _read_u64(reader))


def _build_epoch_id(epoch: EpochId) -> bytes:
    return epoch.number.to_bytes(8, "big") + epoch.token.to_bytes(8, "big")


def _read_epoch_id(reader: Reader) -> EpochId:
    return EpochId(_read_u64(reader), _read_u64(reader))


def _build_member(member: Member) -> bytes:
    return b"".join(
        (
            _build_identity(member.identity),
            _build_text(member.address.host),
            member.address.port.to_bytes(2, "big"),
            bytes((member.draining,)),
        )
    )


def _read_member(reader: Reader) -> Member:
    identity, host, port = _read_identity(reader), read_text(reader), reader.u16()
    return Member(identity, Address(host, port), _read_flag(reader))


def _build_epoch(epoch: Epoch) -> bytes:
    members = b"".join(map(_build_member, epoch.members))
    return _build_epoch_id(epoch.id) + bytes((len(epoch.members),)) + members


def _read_epoch(reader: Reader) -> Epoch:
    epoch = Epoch(_read_epoch_id(reader), tuple(_read_member(reader) for _ in _counted(reader)))
    names = [member.name for member in epoch.members]
    if names != sorted(set(names)):
        raise Malformed(Reason.RING_MALFORMED, "members that are not in order, or there twice")
    return epoch


def _build_optional(epoch: Epoch | None) -> bytes:
    return b"\0" if epoch is None else b"\1" + _build_epoch(epoch)


def _read_optional(reader: Reader) -> Epoch | None:
    return _read_epoch(reader) if _read_flag(reader) else None


def _build_beats(beats: Mapping[Identity, int]) -> bytes:
    entries = [_build_identity(who) + beat.to_bytes(8, "big") for who, beat in beats.items()]
    return bytes((len(entries),)) + b"".join(entries)


def _read_beats(reader: Reader) -> dict[Identity, int]:
    return {_read_identity(reader): _read_u64(reader) for _ in _counted(reader)}


def _counted(reader: Reader) -> range:
    if (count := reader.u8()) > MEMBERS_MAX:
        raise Malformed(Reason.RING_MALFORMED, f"{count} members")
    return range(count)
