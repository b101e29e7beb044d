"""Leases in time: what expires, and what does not when nobody could renew it."""

from __future__ import annotations

from ferrule.core.reasons import Reason
from ferrule.store.interface import Granted, Refused, Renewal
from ferrule.store.leases import GAP_MS, LEASE_MS, OVER_MS, LeaseBook
from support.store import FIRST, lease, request


def leased(book: LeaseBook, session: str, user: str, now: int) -> Granted:
    admission = book.admit(request(session, user), now)
    assert isinstance(admission, Granted)
    return admission


def keep_asking(book: LeaseBook, start: int, end: int, *sessions: str) -> None:
    """The store is in use all the time; `sessions` are renewed."""
    for now in range(start, end, GAP_MS // 2):
        book.renew([book.leases[session] for session in sessions], now)


def test_what_is_not_renewed_expires() -> None:
    book = LeaseBook()
    leased(book, "kept", "ada", 0)
    leased(book, "lost", "bob", 0)
    keep_asking(book, 0, LEASE_MS, "kept")
    assert leased(book, "new", "eve", LEASE_MS - 1).address == FIRST + 2
    assert book.leases.keys() == {"kept", "lost", "new"}
    leased(book, "newer", "joe", LEASE_MS)
    assert book.leases.keys() == {"kept", "new", "newer"}
    assert book.renew([lease("lost", FIRST + 1, user="bob")], LEASE_MS + 1) == Renewal()


def test_after_a_pause_everybody_has_time_to_come_back() -> None:
    book = LeaseBook()
    leased(book, "s1", "ada", 0)
    hour = 3_600_000  # the store was stopped, or its clock jumped
    assert leased(book, "s2", "bob", hour).address == FIRST + 1
    assert book.leases.keys() == {"s1", "s2"}
    keep_asking(book, hour, hour + LEASE_MS, "s2")
    leased(book, "s3", "eve", hour + LEASE_MS)
    assert book.leases.keys() == {"s2", "s3"}


def test_an_owner_that_lives_and_is_not_heard_keeps_what_it_has() -> None:
    book = LeaseBook()
    for session, owner in (("cut off", "a-1/01"), ("dead", "a-2/02"), ("mine", "a-0/00")):
        book.admit(request(session, session, owner=owner), 0)
    keep_asking(book, 0, LEASE_MS, "mine")
    book.admit(request("new", "joe"), LEASE_MS, {"a-1/01": GAP_MS - 1})
    assert book.leases.keys() == {"cut off", "mine", "new"}
    keep_asking(book, LEASE_MS, 2 * LEASE_MS, "mine", "new")
    # It has said that this is no more its own.
    book.admit(request("newer", "joe"), 2 * LEASE_MS, {"a-1/01": LEASE_MS + GAP_MS})
    assert book.leases.keys() == {"mine", "new", "newer"}


def test_an_address_is_not_kept_for_ever_for_a_session_that_never_hears() -> None:
    book = LeaseBook()
    alone = ((FIRST, FIRST),)
    book.admit(request("s1", limit=1, ranges=alone, owner="a-1/01"), 0)
    book.admit(request("s2", limit=1, ranges=alone), 0)
    book.release("s2", 0)
    keep_asking(book, 0, LEASE_MS)
    newcomer = request("t1", "bob", ranges=alone)
    assert book.admit(newcomer, LEASE_MS - 1) == Refused(Reason.POOL_EXHAUSTED)
    assert book.admit(newcomer, LEASE_MS, {"a-1/01": 0}) == Refused(Reason.POOL_EXHAUSTED)
    assert book.admit(newcomer, LEASE_MS) == Granted(FIRST)


def test_what_is_over_is_forgotten_in_the_end() -> None:
    book = LeaseBook()
    address = leased(book, "s1", "ada", 0).address
    book.release("s1", 0)
    late = lease("s1", address)
    assert book.renew([late], OVER_MS - 1) == Renewal(lost=("s1",))
    assert book.renew([late], OVER_MS) == Renewal()


def test_a_clock_that_goes_back_ends_nothing() -> None:
    book = LeaseBook()
    leased(book, "s1", "ada", 10 * LEASE_MS)
    leased(book, "s2", "bob", 0)
    assert book.leases.keys() == {"s1", "s2"}


def test_memory_for_users_is_bounded_by_addresses() -> None:
    book = LeaseBook()
    for n in range(1000):
        admission = book.admit(request(f"s{n}", f"user {n}"), n)
        assert isinstance(admission, Granted)
        book.release(f"s{n}", n)
    assert len(book.dump().last_address) <= 8


def test_a_book_is_written_down_and_read_again() -> None:
    book, again = LeaseBook(), LeaseBook()
    for n in range(6):
        leased(book, f"s{n}", f"user {n}", n)
    for n in (4, 1):
        book.release(f"s{n}", 10)
    again.load(book.dump(), 1_000_000)
    assert again.dump() == book.dump()
    for session, user in (("a", "new"), ("b", "user 1"), ("c", "newer"), ("d", "newest")):
        assert leased(again, session, user, 1_000_001) == leased(book, session, user, 11)
