from __future__ import annotations

import pytest

from ferrule.accounts.users import Directory, User, judge
from ferrule.accounts.verifiers import parse_verifier
from ferrule.core.reasons import Reason
from support.accounts import nt_text, scrypt_text, user


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("alice", "alice"),
        ("Alice", None),
        ("CORP\\alice", "alice"),
        ("A\\B\\alice", "alice"),
        ("alice@example.org", "alice@example.org"),
        ("alice@example.com", None),
        ("\\alice", "alice"),
        ("alice\\", None),
        ("", None),
    ],
)
def test_lookup(name: str, found: str | None) -> None:
    directory = Directory([user("alice"), user("alice@example.org")])
    account = directory.lookup(name)
    assert (account.username if account else None) == found


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="alice"):
        Directory([user("alice"), user("alice")])


@pytest.mark.parametrize(
    ("enabled", "valid_until", "reason"),
    [
        (True, None, None),
        (True, 1000.5, None),
        (True, 1000.0, Reason.USER_EXPIRED),
        (True, 10.0, Reason.USER_EXPIRED),
        (False, None, Reason.USER_DISABLED),
        (False, 10.0, Reason.USER_DISABLED),
    ],
)
def test_judge(enabled: bool, valid_until: float | None, reason: Reason | None) -> None:
    assert judge(user(enabled=enabled, valid_until=valid_until), 1000.0) is reason


def test_dummies_have_the_shapes_of_the_users_in_about_their_shares() -> None:
    nt = [User(f"n{i}", parse_verifier(nt_text("x"))) for i in range(30)]
    slow = [User(f"s{i}", parse_verifier(scrypt_text("x"))) for i in range(10)]
    directory = Directory(nt + slow)
    names = [f"unknown{i}" for i in range(2000)]
    share = sum(directory.dummies(name)[0].scrypt is not None for name in names) / len(names)
    assert 0.15 < share < 0.35
    assert all(directory.dummies(name) is directory.dummies(name) for name in names[:50])


def test_a_user_with_two_passwords_makes_dummies_of_two() -> None:
    rotating = User("a", parse_verifier(nt_text("x")), previous=parse_verifier(nt_text("y")))
    assert len(Directory([rotating]).dummies("nobody")) == 2


def test_an_empty_directory_has_a_dummy() -> None:
    directory = Directory()
    assert len(directory) == 0
    assert directory.dummies("nobody")
