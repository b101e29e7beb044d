"""The plan of a gateway: what is made, what is left alone, and what a wrong spec may not break."""

from __future__ import annotations

from typing import Any

import pytest

from ferrule_operator.names import FINALIZER
from ferrule_operator.objects import name_of, owned_by, ref_of
from ferrule_operator.reasons import EventReason, GatewayCondition, UserCondition
from ferrule_operator.rendering import load_bundles
from ferrule_operator.settings import Settings
from support.operator import (
    NOW,
    World,
    annotated,
    edited,
    finding,
    found,
    gateway,
    secret,
    user,
    with_password,
)

STORE = {"type": "Valkey", "url": "valkey://valkey.vpn:6379/0"}


@pytest.fixture
def world() -> World:
    return World(gateway(), user("alice"), user("bob", with_password("bobs")),
                 secret("bobs", {"password": "builder\n"}))  # fmt: skip


def test_everything_is_made_and_belongs_to_the_gateway(world: World) -> None:
    plan = world.settle()
    assert sorted(str(ref_of(item)) for item in plan.apply) == [
        "NetworkPolicy office",
        "Secret office-config",
        "Secret office-users",
        "Service office",
        "Service office-pods",
        "ServiceAccount office",
        "StatefulSet office",
    ]
    assert sorted(name_of(item) for item in plan.create) == ["office-psk", "vpnuser-alice"]
    for item in plan.apply:
        assert owned_by(item, world.get("VpnGateway", "office"))
    assert owned_by(world.get("Secret", "vpnuser-alice"), world.get("VpnUser", "alice"))
    assert [finding(plan, kind)[:2] for kind in ("ConfigValid", "CredentialsReady")] == [
        ("True", "Valid"),
        ("True", "Generated"),
    ]


def test_what_pods_read_is_what_was_asked_for(world: World) -> None:
    world.put(
        edited(world.get("VpnGateway", "office"), ppp={"mtu": 1380, "dns": ["9.9.9.9"]}),
        edited(
            world.get("VpnUser", "alice"),
            staticIP="10.20.0.77",
            allowedCIDRs=["10.0.0.0/8"],
            rateLimit={"down": "10Mbit"},
            validUntil="2027-01-31T18:00:00Z",
        ),
    )
    plan = world.settle()
    config = load_bundles(plan.files)
    assert config.gateway.ppp.mtu == 1380
    assert config.listen.prepared
    assert config.listen.ike_port == 10500
    assert config.gateway.ipsec.psk is not None
    assert config.gateway.ipsec.psk.reveal().decode() == world.texts("office-psk")["psk"]
    alice, bob = config.users
    assert (alice.username, str(alice.static_ip)) == ("alice", "10.20.0.77")
    assert (alice.rate_limit.down, alice.rate_limit.up) == (1_250_000, 0)
    assert alice.verifier is not None
    assert bob.verifier is not None
    mounted = {**world.texts("office-config"), **world.texts("office-users")}
    assert mounted == plan.files


def test_a_second_look_finds_nothing_to_do(world: World) -> None:
    world.settle()
    world.now += 3600
    plan = world.plan()
    assert (plan.apply, plan.create, plan.delete, plan.notes) == ([], [], [], [])


def test_a_finalizer_is_wanted_once() -> None:
    assert World(gateway(finalizers=[])).plan().finalizer is True
    assert World(gateway()).plan().finalizer is None


def test_paused_changes_nothing(world: World) -> None:
    world.settle()
    world.put(edited(world.get("VpnGateway", "office"), paused=True, replicas=0))
    world.put(user("carol"))
    plan = world.plan()
    assert (plan.apply, plan.create, plan.delete, plan.users) == ([], [], [], [])


# --- one write a change


def test_a_change_of_users_writes_one_secret(world: World) -> None:
    first = world.settle()
    world.now += 10
    world.put(edited(world.get("VpnUser", "bob"), enabled=False))
    plan = world.settle()
    assert [str(ref_of(item)) for item in plan.apply] == ["Secret office-users"]
    assert plan.files["config.revision"] == first.files["config.revision"]
    assert int(plan.files["users.revision"]) > int(first.files["users.revision"])
    assert {u.username: u.enabled for u in load_bundles(plan.files).users} == {
        "alice": True,
        "bob": False,
    }


