"""What pods say is taken as far as it can be understood."""

from __future__ import annotations

from ferrule_operator.reports import (
    Report,
    is_current,
    newest,
    newest_connection,
    parse_report,
    pool_free,
    revisions_of,
)


def test_a_whole_report() -> None:
    answer = {
        "version": "0.1.0", "ready": True, "revisions": {"config": 5, "users": 7}, "sessions": 2,
        "pool_free": 9, "users": {"ada": 2}, "connected": {"ada": 12.5}, "weak_sas": {"md5": 1},
        "problem": "", "later": {"field": 1},
    }  # fmt: skip
    report = parse_report(answer, 3.0)
    assert report == Report(
        3.0, "0.1.0", True, {"config": 5, "users": 7}, 2, 9, {"ada": 2}, {"ada": 12.5}, {"md5": 1}
    )


def test_fields_of_another_type_count_as_not_said() -> None:
    answer = {"version": 1, "ready": "yes", "revisions": [1], "sessions": "2", "users": {"a": "x"},
              "pool_free": True, "connected": None}  # fmt: skip
    assert parse_report(answer, 3.0) == Report(3.0)


def test_what_is_said_of_the_store() -> None:
    store = {"type": "Valkey", "up": False, "why": "connection refused"}
    report = parse_report({"store": store, "members": ["b", "a", 3], "pool_used": 4}, 3.0)
    assert report == Report(
        3.0, store_up=False, store_problem="connection refused", members=("a", "b"), pool_used=4
    )
    assert parse_report({"store": {"type": "Valkey", "up": True}}, 3.0).store_up is True
    for other in ("up", None, {"type": "Memory", "up": True}, {"type": "Valkey", "up": 1}):
        assert parse_report({"store": other, "members": "ab"}, 3.0) == Report(3.0)


def test_what_was_said_long_before_the_others_does_not_count() -> None:
    reports = {"a": Report(100.0), "b": Report(41.0), "c": Report(40.0)}
    assert sorted(newest(reports)) == ["a", "b"]
    assert newest({}) == {}


def test_free_addresses_of_several_pods() -> None:
    assert pool_free([]) == 0
    assert pool_free([Report(0, pool_free=7), Report(0, pool_free=5, pool_used=1)]) == 5
    own = [Report(0, pool_free=90, pool_used=10), Report(0, pool_free=95, pool_used=5)]
    assert pool_free(own) == 85


def test_who_runs_on_what() -> None:
    wanted = revisions_of({"config.revision": "5", "users.revision": "7", "gateway.yaml": "x"})
    assert wanted == {"config": 5, "users": 7}
    assert is_current(Report(0, revisions={"config": 5, "users": 8}), wanted)
    assert not is_current(Report(0, revisions={"config": 5, "users": 6}), wanted)
    assert not is_current(Report(0, revisions={"config": 9}), wanted)
    assert is_current(Report(0), {})


def test_the_last_connection() -> None:
    reports = [Report(0, connected={"a": 3.0}), Report(0, connected={"a": 5.0}), Report(0)]
    assert newest_connection(reports, "a") == 5.0
    assert newest_connection(reports, "b") == 0.0
    assert newest_connection([], "a") == 0.0
