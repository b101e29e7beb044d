"""Dataclasses as octets and back, by their annotations: the format of check-points.

A record is its length and its fields in order. Fields are only ever appended, with a default: an
older record ends early, and a newer one goes on after what a reader knows, so each version reads
the one before it and the one after it. `metadata={"since": n}` keeps a field out of what is written
for older readers. Integers are variable in length, enum members stand by their names, everything
else behind its length. Whatever octets come in, only Malformed comes out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import partial
from ipaddress import IPv4Address
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ferrule.core.codec import Reader
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret

OCTETS_MAX: Final = 1 << 16  # of one record, text or string of octets
ITEMS_MAX: Final = 4096
_FLOAT: Final = struct.Struct("!d")
_REASON: Final = Reason.IMAGE_MALFORMED
T = TypeVar("T")


class _Codec(NamedTuple):
    write: Callable[[bytearray, Any], None]
    read: Callable[[Reader], Any]


class Records:
    """Writes and reads records as they are in one version of a format."""

    def __init__(self, version: int) -> None:
        self._version = version
        self._codecs: dict[Any, _Codec] = {}

    def build(self, value: object) -> bytes:
        """The record of a dataclass."""
        out = bytearray()
        self._codec(type(value)).write(out, value)
        return bytes(out)

    def parse(self, kind: type[T], octets: bytes) -> T:
        """Exactly one record. Raises Malformed."""
        reader = Reader(octets, _REASON)
        value = self._codec(kind).read(reader)
        reader.finish()
        assert isinstance(value, kind)
        return value

    def _codec(self, hint: Any) -> _Codec:
        codec = self._codecs.get(hint)
        if codec is None:
            codec = self._codecs[hint] = self._make(hint)
        return codec

    def _make(self, hint: Any) -> _Codec:
        hint = getattr(hint, "__supertype__", hint)  # a NewType
        if hint in _PLAIN:
            return _PLAIN[hint]
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
            inner = self._codec(next(a for a in arguments if a is not NoneType))
            return _Codec(
                partial(_write_optional, inner.write), partial(_read_optional, inner.read)
            )
        if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
            inner = self._codec(arguments[0])
            return _Codec(partial(_write_items, inner.write), partial(_read_items, inner.read))
        if isinstance(hint, type) and issubclass(hint, Enum):
            return _Codec(_write_member, partial(_read_member, hint))
        return self._record(hint)

    def _record(self, kind: Any) -> _Codec:
        hints = get_type_hints(kind)
        rows = [
            _Field(name, self._codec(hints[name]), default)
            for name, since, default in _fields_of(kind)
            if since <= self._version
        ]
        writers = [(row.name, row.codec.write) for row in rows]
        readers = [(row.codec.read, row.default) for row in rows]
        return _Codec(partial(_write_record, writers), partial(_read_record, kind, readers))


class _Field(NamedTuple):
    name: str
    codec: _Codec
    default: Any  # MISSING: it must be there


def _fields_of(kind: Any) -> list[tuple[str, int, Any]]:
    """Name, version since when it is there, and default. Raises TypeError for what has no fields,
    and for a field of a later version that has no default: a bug."""
    if is_dataclass(kind):
        found = [(f.name, int(f.metadata.get("since", 1)), f.default) for f in fields(kind)]
    else:
        defaults = kind._field_defaults
        found = [(name, 1, defaults.get(name, MISSING)) for name in kind._fields]
    if any(since > 1 and default is MISSING for _, since, default in found):
        raise TypeError(f"a later field of {kind.__name__} has no default")
    return found


# --- integers ----------------------------------------------------------------------------------


def _write_uint(out: bytearray, value: int) -> None:
    """Seven bits an octet, the lowest first; the high bit says that more follow."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_uint(reader: Reader) -> int:
    value = 0
    for shift in range(0, 70, 7):
        octet = reader.u8()
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value
    raise Malformed(_REASON, "an integer of more than ten octets")


def _write_int(out: bytearray, value: int) -> None:
    """Non-negative ones are even, negative ones odd."""
    _write_uint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _read_int(reader: Reader) -> int:
    value = _read_uint(reader)
    return -(value + 1 >> 1) if value & 1 else value >> 1


