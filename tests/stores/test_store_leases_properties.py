"""The lease book and the server's scripts do the same, step by step, for random histories."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferrule.accounts.users import OnLimit
from ferrule.store.interface import Granted, Lease, LeaseRequest
from ferrule.store.leases import LeaseBook
from ferrule.store.valkey import ValkeySettings, ValkeyStore
from ferrule.store.valkey_url import parse_url
from support.store import FIRST, found, lease, request, who
from support.valkey import ValkeyServer

ADDRESSES = st.integers(-1, 9).map(lambda n: FIRST + n)
SESSIONS = st.sampled_from([f"s{n}" for n in range(9)])
USERS = st.sampled_from(["ada", "bob", "eve"])
RANGES = ((FIRST, FIRST + 2), (FIRST + 5, FIRST + 7))

requests = st.builds(
    request,
    SESSIONS,
    USERS,
    device=st.sampled_from(["laptop", "phone"]),
    since_ms=st.integers(1, 5),
    owner=st.sampled_from(["a-0", "a-1"]),
    limit=st.integers(0, 3),
    on_limit=st.sampled_from(OnLimit),
    sessions_max=st.sampled_from([0, 0, 0, 5]),
    static=st.one_of(st.none(), st.none(), ADDRESSES),
    requested=st.one_of(st.none(), st.just(IPv4Address(0)), ADDRESSES),
    ranges=st.sampled_from([RANGES, RANGES, RANGES[::-1], RANGES[:1], ()]),
)
renewals = st.lists(
    st.builds(lease, SESSIONS, ADDRESSES, user=USERS, since_ms=st.integers(1, 5)), max_size=4
)
steps = st.lists(st.one_of(requests, requests, renewals, SESSIONS), max_size=30)
Step = LeaseRequest | list[Lease] | str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    running = ValkeyServer(tmp_path_factory.mktemp("valkey")).start()
    yield running
    running.stop()


async def compare(server: ValkeyServer, history: list[Step]) -> None:
    book = LeaseBook()
    store = ValkeyStore(secrets.token_hex(6), ValkeySettings(parse_url(server.url)))
    await found(store, who("a-0"))
    try:
        for step in history:
            match step:
                case LeaseRequest():
                    assert await store.admit(step) == book.admit(step, 0)
                case str():
                    book.release(step, 0)
                    await store.release(step)
                case _:
                    assert await store.renew(step) == book.renew(step, 0)
    finally:
        await store.close()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=steps)
def test_the_book_and_the_scripts_agree(server: ValkeyServer, history: list[Step]) -> None:
    asyncio.run(compare(server, history))


@settings(max_examples=150, deadline=None)
@given(history=steps)
def test_no_address_is_leased_twice_and_no_user_exceeds_his_limit(history: list[Step]) -> None:
    book = LeaseBook()
    for now, step in enumerate(history):
        before = set(book.leases)
        match step:
            case LeaseRequest():
                admission = book.admit(step, now)
                held = [x.session for x in book.leases.values() if x.user == step.user]
                if isinstance(admission, Granted) and step.limit and step.session not in before:
                    assert len(held) <= step.limit
            case str():
                book.release(step, now)
            case _:
                book.renew(step, now)
        addresses = [x.address for x in book.leases.values()]
        assert len(addresses) == len(set(addresses))
        assert {x.session for x in book.leases.values()} == set(book.leases)
