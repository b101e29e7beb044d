from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from ferrule.accounts.admission import Accounts, Check, Ending, Settings
from ferrule.accounts.lockout import FREE_FAILURES
from ferrule.accounts.policy import EVERYWHERE
from ferrule.accounts.pools import ANY_ADDRESS
from ferrule.accounts.sessions import Limits
from ferrule.accounts.users import User
from ferrule.accounts.verifiers import parse_verifier
from ferrule.core.credentials import Accepted, Denied, Proof, Verdict
from ferrule.core.reasons import Reason
from support.accounts import METHODS, nt_text, pool, proof, scrypt_text, scrypt_user, settings, user

HOME, CAFE = "192.0.2.1", "198.51.100.7"
WALL = 1_800_000_000.0


def judge(accounts: Accounts, shown: Proof, source: str = HOME, now: float = 0.0) -> Verdict:
    return accounts.judge(shown, source, now, WALL)


def log_in(accounts: Accounts, key: object, name: str = "alice", password: str = "secret") -> None:
    """Right through to an address."""
    verdict = judge(accounts, proof("mschapv2", name, password))
    assert isinstance(verdict, Accepted)
    assert isinstance(accounts.admit(key, verdict.username, HOME, 0.0), tuple)
    assert isinstance(accounts.lease(key, name, ANY_ADDRESS, 0.0), IPv4Address)


@pytest.mark.parametrize("method", METHODS)
def test_right_wrong_and_unknown(method: str) -> None:
    accounts = Accounts(settings(user()))
    right = judge(accounts, proof(method, "CORP\\alice", "secret"))
    assert isinstance(right, Accepted)
    assert right.username == "alice"
    assert judge(accounts, proof(method, "alice", "x")) == Denied(Reason.WRONG_PASSWORD)
    assert judge(accounts, proof(method, "bob", "secret")) == Denied(Reason.UNKNOWN_USER)
    endless = proof(method, "a" * 10_000, "x")
    assert judge(accounts, endless) == Denied(Reason.UNKNOWN_USER)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"enabled": False}, Reason.USER_DISABLED), ({"valid_until": WALL}, Reason.USER_EXPIRED)],
)
def test_only_the_right_password_learns_what_is_wrong_with_the_account(
    fields: dict[str, object], reason: Reason
) -> None:
    accounts = Accounts(settings(user(**fields)))
    assert judge(accounts, proof("mschapv2", "alice", "x")) == Denied(Reason.WRONG_PASSWORD)
    assert judge(accounts, proof("mschapv2", "alice", "secret")) == Denied(reason)


def test_unknown_names_cost_what_known_ones_cost() -> None:
    accounts = Accounts(settings(scrypt_user()))
    known = accounts.prepare(proof("pap", "alice", "x"), HOME, 0.0, WALL)
    unknown = accounts.prepare(proof("pap", "bob", "x"), HOME, 0.0, WALL)
    assert isinstance(known, Check)
    assert isinstance(unknown, Check)
    assert known.slow
    assert unknown.slow
    assert known.run() == unknown.run() == Denied(Reason.WRONG_PASSWORD)
    assert accounts.conclude(unknown, Denied(Reason.WRONG_PASSWORD), 0.0) == Denied(
        Reason.UNKNOWN_USER
    )


def test_both_passwords_work_during_a_rotation() -> None:
    rotating = user(
        verifier=parse_verifier(scrypt_text("new")), previous=parse_verifier(nt_text("old"))
    )
    accounts = Accounts(settings(rotating))
    for password in ("new", "old"):
        assert isinstance(judge(accounts, proof("pap", "alice", password)), Accepted)
    assert isinstance(judge(accounts, proof("mschapv2", "alice", "old")), Accepted)
    assert judge(accounts, proof("mschapv2", "alice", "new")) == Denied(Reason.WRONG_PASSWORD)
    assert judge(accounts, proof("chap", "alice", "old")) == Denied(
        Reason.METHOD_NEEDS_OTHER_VERIFIER
    )


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_lock_out_grows_for_the_pair_and_ends(name: str) -> None:
    accounts = Accounts(settings(user()))
    for _ in range(FREE_FAILURES):
        verdict = judge(accounts, proof("mschapv2", f"X\\{name}", "wrong"))
        assert isinstance(verdict, Denied)
        assert verdict.reason is not Reason.LOCKED_OUT
    locked = judge(accounts, proof("mschapv2", name, "secret"), now=1.0)
    assert locked == Denied(Reason.LOCKED_OUT)
    if name == "alice":
        elsewhere = judge(accounts, proof("mschapv2", name, "secret"), CAFE, now=1.0)
        assert isinstance(elsewhere, Accepted)
        later = judge(accounts, proof("mschapv2", name, "secret"), now=2.0)
        assert isinstance(later, Accepted)
        assert len(accounts.lockout) == 0