def test_a_change_of_the_gateway_does_not_touch_the_users(world: World) -> None:
    world.settle()
    world.put(edited(world.get("VpnGateway", "office"), drain={"timeoutSeconds": 5}))
    plan = world.settle()
    assert sorted(str(ref_of(item)) for item in plan.apply) == [
        "Secret office-config",
        "StatefulSet office",  # terminationGracePeriodSeconds
    ]


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"limits": {"sessionsMax": 5}}, False),
        ({"ipsec": {"dpdSeconds": 5}}, False),
        ({"egress": {"allowedCIDRs": ["10.0.0.0/8"]}}, False),
        ({"exposure": {"type": "LoadBalancer", "publicAddress": "192.0.2.9"}}, False),
        ({"egress": {"snat": False}}, True),
        ({"ppp": {"mtu": 1300}}, True),
        ({"pools": [{"name": "default", "cidr": "10.21.0.0/16"}]}, True),
    ],
)
def test_pods_restart_only_for_what_their_init_step_sets(
    world: World, change: dict[str, Any], restarts: bool
) -> None:
    world.settle()
    world.put(edited(world.get("VpnGateway", "office"), **change))
    plan = world.plan()
    assert bool(found(plan, "StatefulSet")) is restarts
    assert found(plan, "Secret", "office-config")


def test_drift_is_repaired_and_told(world: World) -> None:
    world.settle()
    live = world.get("Service", "office")
    world.put({**live, "spec": {**live["spec"], "externalTrafficPolicy": "Cluster"}})
    plan = world.settle()
    assert [str(ref_of(item)) for item in plan.apply] == ["Service office"]
    assert [(note.reason, note.message) for note in plan.notes] == [
        (EventReason.DRIFT_REPAIRED, "Service office: .spec.externalTrafficPolicy")
    ]
    assert world.plan().apply == []


def test_what_the_api_server_writes_in_another_way_is_no_drift(world: World) -> None:
    world.settle()
    live = world.get("StatefulSet", "office")
    world.put({**live, "spec": {**live["spec"], "replicas": "1"}})
    world.known = {ref_of(live): frozenset({".spec.replicas"})}
    assert world.plan().apply == []


def test_a_secret_that_was_tampered_with_is_written_anew_and_newer(world: World) -> None:
    before = world.settle().files["users.revision"]
    live = world.get("Secret", "office-users")
    kept = {key: live["metadata"][key] for key in ("ownerReferences", "annotations")}
    files = {**world.texts("office-users"), "users.json": "{}"}
    world.put(secret("office-users", files, **kept))
    plan = world.settle()
    assert int(plan.files["users.revision"]) > int(before)
    assert len(load_bundles(plan.files).users) == 2


def test_a_child_that_is_deleted_comes_again(world: World) -> None:
    world.settle()
    del world.items[ref_of(world.get("NetworkPolicy", "office"))]
    assert [str(ref_of(item)) for item in world.plan().apply] == ["NetworkPolicy office"]


def test_a_child_that_is_being_deleted_is_waited_for(world: World) -> None:
    world.settle()
    live = world.get("Service", "office")
    gone = {"deletionTimestamp": "2026-09-21T00:00:00Z"}
    world.put({**live, "metadata": {**live["metadata"], **gone}, "spec": {}})
    assert world.plan().apply == []


@pytest.mark.parametrize("kind", ["Service", "StatefulSet", "ServiceAccount"])
def test_what_belongs_to_others_is_left_alone(world: World, kind: str) -> None:
    foreign = {"apiVersion": "v1", "kind": kind,
               "metadata": {"name": "office", "namespace": "vpn", "uid": "x"}}  # fmt: skip
    world.put(foreign)
    plan = world.settle()
    assert not found(plan, kind, "office")
    assert finding(plan, GatewayCondition.PROGRESSING)[:2] == ("False", "NameTaken")


