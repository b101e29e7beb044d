"""The format of check-points: what is read is what was written, and versions meet."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from typing import NamedTuple, NewType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.gateway.records import ITEMS_MAX, OCTETS_MAX, Records

Number = NewType("Number", int)


class Colour(Enum):
    RED = 1
    GREEN = (2, "two")


class Place(NamedTuple):
    host: str
    port: int = 7


@dataclass(frozen=True)
class Inner:
    place: Place
    colour: Colour | None

    def __post_init__(self) -> None:
        if self.place.port == 13:
            raise ValueError("not that one")


@dataclass
class Outer:
    number: Number
    yes: bool
    seconds: float
    octets: bytes
    text: str
    address: IPv4Address
    inner: tuple[Inner, ...]
    maybe: float | None


@dataclass
class One:
    a: int


@dataclass
class Two:
    a: int
    b: str = field(default="new", metadata={"since": 2})


@dataclass
class Holder:
    secret: Secret


INNER = st.builds(
    Inner,
    st.builds(Place, st.text(), st.integers(14, 1 << 16)),
    st.none() | st.sampled_from(Colour),
)
OUTER = st.builds(
    Outer,
    st.integers(-(1 << 63), 1 << 63),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.binary(),
    st.text(),
    st.ip_addresses(v=4),
    st.lists(INNER, max_size=4).map(tuple),
    st.none() | st.just(1.5),
)
RECORDS = Records(1)


@given(OUTER)
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read(value: Outer) -> None:
    octets = RECORDS.build(value)
    assert RECORDS.parse(Outer, octets) == value


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_octets(octets: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(RECORDS.parse(Outer, octets), Outer)


@given(OUTER, st.data())
@settings(max_examples=200, deadline=None)
def test_octets_that_were_good_once(value: Outer, data: st.DataObject) -> None:
    octets = bytearray(RECORDS.build(value))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        RECORDS.parse(Outer, bytes(octets)[: data.draw(st.integers(0, len(octets)))])


def test_small_things_are_small() -> None:
    assert Records(1).build(One(5)) == bytes((1, 10))
    assert Records(1).build(One(-1)) == bytes((1, 1))
    assert Records(1).build(One(64)) == bytes((2, 0x80, 1))
    assert len(Records(1).build(One(0xFFFFFFFF))) == 6


def test_a_secret_is_read_as_one() -> None:
    secret = RECORDS.parse(Holder, RECORDS.build(Holder(Secret(b"key")))).secret
    assert isinstance(secret, Secret)
    assert secret.reveal() == b"key"


def test_a_later_field_is_added_and_left_out() -> None:
    first, second = Records(1), Records(2)
    octets = second.build(Two(5, "x"))
    assert second.parse(Two, octets) == Two(5, "x")
    assert first.parse(Two, octets) == Two(5)  # it does not know the field
    assert first.build(Two(5, "x")) == first.build(One(5))
    assert second.parse(Two, first.build(One(5))) == Two(5)


def test_a_later_field_needs_a_default() -> None:
    @dataclass
    class Bad:
        a: int = field(metadata={"since": 2})

    with pytest.raises(TypeError, match="default"):
        Records(2).build(Bad(1))


@pytest.mark.parametrize(
    ("kind", "octets"),
    [
        (One, b""),
        (One, b"\x00"),  # a field that must be there
        (One, b"\x02\x0a"),  # a length that lies
        (One, b"\x01\x0a\x00"),  # something behind it
        (One, b"\x0b" + b"\xff" * 11),  # an integer without end
        (Holder, b"\x04" + b"\xff\xff\xff\x7f"),  # more octets than there can be
    ],
)
def test_what_is_refused(kind: type, octets: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        RECORDS.parse(kind, octets)
    assert caught.value.reason is Reason.IMAGE_MALFORMED


def replaced(old: bytes, new: bytes) -> bytes:
    value = Outer(
        Number(1),
        True,
        2.5,
        b"octets",
        "text",
        IPv4Address("192.0.2.1"),
        (Inner(Place("host", 14), Colour.RED),),
        None,
    )
    octets = RECORDS.build(value)
    assert len(old) == len(new)
    assert octets.count(old) == 1
    return octets.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"\x02\x01\x40\x04", b"\x02\x02\x40\x04", "neither yes nor no"),
        (b"\x40\x04\x00\x00\x00\x00\x00\x00", b"\x7f\xf0\x00\x00\x00\x00\x00\x00", "none"),
        (b"\x40\x04\x00\x00\x00\x00\x00\x00", b"\x7f\xf8\x00\x00\x00\x00\x00\x01", "none"),
        (b"\x04text", b"\x04t\xffxt", "UTF-8"),
        (b"\x03RED", b"\x03BLU", "unknown Colour"),
        (b"host\x1c", b"host\x1a", "not that one"),
    ],
)
def test_values_that_are_refused(old: bytes, new: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        RECORDS.parse(Outer, replaced(old, new))


def test_a_list_has_no_more_items_than_octets() -> None:
    @dataclass
    class Many:
        items: tuple[int, ...]

    records = Records(1)
    assert records.parse(Many, records.build(Many(tuple(range(100))))).items == tuple(range(100))
    with pytest.raises(Malformed, match="items"):
        records.parse(Many, records.build(Many((0,) * (ITEMS_MAX + 1))))
    with pytest.raises(Malformed, match="items"):
        records.parse(Many, b"\x02\x7f\x00")
    assert OCTETS_MAX > ITEMS_MAX