def test_tries_elsewhere_count_here() -> None:
    accounts = Accounts(settings(user()))
    for _ in range(FREE_FAILURES):
        accounts.note_try("X\\alice", HOME, right=False, now=0.0)
    locked = judge(accounts, proof("mschapv2", "alice", "secret"), now=1.0)
    assert locked == Denied(Reason.LOCKED_OUT)
    accounts.note_try("alice", HOME, right=True, now=1.0)
    assert isinstance(judge(accounts, proof("mschapv2", "alice", "secret"), now=1.0), Accepted)


def test_many_tries_at_once_gain_nothing() -> None:
    accounts = Accounts(settings(scrypt_user()))
    prepared = [
        accounts.prepare(proof("pap", "alice", f"guess{i}"), HOME, 0.0, WALL) for i in range(50)
    ]
    assert sum(isinstance(check, Check) for check in prepared) == FREE_FAILURES


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_a_method_that_cannot_work_is_no_guess(name: str) -> None:
    accounts = Accounts(settings(user(verifier=parse_verifier(nt_text("secret")))))
    for _ in range(3 * FREE_FAILURES):
        verdict = judge(accounts, proof("chap", name, "secret"))
        assert isinstance(verdict, Denied)
        assert verdict.reason in (Reason.METHOD_NEEDS_OTHER_VERIFIER, Reason.UNKNOWN_USER)


def test_an_account_that_changes_while_the_check_runs() -> None:
    accounts = Accounts(settings(scrypt_user(), scrypt_user("bob")))
    checks = []
    for name in ("alice", "bob"):
        check = accounts.prepare(proof("pap", name, "secret"), HOME, 0.0, WALL)
        assert isinstance(check, Check)
        checks.append((check, check.run()))
    accounts.replace(settings(scrypt_user(password="other")), WALL)
    assert accounts.conclude(*checks[0], 0.0) == Denied(Reason.WRONG_PASSWORD)
    assert accounts.conclude(*checks[1], 0.0) == Denied(Reason.UNKNOWN_USER)


def test_a_made_up_acceptance_is_not_believed() -> None:
    accounts = Accounts(settings(user()))
    check = accounts.prepare(proof("pap", "alice", "wrong"), HOME, 0.0, WALL)
    assert isinstance(check, Check)
    assert accounts.conclude(check, Accepted("alice"), 0.0) == Denied(Reason.UNKNOWN_USER)


def test_the_whole_way_and_its_end() -> None:
    accounts = Accounts(settings(user()))
    log_in(accounts, 1)
    assert accounts.gateway_address == IPv4Address("10.0.0.1")
    assert accounts.pool_use()[0].leased == 1
    accounts.release(1)
    accounts.release(1)
    assert accounts.pool_use()[0].leased == 0
    assert accounts.lease(1, "alice", ANY_ADDRESS, 0.0) is Reason.USER_REMOVED


def test_no_address_without_admission_or_for_another_name() -> None:
    accounts = Accounts(settings(user(), user("bob")))
    assert accounts.lease(1, "alice", ANY_ADDRESS, 0.0) is Reason.USER_REMOVED
    log_in(accounts, 1)
    assert accounts.lease(1, "bob", ANY_ADDRESS, 0.0) is Reason.USER_REMOVED
    assert accounts.admit(2, "nobody", HOME, 0.0) == Denied(Reason.UNKNOWN_USER)


def test_a_static_address_moves_from_the_stale_session_to_the_new_one() -> None:
    address = IPv4Address("10.0.0.77")
    accounts = Accounts(settings(user(static_ip=address)))
    log_in(accounts, 1)
    assert accounts.admit(2, "alice", HOME, 0.0) == (1,)
    assert accounts.lease(2, "alice", ANY_ADDRESS, 0.0) == address
    accounts.release(1)  # the gateway ends the old one afterwards
    assert accounts.pools.holder(address) == 2


