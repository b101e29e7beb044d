"""Inner addresses of others: the latest word counts, for a while, of members only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferrule.cluster.addresses import (
    BELIEVED_SECONDS,
    CHUNK,
    AddressBook,
    build_addresses,
    parse_addresses,
)
from ferrule.cluster.members import MemberName
from ferrule.core.errors import Malformed

ADA, BOB = MemberName("ada"), MemberName("bob")
ONE, TWO = b"\x0a\x14\x00\x02", b"\x0a\x14\x00\x03"


def test_who_has_what() -> None:
    book = AddressBook()
    book.hear(ADA, True, [ONE, TWO], 0.0)
    book.hear(BOB, True, [TWO], 1.0)
    assert (book.find(ONE), book.find(TWO)) == (ADA, BOB)
    assert ONE in book
    assert book.counts() == {"ada": 1, "bob": 1}
    book.hear(ADA, False, [ONE, TWO], 2.0)  # the second is another's by now
    assert ONE not in book
    assert book.find(TWO) is BOB
    assert len(book) == 1


def test_what_is_not_said_again_is_forgotten_and_who_left_has_nothing() -> None:
    book = AddressBook()
    book.hear(ADA, True, [ONE], 0.0)
    book.hear(BOB, True, [TWO], 5.0)
    book.expire([ADA, BOB], BELIEVED_SECONDS)
    assert book.find(ONE) is None
    assert book.find(TWO) is BOB
    book.expire([ADA], 6.0)
    assert len(book) == 0


@given(st.booleans(), st.lists(st.binary(min_size=4, max_size=4), max_size=3 * CHUNK))
def test_what_is_built_parses(here: bool, addresses: list[bytes]) -> None:
    bodies = list(build_addresses(here, addresses))
    assert [a for body in bodies for a in parse_addresses(body)[1]] == addresses
    assert all(parse_addresses(body)[0] is here for body in bodies)
    assert all(len(body) <= 1 + 4 * CHUNK for body in bodies)


@given(st.binary(max_size=12))
def test_noise_parses_or_is_malformed(noise: bytes) -> None:
    try:
        here, addresses = parse_addresses(noise)
    except Malformed:
        return
    assert b"".join(build_addresses(here, addresses)) in (noise, b"")
