"""Bundles: revisions that only grow, users spread over Secrets, what the live Secrets say."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule_operator.bundles import (
    ONE_SHARD_USERS_MAX,
    SHARDS,
    Account,
    Bundle,
    shard_of,
    shards_for,
    stored_users,
    users_bundles,
    with_revision,
)

NOW = 1_790_000_000.5


def test_a_revision_is_kept_while_nothing_changes() -> None:
    bundle = Bundle("users", {"users.json": "{}"})
    first = with_revision(bundle, {}, NOW)
    assert first == {"users.json": "{}", "users.revision": "1790000000500"}
    assert with_revision(bundle, first, NOW + 99) == first


def test_a_revision_grows_also_when_clocks_go_back() -> None:
    first = with_revision(Bundle("users", {"users.json": "a"}), {}, NOW)
    second = with_revision(Bundle("users", {"users.json": "b"}), first, NOW - 9999)
    assert int(second["users.revision"]) == int(first["users.revision"]) + 1


def test_a_file_too_many_or_a_bad_revision_is_a_change() -> None:
    bundle = Bundle("users", {"users.json": "a"})
    for live in ({"users.json": "a", "x": "", "users.revision": "5"},
                 {"users.json": "a", "users.revision": "new"}, {"users.json": "a"}):  # fmt: skip
        assert with_revision(bundle, live, NOW)["users.revision"] == "1790000000500"


def test_secrets_of_users_only_become_more() -> None:
    assert shards_for(0, 0) == shards_for(10, 1) == 1
    assert shards_for(ONE_SHARD_USERS_MAX + 1, 1) == SHARDS
    assert shards_for(3, SHARDS) == SHARDS


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text(min_size=1, max_size=12), max_size=40), st.sampled_from([1, SHARDS]))
def test_every_user_is_in_one_bundle_and_comes_back(names: set[str], shards: int) -> None:
    accounts = [
        Account(name, {"enabled": False}, f"nt:{i:032x}", "nt:" + "f" * 32 if i % 2 else "", 9.0)
        for i, name in enumerate(sorted(names))
    ]
    bundles = users_bundles(accounts, shards)
    assert len(bundles) == shards
    for i, bundle in enumerate(bundles):
        users = json.loads(next(t for n, t in bundle.files.items() if n.startswith("users")
                                and not n.endswith("overlaps.json")))["users"]  # fmt: skip
        assert all(shard_of(row["username"], shards) == i for row in users)
    together = {name: text for bundle in bundles for name, text in bundle.files.items()}
    stored = stored_users(together)
    assert {name: row.verifier for name, row in stored.items()} == {
        account.username: account.verifier for account in accounts
    }
    for account in accounts:
        row = stored[account.username]
        assert (row.previous, row.previous_until) == (
            account.previous,
            account.previous_until if account.previous else 0.0,
        )


def test_what_cannot_be_read_counts_as_not_there() -> None:
    assert stored_users({"users.json": "{", "x.json": "[]", "y.json": '{"users": 1}'}) == {}
    assert stored_users({"users.json": '{"users": [1, {"username": "a"}]}'}) == {}


def test_secrets_are_masked_in_reprs() -> None:
    account = Account("ada", {}, "nt:secret", "nt:before", 1.0)
    assert "secret" not in repr(account)
    assert "before" not in repr(account)
    assert "secret" not in repr(Bundle("config", {"psk": "secret"}))
