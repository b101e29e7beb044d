"""A gateway's keys: made once, kept, replaced when asked for, never mixed up with others'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from ferrule_operator.credentials import Unusable
from ferrule_operator.gateway_secrets import SecretsPlanner
from ferrule_operator.manifests.child import Parent
from ferrule_operator.objects import Object, name_of, owner_reference, texts_of
from ferrule_operator.plan import read_spec
from ferrule_operator.reasons import EventReason
from ferrule_operator.rendering import GatewaySecrets, config_bundle
from ferrule_operator.store_keys import ANNOUNCE_SECONDS, KEPT_SECONDS, StoreKeys
from support.operator import NOW, SETTINGS, annotated, gateway, secret

STORE = {"store": {"type": "Valkey", "url": "valkey://valkey.vpn:6379"}}


class Keys:
    """One gateway, its Secrets, and what its pods run on; time passes by hand."""

    def __init__(self, spec: Mapping[str, Any] = STORE) -> None:
        self.gateway = gateway(spec=spec)
        self.secrets: dict[str, Object] = {}
        self.live: dict[str, str] = {}
        self.now = NOW
        self._numbers: Iterator[int] = iter(range(1, 200))

    def entropy(self, count: int) -> bytes:
        return bytes([next(self._numbers)]) * count

    def turn(self) -> tuple[GatewaySecrets, SecretsPlanner]:
        """Plan, and carry it out."""
        spec, problem = read_spec(self.gateway)
        assert spec is not None, problem
        parent = Parent(self.gateway, spec, SETTINGS)
        planner = SecretsPlanner(parent, self.secrets, self.live, self.now, self.entropy)
        made = planner.run()
        for item in (*planner.plan.create, *planner.plan.apply):
            meta = {**item["metadata"], "resourceVersion": "7"}
            self.secrets[name_of(item)] = {**item, "metadata": meta}
        self.live = config_bundle(spec, made, None, 1, "vpn/office").files
        return made, planner

    def rotate(self, **annotations: str) -> None:
        self.gateway = annotated(self.gateway, **annotations)


def test_keys_are_made_once_and_kept() -> None:
    keys = Keys()
    made, planner = keys.turn()
    assert [name_of(item) for item in planner.plan.create] == ["office-psk", "office-store"]
    assert {note.reason for note in planner.plan.notes} == {EventReason.CREDENTIALS_GENERATED}
    data = texts_of(keys.secrets["office-store"])
    assert data == {"key": made.store_keys.key, "names-key": made.store_names_key}
    assert len(set(data.values())) == 2
    assert all(len(bytes.fromhex(text)) == 32 for text in data.values())
    again, planner = keys.turn()
    assert again == made
    assert (planner.plan.create, planner.plan.apply, planner.plan.notes) == ([], [], [])
    assert planner.plan.wake_at == []


def test_one_pod_alone_gets_none() -> None:
    made, planner = Keys({}).turn()
    assert [name_of(item) for item in planner.plan.create] == ["office-psk"]
    assert (made.store_keys, made.store_names_key) == (StoreKeys(), "")


def test_another_key_is_announced_used_and_then_alone() -> None:
    keys = Keys()
    first, _ = keys.turn()
    keys.rotate(**{"rotate-store-key": "1"})
    announced, planner = keys.turn()
    (wanted,) = planner.plan.apply
    assert wanted["metadata"]["resourceVersion"] == "7"
    second = texts_of(keys.secrets["office-store"])["key"]
    assert second != first.store_keys.key
    assert (announced.store_keys.key, announced.store_keys.other) == (first.store_keys.key, second)
    assert announced.store_names_key == first.store_names_key
    assert announced.psk == first.psk
    assert planner.plan.wake_at == [NOW + ANNOUNCE_SECONDS]
    assert [note.reason for note in planner.plan.notes] == [EventReason.CREDENTIALS_ROTATED]
    still, planner = keys.turn()
    assert (still, planner.plan.apply, planner.plan.notes) == (announced, [], [])
    keys.now += ANNOUNCE_SECONDS
    swapped, planner = keys.turn()
    assert (swapped.store_keys.key, swapped.store_keys.other) == (second, first.store_keys.key)
    assert "store-previous-key" in keys.live
    assert planner.plan.wake_at == [keys.now + KEPT_SECONDS]
    keys.now += KEPT_SECONDS
    alone, planner = keys.turn()
    assert alone.store_keys == StoreKeys(second)
    assert "store-previous-key" not in keys.live
    assert planner.plan.wake_at == []


def test_the_pre_shared_key_is_rotated_apart() -> None:
    keys = Keys()
    first, _ = keys.turn()
    keys.rotate(rotate="1")
    after, _ = keys.turn()
    assert after.psk != first.psk
    assert (after.previous_psk, after.previous_psk_until) == (first.psk, NOW + 86400)
    assert (after.store_keys, after.store_names_key) == (first.store_keys, first.store_names_key)


def test_keys_that_somebody_deleted_are_what_pods_have() -> None:
    keys = Keys()
    first, _ = keys.turn()
    del keys.secrets["office-store"]
    again, planner = keys.turn()
    assert again == first
    assert [name_of(item) for item in planner.plan.create] == ["office-store"]


@pytest.mark.parametrize("name", ["office-psk", "office-store"])
def test_what_is_another_s_is_not_used(name: str) -> None:
    keys = Keys()
    keys.secrets[name] = secret(name, {"psk": "x", "key": "k" * 64, "names-key": "n" * 64})
    with pytest.raises(Unusable, match=f"Secret {name} is there already"):
        keys.turn()


def test_a_key_that_is_gone_from_the_secret_is_told() -> None:
    keys = Keys()
    owner = [owner_reference(keys.gateway)]
    keys.secrets["office-store"] = secret("office-store", {"key": "k" * 64}, ownerReferences=owner)
    with pytest.raises(Unusable, match="Secret office-store has no key names-key"):
        keys.turn()


def test_what_the_store_needs_is_taken_from_the_secrets_that_are_named() -> None:
    store = {
        **STORE["store"],
        "url": "valkeys://valkey.vpn:6379",
        "authSecretRef": {"name": "v"},
        "tls": {"caSecretRef": {"name": "v", "key": "ca"}},
    }
    keys = Keys({"store": store})
    with pytest.raises(Unusable, match="Secret v is not there"):
        keys.turn()
    keys.secrets["v"] = secret("v", {"password": "open", "ca": "PEM"})
    made, _ = keys.turn()
    assert (made.store_password, made.store_ca) == ("open", "PEM")