# --- what is wanted no more


def test_what_is_wanted_no_more_is_deleted(world: World) -> None:
    world.put(
        gateway(
            spec={
                "replicas": 3,
                "store": STORE,
                "exposure": {"type": "LoadBalancer"},
            }
        )
    )
    world.settle()
    assert world.get("PodDisruptionBudget", "office")
    world.put(edited(world.get("VpnGateway", "office"), replicas=1, exposure={"type": "HostPort"}))
    plan = world.settle(Settings("registry.example/ferrule:1", network_policy=False))
    assert sorted(str(ref_of(item)) for item in plan.delete) == [
        "NetworkPolicy office",
        "PodDisruptionBudget office",
        "Service office",
    ]


# --- wrong specs


def test_a_wrong_configuration_keeps_pods_and_still_locks_users_out(world: World) -> None:
    first = world.settle()
    weak = {"proposals": {"phase1": ["aes128-md5-modp1024"]}}
    world.put(edited(world.get("VpnGateway", "office"), ipsec=weak, replicas=0))
    world.put(edited(world.get("VpnUser", "bob"), enabled=False))
    plan = world.settle()
    status, reason, message = finding(plan, GatewayCondition.CONFIG_VALID)
    assert (status, reason) == ("False", "Invalid")
    assert "spec.ipsec.proposals.phase1[0]" in message
    assert [str(ref_of(item)) for item in plan.apply] == ["Secret office-users"]
    assert plan.files["gateway.yaml"] == first.files["gateway.yaml"]
    assert [u.enabled for u in load_bundles(plan.files).users] == [True, False]


def test_a_spec_that_is_no_spec_still_locks_users_out(world: World) -> None:
    world.settle()
    broken = edited(world.get("VpnGateway", "office"), limits={"sessionsMax": "many"})
    world.put(broken, edited(world.get("VpnUser", "bob"), enabled=False))
    plan = world.settle()
    assert finding(plan, GatewayCondition.CONFIG_VALID)[0] == "False"
    assert "spec.limits.sessionsMax" in finding(plan, GatewayCondition.CONFIG_VALID)[2]
    assert [str(ref_of(item)) for item in plan.apply] == ["Secret office-users"]


def test_a_new_gateway_with_a_wrong_configuration_makes_no_pods() -> None:
    world = World(gateway(spec={"ipsec": {"proposals": {"phase2": ["aes1024"]}}}), user("alice"))
    plan = world.settle()
    assert found(plan, "StatefulSet") == []
    assert finding(plan, GatewayCondition.CONFIG_VALID)[0] == "False"


def test_several_pods_without_a_store_are_refused_and_nothing_is_scaled(world: World) -> None:
    world.settle()
    world.put(edited(world.get("VpnGateway", "office"), replicas=2))
    world.put(edited(world.get("VpnUser", "bob"), enabled=False))
    plan = world.settle()
    status, reason, message = finding(plan, GatewayCondition.CONFIG_VALID)
    assert (status, reason) == ("False", "Invalid")
    assert "spec.replicas" in message
    assert [str(ref_of(item)) for item in plan.apply] == ["Secret office-users"]
    assert world.get("StatefulSet", "office")["spec"]["replicas"] == 1


# --- several pods


def test_what_pods_read_of_their_store() -> None:
    store = {
        **STORE,
        "url": "valkeys://alice@valkey.vpn:6379/1",
        "authSecretRef": {"name": "valkey"},
        "tls": {"caSecretRef": {"name": "valkey"}, "serverName": "valkey.vpn"},
    }
    world = World(
        gateway(spec={"store": store}), secret("valkey", {"password": "open", "ca.crt": "PEM"})
    )
    plan = world.settle()
    assert finding(plan, GatewayCondition.CONFIG_VALID)[:2] == ("True", "Valid")
    config = load_bundles(plan.files)
    read = config.gateway.store
    assert (read.type, read.url, read.gateway) == ("Valkey", store["url"], "vpn/office")
    assert read.password is not None
    assert read.password.reveal() == b"open"
    assert (read.tls.ca_file, read.tls.server_name) == ("store-ca.crt", "valkey.vpn")
    assert read.key is not None
    assert read.names_key is not None
    assert read.previous_key is None
    made = world.texts("office-store")
    assert read.key.reveal().decode() == made["key"]
    assert read.names_key.reveal().decode() == made["names-key"]
    assert (str(config.listen.ring), config.listen.member) == ("0.0.0.0:4510", "")
    assert name_of(found(plan, "StatefulSet")[0]) == "office"
    assert world.plan().apply == []


