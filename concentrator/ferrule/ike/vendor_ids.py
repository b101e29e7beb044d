"""Vendor ids: what the peer says that it is and can do (RFC 2408 3.16).

A row is name, octets, and whether more octets (a version) may follow. Names go to logs and
metrics; only NAT-T and DPD change what we do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NATT_RFC: Final = "rfc3947"
NATT_DRAFT_02: Final = "draft-02"
NATT_DRAFT_02_N: Final = "draft-02_n"
NATT_DRAFT_03: Final = "draft-03"
NATT_NONE: Final = "none"
DPD: Final = "dpd"
XAUTH: Final = "xauth"


@dataclass(frozen=True, slots=True)
class KnownVendorId:
    name: str
    octets: bytes
    prefix: bool = False


def _row(name: str, hexadecimal: str, prefix: bool = False) -> KnownVendorId:
    return KnownVendorId(name, bytes.fromhex(hexadecimal), prefix)


VENDOR_IDS: Final = (
    _row(NATT_RFC, "4a131c81070358455c5728f20e95452f"),
    _row(NATT_DRAFT_03, "7d9419a65310ca6f2c179d9215529d56"),
    # The draft's text had a line feed at the end of what is hashed; both forms are in use.
    _row(NATT_DRAFT_02_N, "90cb80913ebb696e086381b5ec427b1f"),
    _row(NATT_DRAFT_02, "cd60464335df21f87cfdb2fc68b6a448"),
    _row(DPD, "afcad71368a1f1c96b8696fc7757", prefix=True),
    _row("natt-draft-00", "4485152d18b6bbcd0be8a8469579ddcc"),
    _row("natt-draft-01", "16f6ca16e4a4066d83821a0f0aeaa862"),
    _row("natt-draft-04", "9909b64eed937c6573de52ace952fa6b"),
    _row("natt-draft-05", "80d0bb3def54565ee84645d4c85ce3ee"),
    _row("natt-draft-06", "4d1e0e136deafa34c4f3ea9f02ec7285"),
    _row("natt-draft-07", "439b59f8ba676c4c7737ae22eab8f582"),
    _row("natt-draft-08", "8f8d83826d246b6fc7a8a6a428c11de8"),
    _row("natt-draft", "4df37928e9fc4fd1b3262170d515c662"),
    _row(XAUTH, "09002689dfd6b712", prefix=True),
    _row("windows", "1e2b516905991c7d7c96fcbfb587e461", prefix=True),
    _row("fragmentation", "4048b7d56ebce88525e7de7f00d6c2d3", prefix=True),
    _row("windows-initial-contact", "26244d38eddb61b3172a36e3d0cfb819"),
    _row("windows-negotiation-discovery", "fb1de3cdf341b7ea16b7e5be0855f120"),
    _row("windows-cga", "e3a5966a76379fe707228231e5ce8652"),
    _row("windows-mamie-exists", "214ca4faffa7f32d6748e5303395ae83"),
    _row("cisco-unity", "12f5f28c457168a9702d9fe274cc", prefix=True),
    _row("strongswan", "882fe56d6fd20dbc2251613b2ebe5beb"),
    _row("racoon", "7003cbc1097dbe9c2600ba6983bc8b35", prefix=True),
)
_EXACT: Final = {row.octets: row.name for row in VENDOR_IDS}
_PREFIXES: Final = tuple(row for row in VENDOR_IDS if row.prefix)
_OCTETS: Final = {row.name: row.octets for row in VENDOR_IDS}
DPD_VERSION: Final = bytes((1, 0))  # RFC 3706 5.1: major and minor follow the hash


def vendor_name(octets: bytes) -> str | None:
    """The known name, or None."""
    name = _EXACT.get(octets)
    if name is None:
        for row in _PREFIXES:
            if octets.startswith(row.octets):
                return row.name
    return name


def vendor_names(vendor_ids: Iterable[bytes]) -> tuple[str, ...]:
    """Known names without doubles, in the order of the message."""
    names = (vendor_name(octets) for octets in vendor_ids)
    return tuple(dict.fromkeys(name for name in names if name))


def vendor_octets(name: str) -> bytes:
    """What goes on the wire for a known name."""
    return _OCTETS[name] + (DPD_VERSION if name == DPD else b"")
