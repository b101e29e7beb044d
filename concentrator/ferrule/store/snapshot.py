"""The sealed file of a store in memory: written whole, beside the old one, then put in its place.

Inside the seal: version (1), then fields behind their lengths: a JSON object with leases and
claims, the epoch, the records, the check-points. Version 1; a later one reads this one too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from ferrule.cluster.members import (
    Epoch,
    Identity,
    MemberName,
    Record,
    build_epoch,
    build_record,
    parse_epoch,
    parse_record,
)
from ferrule.cluster.sealing import BlobKind, Context, Sealer, SealFault
from ferrule.core.codec import Reader
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.store.interface import Checkpoint, Claim, Lease

VERSION: Final = 1
UNREADABLE: Final = (
    ProtocolError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
)
_CONTEXT: Final = Context("", BlobKind.SNAPSHOT, 0)


@dataclass(frozen=True, slots=True)
class LeaseImage:
    """What of a lease book outlives a restart. Lists are in order."""

    leases: tuple[Lease, ...]
    released: tuple[int, ...]
    last_address: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Image:
    """All that a file holds."""

    epoch: Epoch | None
    records: Mapping[Identity, Record]
    unrestored: frozenset[Identity]
    claims: Mapping[int, Claim]
    checkpoints: Mapping[int, Mapping[str, Checkpoint]]
    leases: LeaseImage


def write_snapshot(path: Path, sealer: Sealer, image: Image) -> None:
    """Raises OSError; the file that was there is then still whole."""
    sealed = sealer.seal(build_image(image), _CONTEXT)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)


def read_snapshot(path: Path, sealer: Sealer) -> Image | str | None:
    """None: there is no file. Text: what is wrong with it."""
    try:
        sealed = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    octets = sealer.open(sealed, _CONTEXT)
    if isinstance(octets, SealFault):
        return octets.value
    try:
        return parse_image(octets)
    except UNREADABLE as error:
        return f"does not parse: {error}"


def build_image(image: Image) -> bytes:
    fields = [
        json.dumps(_plain(image)).encode(),
        build_epoch(image.epoch) if image.epoch is not None else b"",
        _pack(build_record(record) for record in image.records.values()),
    ]
    for shard, sessions in image.checkpoints.items():
        for session, checkpoint in sessions.items():
            head = shard.to_bytes(2, "big") + checkpoint.epoch.to_bytes(8, "big")
            fields.append(_pack((head, session.encode(), checkpoint.blob)))
    return bytes((VERSION,)) + _pack(fields)


def parse_image(octets: bytes) -> Image:
    """Raises one of UNREADABLE for what `build_image` never made."""
    if octets[:1] != bytes((VERSION,)):
        raise ValueError(f"version {octets[:1].hex()}")
    named, epoch, packed, *fields = _unpack(octets[1:])
    plain: dict[str, Any] = json.loads(named)
    records = [parse_record(record) for record in _unpack(packed)]
    checkpoints: dict[int, dict[str, Checkpoint]] = {}
    for field in fields:
        head, session, blob = _unpack(field)
        shard = int.from_bytes(head[:2], "big")
        checkpoint = Checkpoint(int.from_bytes(head[2:], "big"), blob)
        checkpoints.setdefault(shard, {})[session.decode()] = checkpoint
    return Image(
        parse_epoch(epoch) if epoch else None,
        {record.identity: record for record in records},
        frozenset(_identity(entry) for entry in plain["unrestored"]),
        {int(s): Claim(_identity(c[0]), int(c[1])) for s, c in plain["claims"].items()},
        checkpoints,
        LeaseImage(
            tuple(_lease(*entry) for entry in plain["leases"]),
            tuple(plain["released"]),
            dict(plain["last_address"]),
        ),
    )


def _plain(image: Image) -> dict[str, Any]:
    book = image.leases
    return {
        "unrestored": list(image.unrestored),
        "claims": {shard: (claim.owner, claim.epoch) for shard, claim in image.claims.items()},
        "leases": [
            (x.session, x.user, x.device, x.since_ms, x.owner, str(x.address)) for x in book.leases
        ],
        "released": book.released,
        "last_address": dict(book.last_address),
    }


def _lease(session: str, user: str, device: str, since_ms: int, owner: str, address: str) -> Lease:
    return Lease(session, user, device, since_ms, owner, IPv4Address(address))


def _identity(entry: list[Any]) -> Identity:
    return Identity(MemberName(str(entry[0])), int(entry[1]))


def _pack(fields: Iterable[bytes]) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def _unpack(octets: bytes) -> Iterator[bytes]:
    reader = Reader(octets, Reason.RING_MALFORMED)
    while reader.left:
        yield reader.take(reader.u32())