def test_one_pod_alone_has_no_ring() -> None:
    plan = World(gateway()).settle()
    assert load_bundles(plan.files).listen.ring is None
    assert not any(name.startswith("store") for name in plan.files)
    assert "ring" not in plan.files["gateway.yaml"]
    assert [name_of(item) for item in plan.create] == ["office-psk"]


def test_scaling_touches_no_pod_that_is_there() -> None:
    world = World(gateway(spec={"store": STORE}))
    world.settle()
    before = world.get("StatefulSet", "office")["spec"]
    for replicas in (2, 64, 1):
        world.put(edited(world.get("VpnGateway", "office"), replicas=replicas))
        plan = world.settle()
        assert [note.reason for note in plan.notes] == [EventReason.SCALED]
        (wanted,) = found(plan, "StatefulSet")
        assert wanted["spec"] == {**before, "replicas": replicas}
        assert not found(plan, "Secret")


def test_another_store_makes_new_pods() -> None:
    world = World(gateway())
    digests = []
    for store in ({"type": "Memory"}, STORE, {**STORE, "url": "valkey://other:6379"}):
        world.put(edited(world.get("VpnGateway", "office"), store=store))
        world.settle()
        template = world.get("StatefulSet", "office")["spec"]["template"]
        digests.append(template["metadata"]["annotations"]["ferrule.dev/restart-digest"])
    assert len(set(digests)) == 3


def test_warnings_of_the_concentrator_are_shown() -> None:
    spec = {"egress": {"deniedCIDRs": []}, "ipsec": {"allowWeak": ["modp1024"]}}
    status, _, message = finding(World(gateway(spec=spec)).plan(), GatewayCondition.CONFIG_VALID)
    assert status == "True"
    assert "spec.egress.deniedCIDRs" in message
    assert "spec.ipsec.allowWeak" in message


# --- the pre-shared key


def test_a_given_key_is_used_and_a_missing_one_is_told() -> None:
    spec = {"ipsec": {"pskSecretRef": {"name": "ours", "key": "k"}}}
    world = World(gateway(spec=spec))
    plan = world.settle()
    assert finding(plan, GatewayCondition.CREDENTIALS_READY) == (
        "False",
        "SecretMissing",
        "Secret ours is not there",
    )
    assert plan.apply == []
    world.put(secret("ours", {"other": "x"}))
    assert finding(world.plan(), "CredentialsReady")[2] == "Secret ours has no key k"
    world.put(secret("ours", {"k": ""}))
    assert finding(world.plan(), "CredentialsReady")[1] == "SecretUnusable"
    world.put(secret("ours", {"k": "a-key-of-our-own\n"}))
    plan = world.settle()
    assert finding(plan, "CredentialsReady")[:2] == ("True", "Provided")
    assert plan.files["psk"] == "a-key-of-our-own"


def test_the_key_before_is_accepted_for_a_while_and_then_no_more(world: World) -> None:
    before = world.settle().files["psk"]
    world.put(annotated(world.get("VpnGateway", "office"), rotate="1"))
    world.memory = type(world.memory)()
    world.now += 1
    plan = rotated(world)
    assert plan.files["psk"] != before
    assert plan.files["previous-psk"] == before
    assert any(note.reason is EventReason.CREDENTIALS_ROTATED for note in plan.notes)
    assert min(plan.wake_at) == pytest.approx(world.now + 86400)
    ipsec = load_bundles(plan.files).gateway.ipsec
    assert ipsec.previous_psk is not None
    assert world.plan().apply == []
    world.now = min(plan.wake_at) + 1
    after = world.settle()
    assert "previous-psk" not in after.files
    assert after.files["psk"] == plan.files["psk"]
    assert world.plan().apply == []


