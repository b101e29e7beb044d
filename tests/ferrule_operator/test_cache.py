"""The cache: what an event touches, which Secrets are kept, versions that never go back."""

from __future__ import annotations

from typing import Any

from ferrule_operator.cache import Cache, Key
from ferrule_operator.objects import Object, child_labels, name_of
from support.operator import gateway, pod, secret, user, with_password

OFFICE = Key("vpn", "office")


def labelled(item: Object) -> Object:
    return {**item, "metadata": {**item["metadata"], "labels": child_labels("office")}}


def versioned(item: Object, version: int, **more: Any) -> Object:
    return {**item, **more, "metadata": {**item["metadata"], "resourceVersion": str(version)}}


def test_an_event_touches_its_gateway() -> None:
    cache = Cache()
    assert cache.put(gateway()) == {OFFICE}
    assert cache.put(user("alice")) == {OFFICE}
    assert cache.put(labelled(pod("office-0"))) == {OFFICE}
    assert [name_of(item) for item in cache.users(OFFICE)] == ["alice"]
    assert [name_of(item) for item in cache.pods(OFFICE)] == ["office-0"]
    assert cache.gateways() == {OFFICE}
    assert cache.remove(user("alice")) == {OFFICE}
    assert cache.users(OFFICE) == []


def test_a_user_who_changes_gateways_touches_both() -> None:
    cache = Cache()
    alice = user("alice")
    cache.put(alice)
    moved = versioned(alice, 10**6, spec={**alice["spec"], "gatewayRef": {"name": "home"}})
    assert cache.put(moved) == {OFFICE, Key("vpn", "home")}
    assert cache.users(OFFICE) == []
    assert len(cache.users(Key("vpn", "home"))) == 1


def test_older_versions_change_nothing() -> None:
    cache = Cache()
    item = gateway()
    assert cache.put(versioned(item, 9)) == {OFFICE}
    for version in (8, 9):
        assert cache.put(versioned(item, version, spec={})) == set()
    assert cache.get("VpnGateway", *OFFICE) is not None
    assert cache.get("VpnGateway", *OFFICE)["spec"] == item["spec"]  # type: ignore[index]
    assert cache.put(versioned(item, 10)) == {OFFICE}


def test_an_object_of_the_same_name_but_another_birth_replaces_it() -> None:
    cache = Cache()
    item = gateway()
    cache.put(versioned(item, 9))
    other = versioned(item, 5)
    other["metadata"] = {**other["metadata"], "uid": "another"}
    assert cache.put(other) == {OFFICE}
    assert cache.remove(item) == set()  # that one is gone already
    assert cache.remove(other) == {OFFICE}


def test_only_secrets_that_matter_are_kept() -> None:
    cache = Cache()
    assert cache.put(secret("stranger", {"a": "b"})) == set()
    assert cache.count("Secret") == 0
    cache.put(user("alice", with_password("hers")))
    assert "hers" in cache.unknown_secrets(OFFICE)
    assert cache.put(secret("hers", {"password": "x"})) == {OFFICE}
    assert cache.unknown_secrets(OFFICE) == []
    assert set(cache.secrets(OFFICE)) == {"hers"}
    cache.put(labelled(secret("office-config", {"psk": "x"})))
    cache.remove(user("alice"))
    assert cache.get("Secret", "vpn", "hers") is None
    assert cache.get("Secret", "vpn", "office-config") is not None


def test_a_secret_that_several_need_is_kept_until_the_last_goes() -> None:
    cache = Cache()
    cache.put(user("alice", with_password("shared")))
    cache.put(user("bob", with_password("shared")))
    cache.put(secret("shared", {"password": "x"}))
    cache.remove(user("alice"))
    assert set(cache.secrets(OFFICE)) == {"shared"}
    assert cache.put(versioned(secret("shared", {}), 10**6)) == {OFFICE}
    cache.remove(user("bob"))
    assert cache.count("Secret") == 0


def test_secrets_that_are_not_there_are_asked_for_once() -> None:
    cache = Cache()
    cache.put(gateway(spec={"ipsec": {"pskSecretRef": {"name": "ours"}}}))
    unknown = cache.unknown_secrets(OFFICE)
    assert {"ours", "office-config", "office-psk", "office-users"} <= set(unknown)
    for name in unknown:
        cache.note_absent("vpn", name)
    assert cache.unknown_secrets(OFFICE) == []
    assert cache.put(secret("ours", {"psk": "x"})) == {OFFICE}
    assert cache.remove(secret("ours", {})) == {OFFICE}
    assert cache.unknown_secrets(OFFICE) == []  # its removal was seen
    assert cache.needs_secret("vpn", "ours")


def test_generated_passwords_are_found_by_their_label() -> None:
    cache = Cache()
    cache.put(user("alice"))
    assert cache.unknown_secrets(OFFICE) == []
    assert cache.put(labelled(secret("vpnuser-alice", {"password": "x"}))) == {OFFICE}
    assert set(cache.secrets(OFFICE)) == {"vpnuser-alice"}
    assert cache.remove(secret("vpnuser-alice", {})) == {OFFICE}
    assert cache.put(secret("vpnuser-alice", {"password": "a stranger's"})) == {OFFICE}


def test_what_nobody_reads_is_dropped() -> None:
    cache = Cache()
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    item = gateway(
        managedFields=[{"manager": "x"}], annotations={applied: "{}", "ferrule.dev/rotate": "1"}
    )
    cache.put(item)
    kept = cache.get("VpnGateway", *OFFICE)
    assert kept is not None
    assert kept["metadata"]["annotations"] == {"ferrule.dev/rotate": "1"}
    assert "managedFields" not in kept["metadata"]
    assert "managedFields" in item["metadata"]


def test_children_are_found_by_name_whoever_they_belong_to() -> None:
    cache = Cache()
    cache.put({"apiVersion": "v1", "kind": "Service",
               "metadata": {"name": "office", "namespace": "vpn", "uid": "x"}})  # fmt: skip
    assert [str(ref) for ref in cache.children(OFFICE)] == ["Service office"]


def test_a_user_without_a_gateway_keeps_its_key() -> None:
    cache = Cache()
    cache.put(user("alice"))
    assert cache.gateways() == {OFFICE}
    cache.remove(user("alice"))
    assert cache.gateways() == set()
