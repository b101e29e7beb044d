"""Who becomes an account, and why somebody does not."""

from __future__ import annotations

from typing import Any

import pytest

from ferrule_operator.accounts import UserPlan
from ferrule_operator.objects import name_of
from ferrule_operator.plan import Plan
from ferrule_operator.reasons import EventReason
from ferrule_operator.rendering import load_bundles
from support.operator import (
    World,
    annotated,
    edited,
    finding,
    gateway,
    secret,
    user,
    with_password,
)


def planned(plan: Plan, name: str) -> UserPlan:
    return next(one for one in plan.users if name_of(one.user) == name)


def ready(plan: Plan, name: str) -> tuple[str, str]:
    first = planned(plan, name).findings[0]
    return first.status, first.reason


def usernames(plan: Plan) -> list[str]:
    return [one.username for one in load_bundles(plan.files).users]


def test_a_password_is_made_once() -> None:
    world = World(gateway(), user("alice"))
    first = world.settle()
    made = world.texts("vpnuser-alice")
    assert made["username"] == "alice"
    assert len(made["password"]) == 20
    assert [note.reason for note in first.notes if name_of(note.about) == "alice"] == [
        EventReason.CREDENTIALS_GENERATED
    ]
    assert made["password"] not in str([note.message for note in first.notes])
    world.now += 100
    again = world.settle()
    assert again.create == []
    assert world.texts("vpnuser-alice") == made
    assert planned(again, "alice").secret_name == "vpnuser-alice"
    assert planned(again, "alice").credential_version


def test_a_user_name_may_differ_from_the_resource() -> None:
    world = World(gateway(), user("alice-smith", {"username": "Alice.Smith@Example.org"}))
    assert usernames(world.settle()) == ["Alice.Smith@Example.org"]


def test_the_older_of_two_users_of_one_name_wins() -> None:
    world = World(
        gateway(),
        user("second", {"username": "ada"}, creationTimestamp="2026-09-02T00:00:00Z"),
        user("first", {"username": "ada"}, creationTimestamp="2026-09-01T00:00:00Z"),
    )
    plan = world.settle()
    assert ready(plan, "first") == ("True", "Active")
    assert ready(plan, "second") == ("False", "UsernameTaken")
    assert usernames(plan) == ["ada"]
    assert [name_of(item) for item in plan.create if "vpnuser" in name_of(item)] == [
        "vpnuser-first"
    ]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.20.0.5", "Active"),
        ("10.99.0.5", "AddressOutsidePools"),
        ("10.20.0.1", "AddressOutsidePools"),  # the gateway's own
        ("10.20.0.0", "AddressOutsidePools"),
        ("10.20.255.255", "AddressOutsidePools"),
    ],
)
def test_static_addresses(address: str, reason: str) -> None:
    world = World(gateway(), user("alice", {"staticIP": address}), user("bob"))
    plan = world.settle()
    assert ready(plan, "alice")[1] == reason
    assert "bob" in usernames(plan)
    assert ("alice" in usernames(plan)) is (reason == "Active")


def test_the_older_of_two_users_of_one_address_wins() -> None:
    world = World(
        gateway(),
        user("a", {"staticIP": "10.20.0.9"}, creationTimestamp="2026-09-02T00:00:00Z"),
        user("b", {"staticIP": "10.20.0.9"}, creationTimestamp="2026-09-01T00:00:00Z"),
    )
    plan = world.settle()
    assert (ready(plan, "b")[1], ready(plan, "a")[1]) == ("Active", "AddressTaken")
    assert planned(plan, "a").findings[1].type == "AddressReserved"


def test_disabled_and_expired_users_are_told_so_and_reach_the_pods_so() -> None:
    world = World(
        gateway(),
        user("off", {"enabled": False}),
        user("past", {"validUntil": "2026-01-01T00:00:00Z"}),
        user("soon", {"validUntil": "2026-09-21T15:00:00Z"}),
    )
    plan = world.settle()
    assert ready(plan, "off") == ("False", "Disabled")
    assert ready(plan, "past") == ("False", "Expired")
    assert ready(plan, "soon") == ("True", "Active")
    assert plan.wake_at == [1_790_002_800.0]
    by_name = {one.username: one for one in load_bundles(plan.files).users}
    assert by_name["off"].enabled is False
    assert by_name["past"].valid_until == 1_767_225_600.0


@pytest.mark.parametrize(
    ("texts", "reason", "message"),
    [
        (None, "SecretMissing", "Secret hers is not there"),
        ({"x": "y"}, "SecretMissing", "Secret hers has no key password"),
        ({"password": "\n"}, "SecretUnusable", "Secret hers: password is empty"),
        ({"password": "x" * 5000}, "SecretUnusable", "longer than"),
    ],
)
def test_a_password_that_is_missing(texts: Any, reason: str, message: str) -> None:
    world = World(gateway(), user("alice", with_password("hers")), user("bob"))
    if texts is not None:
        world.put(secret("hers", texts))
    plan = world.settle()
    credentials = next(f for f in planned(plan, "alice").findings if f.type == "CredentialsReady")
    assert (credentials.status, credentials.reason) == ("False", reason)
    assert message in credentials.message
    assert usernames(plan) == ["bob"]