def rotated(world: World) -> Any:
    """`settle` with other randomness than before."""
    import support.operator as support

    kept = support.entropy
    support.entropy = lambda count: bytes(range(100, 100 + count))  # type: ignore[assignment]
    try:
        return world.settle()
    finally:
        support.entropy = kept


def test_somebody_elses_secret_is_not_taken_for_the_generated_one(world: World) -> None:
    world.put(secret("office-psk", {"psk": "not ours"}))
    plan = world.plan()
    status, reason, message = finding(plan, GatewayCondition.CREDENTIALS_READY)
    assert (status, reason) == ("False", "SecretUnusable")
    assert "pskSecretRef" in message


# --- deletion


def test_pods_leave_before_the_gateway_does(world: World) -> None:
    world.settle()
    gone = {"deletionTimestamp": "2026-09-21T14:13:20Z"}
    live = world.get("VpnGateway", "office")
    world.put({**live, "metadata": {**live["metadata"], **gone}})
    plan = world.settle()
    assert [str(ref_of(item)) for item in plan.delete] == ["StatefulSet office"]
    assert plan.finalizer is None
    assert plan.deleting
    assert [note.reason for note in plan.notes] == [EventReason.DRAIN_STARTED]
    assert {p.findings[0].reason for p in plan.users} == {"GatewayNotFound"}
    assert world.plan().finalizer is False


def test_a_pod_that_does_not_leave_holds_the_gateway_for_a_while_only(world: World) -> None:
    live = world.get("VpnGateway", "office")
    gone = {"deletionTimestamp": "2026-09-21T14:13:20Z"}
    world.put({**live, "metadata": {**live["metadata"], **gone}})
    stuck = {"kind": "Pod", "metadata": {"name": "office-0", "namespace": "vpn"}}
    plan = world.plan(pods=[stuck])
    assert plan.finalizer is None
    assert plan.wake_at == [NOW + 120]  # 30 to drain, 30 of grace, 60 of patience
    world.now += 121
    plan = world.plan(pods=[stuck])
    assert plan.finalizer is False
    assert [note.reason for note in plan.notes] == [EventReason.DRAIN_GIVEN_UP]


def test_a_finalizer_of_others_is_none_of_our_business(world: World) -> None:
    live = world.get("VpnGateway", "office")
    meta = {**live["metadata"], "deletionTimestamp": "2026-09-21T14:13:20Z", "finalizers": ["x/y"]}
    world.put({**live, "metadata": meta})
    plan = world.plan()
    assert (plan.finalizer, plan.delete, plan.notes) == (None, [], [])
    assert FINALIZER not in meta["finalizers"]


def test_users_without_a_gateway_are_told() -> None:
    plan = World(user("alice")).plan()
    (planned,) = plan.users
    assert (planned.findings[0].type, planned.findings[0].reason) == (
        UserCondition.READY,
        "GatewayNotFound",
    )


# --- many users


def test_ten_thousand_users_fit() -> None:
    rows = [user(f"user-{i:05}", with_password("shared", f"k{i % 7}")) for i in range(10_000)]
    keys = secret("shared", {f"k{i}": f"password {i}" for i in range(7)})
    world = World(gateway(), keys, *rows)
    plan = world.settle()
    written = [item for item in plan.apply if name_of(item).startswith("office-users")]
    assert len(written) == 8
    assert all(len(str(item["data"])) < 1_000_000 for item in written)
    assert len(load_bundles(plan.files).users) == 10_000
    world.put(edited(rows[5000], enabled=False))
    assert len(world.settle().apply) == 1
    for row in rows[:9000]:
        del world.items[ref_of(row)]
    assert len(load_bundles(world.settle().files).users) == 1000