def _write_bool(out: bytearray, value: bool) -> None:
    out.append(value)


def _read_bool(reader: Reader) -> bool:
    if (flag := reader.u8()) > 1:
        raise Malformed(_REASON, f"neither yes nor no but {flag}")
    return bool(flag)


def _write_float(out: bytearray, value: float) -> None:
    out += _FLOAT.pack(value)


def _read_float(reader: Reader) -> float:
    (value,) = _FLOAT.unpack(reader.take(8))
    if not isfinite(value):
        raise Malformed(_REASON, "a number that is none")
    return float(value)


# --- octets and text ---------------------------------------------------------------------------


def _write_octets(out: bytearray, value: bytes | bytearray) -> None:
    _write_uint(out, len(value))
    out += value


def _read_octets(reader: Reader) -> bytes:
    if (length := _read_uint(reader)) > OCTETS_MAX:
        raise Malformed(_REASON, f"{length} octets")
    return reader.take(length)


def _write_secret(out: bytearray, value: Secret) -> None:
    _write_octets(out, value.reveal())


def _read_secret(reader: Reader) -> Secret:
    return Secret(_read_octets(reader))


def _write_text(out: bytearray, value: str) -> None:
    _write_octets(out, value.encode("utf-8", "surrogatepass"))


def _read_text(reader: Reader) -> str:
    try:
        return _read_octets(reader).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise Malformed(_REASON, "text that is not UTF-8") from None


def _write_address(out: bytearray, value: IPv4Address) -> None:
    out += value.packed


def _read_address(reader: Reader) -> IPv4Address:
    return IPv4Address(reader.take(4))


def _write_member(out: bytearray, value: Enum) -> None:
    _write_text(out, value.name)


def _read_member(kind: type[Enum], reader: Reader) -> Enum:
    name = _read_text(reader)
    member = kind.__members__.get(name)
    if member is None:
        raise Malformed(_REASON, f"an unknown {kind.__name__}")
    return member


_PLAIN: Final[dict[Any, _Codec]] = {
    bool: _Codec(_write_bool, _read_bool),
    int: _Codec(_write_int, _read_int),
    float: _Codec(_write_float, _read_float),
    bytes: _Codec(_write_octets, _read_octets),
    str: _Codec(_write_text, _read_text),
    Secret: _Codec(_write_secret, _read_secret),
    IPv4Address: _Codec(_write_address, _read_address),
}


# --- what is made of others --------------------------------------------------------------------


def _write_optional(write: Callable[[bytearray, Any], None], out: bytearray, value: Any) -> None:
    out.append(value is not None)
    if value is not None:
        write(out, value)


def _read_optional(read: Callable[[Reader], Any], reader: Reader) -> Any:
    return read(reader) if _read_bool(reader) else None


def _write_items(
    write: Callable[[bytearray, Any], None], out: bytearray, value: tuple[Any, ...]
) -> None:
    _write_uint(out, len(value))
    for item in value:
        write(out, item)


def _read_items(read: Callable[[Reader], Any], reader: Reader) -> tuple[Any, ...]:
    if (count := _read_uint(reader)) > min(ITEMS_MAX, reader.left):
        raise Malformed(_REASON, f"{count} items")
    return tuple(read(reader) for _ in range(count))


def _write_record(
    writers: list[tuple[str, Callable[[bytearray, Any], None]]], out: bytearray, value: Any
) -> None:
    inner = bytearray()
    for name, write in writers:
        write(inner, getattr(value, name))
    _write_octets(out, inner)


def _read_record(
    kind: Any, readers: list[tuple[Callable[[Reader], Any], Any]], outer: Reader
) -> Any:
    reader = Reader(_read_octets(outer), _REASON)
    values = []
    for read, default in readers:
        if not reader.left and default is not MISSING:
            values.append(default)
        else:
            values.append(read(reader))
    try:
        return kind(*values)
    except ValueError as error:
        raise Malformed(_REASON, f"{kind.__name__}: {error}") from None