def test_a_password_that_is_no_text() -> None:
    broken = secret("hers", {})
    broken["data"] = {"password": "//4="}
    plan = World(gateway(), user("alice", with_password("hers")), broken).settle()
    assert "not UTF-8" in planned(plan, "alice").findings[0].message


def test_somebody_elses_secret_is_not_taken_for_the_generated_one() -> None:
    plan = World(gateway(), user("alice"), secret("vpnuser-alice", {"password": "x"})).settle()
    assert ready(plan, "alice") == ("False", "NameTaken")
    assert [name_of(item) for item in plan.create] == ["office-psk"]


def test_a_spec_that_cannot_be_read_costs_one_user() -> None:
    wrong = user("alice")
    wrong["spec"]["rateLimit"] = {"down": "fast"}
    blank = user("blank", {"username": " padded"})
    plan = World(gateway(), wrong, blank, user("bob")).settle()
    assert ready(plan, "alice") == ("False", "Invalid")
    assert "spec.rateLimit.down" in planned(plan, "alice").findings[0].message
    assert ready(plan, "blank") == ("False", "Invalid")
    assert usernames(plan) == ["bob"]


def test_a_user_who_is_being_deleted_is_out() -> None:
    world = World(gateway(), user("alice"), user("bob"))
    world.settle()
    live = world.get("VpnUser", "alice")
    world.put(
        {**live, "metadata": {**live["metadata"], "deletionTimestamp": "2026-09-21T00:00:00Z"}}
    )
    assert usernames(world.settle()) == ["bob"]


# --- rotation

ALICE = user("alice", with_password("hers"))


def verifiers(plan: Plan) -> tuple[str, str]:
    (one,) = load_bundles(plan.files).users
    assert one.verifier is not None
    previous = one.previous_verifier
    return one.verifier.reveal().decode(), previous.reveal().decode() if previous else ""


def test_a_changed_password_overlaps_with_the_one_before() -> None:
    world = World(
        gateway(), user("alice", with_password("hers")), secret("hers", {"password": "a"})
    )
    before, _ = verifiers(world.settle())
    world.put(secret("hers", {"password": "b"}))
    plan = world.settle()
    now, previous = verifiers(plan)
    assert (now != before, previous) == (True, before)
    assert [note.reason for note in plan.notes] == [EventReason.CREDENTIALS_ROTATED]
    assert "3600 s" in plan.notes[0].message
    assert plan.wake_at == [world.now + 3600]
    world.now += 1800
    assert world.plan().apply == []
    assert verifiers(world.plan()) == (now, previous)
    world.now += 1801
    assert verifiers(world.settle()) == (now, "")


def test_without_an_overlap_the_one_before_is_out_at_once() -> None:
    world = World(
        gateway(spec={"rotation": {"passwordOverlap": "0s"}}),
        user("alice", with_password("hers")),
        secret("hers", {"password": "a"}),
    )
    world.settle()
    world.put(secret("hers", {"password": "b"}))
    plan = world.settle()
    assert verifiers(plan)[1] == ""
    assert "not accepted any more" in plan.notes[0].message


def test_a_rotation_makes_another_password_on_the_secret_as_it_is() -> None:
    world = World(gateway(), user("alice"))
    world.settle()
    version = world.get("Secret", "vpnuser-alice")["metadata"]["resourceVersion"]
    world.put(annotated(world.get("VpnUser", "alice"), rotate="now"))
    plan = world.settle()
    (rewritten,) = [item for item in plan.apply if name_of(item) == "vpnuser-alice"]
    assert rewritten["metadata"]["resourceVersion"] == version  # 409 if somebody was quicker
    assert rewritten["metadata"]["annotations"]["ferrule.dev/rotated-for"] == "now"
    assert [name_of(item) for item in world.plan().apply] == []


def test_methods_decide_the_stored_form() -> None:
    world = World(
        gateway(), user("alice", with_password("hers")), secret("hers", {"password": "a"})
    )
    assert verifiers(world.settle())[0].startswith("nt:")
    world.put(edited(world.get("VpnGateway", "office"), ppp={"auth": ["chap", "pap"]}))
    plan = world.settle()
    # the same password in another form: nothing to overlap, nobody to log out
    assert verifiers(plan) == ("plain:a", "")
    assert plan.notes == []


def test_users_of_other_gateways_are_none_of_ours() -> None:
    other = user("zoe")
    other["spec"]["gatewayRef"] = {"name": "other"}
    plan = World(gateway(), other, user("alice")).settle()
    assert usernames(plan) == ["alice"]
    assert finding(plan, "ConfigValid")[0] == "True"