def test_limits_come_from_the_settings() -> None:
    accounts = Accounts(settings(user(), limits=Limits(sessions_per_user=1)))
    log_in(accounts, 1)
    assert accounts.admit(2, "alice", HOME, 0.0) == (1,)


def test_policy_and_expiry_of_the_user() -> None:
    accounts = Accounts(settings(user(rate_up=9, valid_until=WALL)))
    assert accounts.policy("alice").rate_up == 9
    assert accounts.policy("nobody").denied == (EVERYWHERE,)
    assert accounts.valid_until("alice") == WALL
    assert accounts.valid_until("nobody") is None


SAME = parse_verifier(nt_text("secret"))
RELOADS: dict[str, tuple[tuple[User, ...], Reason | None]] = {
    "nothing": ((user(),), None),
    "another form of the same password": ((user(verifier=SAME),), None),
    "removed": ((), Reason.USER_REMOVED),
    "renamed": ((user("alicia"),), Reason.USER_REMOVED),
    "disabled": ((user(enabled=False),), Reason.USER_REMOVED),
    "expired": ((user(valid_until=WALL - 1),), Reason.USER_EXPIRED),
    "expires later": ((user(valid_until=WALL + 1),), None),
    "new password": ((user(password="other"),), Reason.CREDENTIALS_CHANGED),
    "new password, old one accepted": ((user(password="other", previous=SAME),), None),
    "other policy": ((user(rate_up=5, max_sessions=1),), None),
}


@pytest.mark.parametrize(("users", "reason"), RELOADS.values(), ids=RELOADS.keys())
def test_reload_ends_only_whom_it_must(users: tuple[User, ...], reason: Reason | None) -> None:
    accounts = Accounts(settings(user()))
    log_in(accounts, 1)
    endings = accounts.replace(settings(*users), WALL)
    assert endings == (() if reason is None else (Ending(1, reason),))
    assert accounts.pools.lease_of(1) is not None  # until the caller releases it


def test_the_session_counts_by_the_password_that_it_came_with() -> None:
    old, new = parse_verifier(nt_text("old")), parse_verifier(nt_text("new"))
    accounts = Accounts(settings(user(verifier=new, previous=old)))
    log_in(accounts, "came with old", password="old")
    log_in(accounts, "came with new", password="new")
    endings = accounts.replace(settings(user(verifier=new)), WALL)
    assert endings == (Ending("came with old", Reason.CREDENTIALS_CHANGED),)


def test_stale_finds_the_expired_as_time_goes_by() -> None:
    accounts = Accounts(settings(user(valid_until=WALL + 10)))
    log_in(accounts, 1)
    assert accounts.stale(WALL + 9) == ()
    assert accounts.stale(WALL + 10) == (Ending(1, Reason.USER_EXPIRED),)


@pytest.mark.parametrize(
    "wrong",
    [
        Settings(users=(user(), user()), pools=(pool(),)),
        Settings(users=(), pools=()),
        Settings(users=(), pools=(pool(), pool("10.0.0.0/30", "b"))),
    ],
)
def test_a_reload_that_contradicts_itself_changes_nothing(wrong: Settings) -> None:
    accounts = Accounts(settings(user()))
    log_in(accounts, 1)
    with pytest.raises(ValueError, match=r"pool|called"):
        accounts.replace(wrong, WALL)
    with pytest.raises(ValueError, match=r"pool|called"):
        Accounts(wrong)
    assert len(accounts.users) == 1
    assert accounts.stale(WALL) == ()


def test_proofs_without_admission_do_not_pile_up() -> None:
    accounts = Accounts(settings(user()))
    for i in range(3000):
        shown = proof("chap", "alice", "secret")
        assert isinstance(judge(accounts, shown, f"10.{i >> 8}.{i & 255}.1"), Accepted)
    assert len(accounts._proved) <= 1000


# --- where a store decides


STORE_GAVE = IPv4Address("10.0.0.77")


