"""Epochs, records and heartbeats as octets: built, parsed, and refused when they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.cluster.members import (
    MEMBERS_MAX,
    Epoch,
    EpochId,
    Heartbeat,
    Identity,
    Member,
    MemberName,
    Record,
    build_epoch,
    build_heartbeat,
    build_record,
    parse_epoch,
    parse_heartbeat,
    parse_record,
)
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason

U64 = st.integers(0, 2**64 - 1)
TEXTS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63)
IDENTITIES = st.builds(Identity, TEXTS.map(MemberName), U64)
MEMBERS = st.builds(
    Member, IDENTITIES, st.builds(Address, TEXTS, st.integers(0, 65_535)), st.booleans()
)
EPOCH_IDS = st.builds(EpochId, U64, U64)
EPOCHS = st.builds(
    lambda identifier, members: Epoch(identifier, tuple(sorted(members, key=lambda m: m.name))),
    EPOCH_IDS,
    st.lists(MEMBERS, max_size=5, unique_by=lambda member: member.name),
)
BEATS = st.dictionaries(IDENTITIES, U64, max_size=4)
RECORDS = st.builds(Record, IDENTITIES, U64, st.none() | EPOCHS, BEATS)
HEARTBEATS = st.builds(Heartbeat, IDENTITIES, U64, st.none() | EPOCH_IDS, st.none() | EPOCHS, BEATS)
PAIRS: list[tuple[Any, Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (EPOCHS, build_epoch, parse_epoch),
    (RECORDS, build_record, parse_record),
    (HEARTBEATS, build_heartbeat, parse_heartbeat),
]
A, B = Identity(MemberName("a-0"), 1), Identity(MemberName("a-1"), 2)
EPOCH = Epoch(EpochId(3, 4), (Member(A, Address("10.0.0.1", 7)), Member(B, Address("b", 8), True)))


@pytest.mark.parametrize(("values", "build", "parse"), PAIRS)
def test_what_is_built_parses(
    values: Any, build: Callable[[Any], bytes], parse: Callable[[bytes], Any]
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(values, st.data())
    def check(value: Any, data: st.DataObject) -> None:
        octets = build(value)
        assert parse(octets) == value
        for wrong in (octets[:-1], octets + b"\0", bytes([9]) + octets[1:]):
            with pytest.raises(Malformed) as caught:
                parse(wrong)
            assert caught.value.reason is Reason.RING_MALFORMED
        at = data.draw(st.integers(0, len(octets) - 1))
        changed = octets[:at] + data.draw(st.binary(min_size=1, max_size=2)) + octets[at + 1 :]
        try:
            assert build(parse(changed)) == changed
        except Malformed:
            return

    check()


@pytest.mark.parametrize("parse", [parse_epoch, parse_record, parse_heartbeat])
@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=120))
def test_noise_is_malformed_or_nothing(parse: Callable[[bytes], object], noise: bytes) -> None:
    with pytest.raises(Malformed):
        parse(b"\0" + noise)
    try:
        parse(b"\1" + noise)
    except Malformed:
        return


@pytest.mark.parametrize(
    "members",
    [(Member(B, Address("b", 8)), Member(A, Address("a", 7))), (EPOCH.members[0],) * 2],
    ids=["out of order", "twice"],
)
def test_members_are_in_order_and_there_once(members: tuple[Member, ...]) -> None:
    with pytest.raises(Malformed, match="order"):
        parse_epoch(build_epoch(Epoch(EPOCH.id, members)))


def test_there_is_a_limit_to_members() -> None:
    many = [Member(Identity(MemberName(f"a-{n:03}"), 1), Address("a", 7)) for n in range(65)]
    assert len(parse_epoch(build_epoch(Epoch(EPOCH.id, tuple(many[:MEMBERS_MAX])))).members) == 64
    with pytest.raises(Malformed, match="65 members"):
        parse_epoch(build_epoch(Epoch(EPOCH.id, tuple(many))))


def test_one_heartbeat_of_a_large_ring_fits_a_datagram() -> None:
    names = [Identity(MemberName(f"gateway-vpn-{n}"), 2**64 - 1) for n in range(10, 20)]
    members = tuple(Member(name, Address("10.244.100.200", 4501)) for name in names)
    epoch = Epoch(EpochId(1, 1), members)
    heartbeat = Heartbeat(names[0], 9, epoch.id, epoch, dict.fromkeys(names, 2**60))
    assert len(build_heartbeat(heartbeat)) < 1200


@pytest.mark.parametrize("name", ["", "a" * 64, "a b\n", "ö"])
def test_names_that_cannot_be_one(name: str) -> None:
    record = Record(Identity(MemberName(name), 1), 1, None)
    with pytest.raises(Malformed, match="name"):
        parse_record(build_record(record))


def test_an_epoch_knows_its_members() -> None:
    assert EPOCH.find(B.name) == EPOCH.members[1]
    assert EPOCH.find(MemberName("c")) is None
    assert EPOCH.lists(A)
    assert not EPOCH.lists(Identity(A.name, 9))
    assert EPOCH.owners == (A.name,), "who is draining owns nothing"


def test_a_mark_says_which_beat_of_which_life() -> None:
    assert Record(A, 7, None).mark == b"a-0/0000000000000001:7"
