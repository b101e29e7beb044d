from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ferrule.accounts.sessions import Admitted, Limits, Sessions
from ferrule.accounts.users import OnLimit, User
from ferrule.core.credentials import Denied
from ferrule.core.reasons import Reason
from support.accounts import user

HOME, CAFE = "192.0.2.1", "198.51.100.7"
LIMITS = Limits(sessions_per_user=2, sessions_max=0)


def admit(
    sessions: Sessions,
    key: object,
    who: User,
    source: str = HOME,
    identity: str = "",
    limits: Limits = LIMITS,
) -> Admitted | Denied:
    return sessions.admit(key, who, source, 0.0, limits, identity=identity)


def test_replace_oldest_ends_as_many_as_needed() -> None:
    sessions, alice = Sessions(), user()
    assert [admit(sessions, key, alice) for key in (1, 2, 3)] == [
        Admitted(),
        Admitted(),
        Admitted((1,)),
    ]
    assert sessions.of_user("alice") == (2, 3)
    alice.max_sessions = 1  # lowered by a reload
    assert admit(sessions, 4, alice) == Admitted((2, 3))
    assert sessions.of_user("alice") == (4,)


@pytest.mark.parametrize(("max_sessions", "admitted"), [(None, 2), (0, 5), (1, 1), (3, 3)], ids=str)
def test_the_users_limit_goes_before_the_gateways(max_sessions: int | None, admitted: int) -> None:
    sessions = Sessions()
    alice = user(max_sessions=max_sessions, on_limit=OnLimit.REJECT_NEW)
    outcomes = [admit(sessions, key, alice, f"192.0.2.{key}") for key in range(5)]
    assert outcomes == [Admitted()] * admitted + [Denied(Reason.TOO_MANY_SESSIONS)] * (5 - admitted)


def test_reject_new_replaces_the_stale_session_of_the_same_device_only() -> None:
    sessions = Sessions()
    alice = user(max_sessions=1, on_limit=OnLimit.REJECT_NEW)
    assert admit(sessions, 1, alice, HOME, "192.168.1.5") == Admitted()
    assert admit(sessions, 2, alice, CAFE, "192.168.1.5") == Denied(Reason.TOO_MANY_SESSIONS)
    assert admit(sessions, 3, alice, HOME, "192.168.1.6") == Denied(Reason.TOO_MANY_SESSIONS)
    assert admit(sessions, 4, alice, HOME, "192.168.1.5") == Admitted((1,))
    assert sessions.of_user("alice") == (4,)


def test_a_static_address_allows_one_session_so_that_it_can_move() -> None:
    sessions = Sessions()
    alice = user(max_sessions=0, static_ip=IPv4Address("10.0.0.9"))
    assert admit(sessions, 1, alice) == Admitted()
    assert admit(sessions, 2, alice, CAFE) == Admitted((1,))


def test_the_gateways_limit_counts_what_is_replaced() -> None:
    limits = Limits(sessions_per_user=1, sessions_max=2)
    sessions, alice, bob, carol = Sessions(), user("alice"), user("bob"), user("carol")
    assert admit(sessions, 1, alice, limits=limits) == Admitted()
    assert admit(sessions, 2, bob, limits=limits) == Admitted()
    assert admit(sessions, 3, carol, limits=limits) == Denied(Reason.SESSIONS_LIMIT)
    assert admit(sessions, 4, bob, limits=limits) == Admitted((2,))
    assert len(sessions) == 2
    sessions.release(1)
    assert admit(sessions, 3, carol, limits=limits) == Admitted()


def test_a_refusal_ends_nobody() -> None:
    limits = Limits(sessions_per_user=0, sessions_max=1)
    sessions = Sessions()
    admit(sessions, 1, user("alice"), limits=limits)
    admit(sessions, 2, user("bob"), limits=limits)
    assert list(sessions) == [1]


def test_asking_again_and_releasing_twice_change_nothing() -> None:
    sessions, alice = Sessions(), user(max_sessions=1)
    assert admit(sessions, 1, alice) == admit(sessions, 1, alice) == Admitted()
    sessions.release(1)
    sessions.release(1)
    assert len(sessions) == 0
    assert sessions.username(1) is None


def test_a_key_that_comes_back_as_another_user_counts_for_that_one() -> None:
    sessions = Sessions()
    admit(sessions, 1, user("alice"))
    admit(sessions, 1, user("bob"))
    assert sessions.of_user("alice") == ()
    assert sessions.username(1) == "bob"