def test_terms_are_what_a_store_needs_to_decide() -> None:
    fixed = IPv4Address("10.0.0.5")
    accounts = Accounts(
        settings(
            user("alice", static_ip=fixed),
            user("bob", max_sessions=0),
            user("carol"),
            cidr="10.0.0.0/29",
            limits=Limits(sessions_per_user=3, sessions_max=9),
        )
    )
    alice, bob, carol = (accounts.terms(name) for name in ("alice", "bob", "carol"))
    assert alice is not None
    assert bob is not None
    assert carol is not None
    assert (alice.limit, alice.static_ip) == (1, fixed)  # a static address can be held once
    assert (bob.limit, bob.static_ip, bob.sessions_max) == (0, None, 9)
    assert carol.limit == 3
    assert [(str(r.first), str(r.last)) for r in carol.ranges] == [
        ("10.0.0.2", "10.0.0.4"),  # not the network, not ours, not alice's, not the broadcast
        ("10.0.0.6", "10.0.0.6"),
    ]
    assert accounts.terms("nobody") is None


def test_what_the_store_granted_counts_here_too() -> None:
    accounts = Accounts(settings(user()))
    assert isinstance(judge(accounts, proof("mschapv2", "alice", "secret")), Accepted)
    accounts.adopt("s1", "alice", HOME, "id", STORE_GAVE, 5.0)
    assert accounts.sessions.of_user("alice") == ("s1",)
    assert accounts.sessions.device("s1") == (HOME, "id")
    assert accounts.pools.holder(STORE_GAVE) == "s1"
    assert accounts.pool_use()[0].leased == 1
    accounts.adopt("s1", "alice", HOME, "id", STORE_GAVE, 5.0)
    assert accounts.pool_use()[0].leased == 1
    # Another session of ours gets the address: the store says that the first has it no more.
    accounts.adopt("s2", "alice", CAFE, "id", STORE_GAVE, 6.0)
    assert accounts.pools.holder(STORE_GAVE) == "s2"
    accounts.release("s1")
    assert accounts.pools.holder(STORE_GAVE) == "s2"
    accounts.forget("s2")
    accounts.forget("s2")
    assert not accounts.sessions.of_user("alice")
    assert accounts.pool_use()[0].leased == 0


def test_adopted_sessions_stand_in_the_order_of_their_age() -> None:
    accounts = Accounts(settings(user()))
    for key, since in (("young", 30.0), ("old", 10.0), ("middle", 20.0)):
        accounts.adopt(key, "alice", HOME, "", IPv4Address("10.0.0.9") + int(since), since)
    assert accounts.sessions.of_user("alice") == ("old", "middle", "young")


def test_an_address_outside_of_all_pools_can_be_adopted() -> None:
    accounts = Accounts(settings(user()))
    outside = IPv4Address("172.16.0.1")
    accounts.adopt("s", "alice", HOME, "", outside, 0.0)
    assert accounts.pools.holder(outside) == "s"
    assert accounts.pool_use()[0].leased == 0
    accounts.release("s")
    assert accounts.pools.holder(outside) is None


@pytest.mark.parametrize("verifier", [nt_text("secret"), scrypt_text("secret"), "plain:secret"])
def test_a_changed_password_ends_a_session_that_moved_meanwhile(verifier: str) -> None:
    alice = user(verifier=parse_verifier(verifier))
    there = Accounts(settings(alice))
    judge(there, proof("pap", "alice", "secret"))
    there.adopt("s", "alice", HOME, "", STORE_GAVE, 0.0)
    digests = there.digests("s")
    assert digests

    here = Accounts(settings(user(verifier=parse_verifier(verifier))))
    here.adopt("s", "alice", HOME, "", STORE_GAVE, 0.0, digests)
    assert here.stale_reason("s", WALL) is None
    assert here.digests("s") == digests  # it may move on

    changed = Accounts(settings(user(verifier=parse_verifier(nt_text("another")))))
    changed.adopt("s", "alice", HOME, "", STORE_GAVE, 0.0, digests)
    assert changed.stale_reason("s", WALL) is Reason.CREDENTIALS_CHANGED
    assert changed.stale(WALL) == (Ending("s", Reason.CREDENTIALS_CHANGED),)


def test_a_session_of_a_removed_user_is_adopted_only_to_be_ended() -> None:
    accounts = Accounts(settings(user("bob")))
    accounts.adopt("s", "alice", HOME, "", STORE_GAVE, 0.0, (b"digest",))
    assert accounts.stale(WALL) == (Ending("s", Reason.USER_REMOVED),)
    assert accounts.stale_reason("another", WALL) is None
    assert accounts.digests("another") == ()
