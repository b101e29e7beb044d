"""Statuses: conditions that tell the truth, news once, counters apart."""

from __future__ import annotations

from typing import Any

import pytest

from ferrule_operator.accounts import UserPlan
from ferrule_operator.conditions import no, yes
from ferrule_operator.names import CONTAINER, INIT_CONTAINER
from ferrule_operator.objects import Object, ref_of
from ferrule_operator.plan import Plan
from ferrule_operator.reasons import EventReason, UserCondition
from ferrule_operator.reports import Report, revisions_of
from ferrule_operator.status import (
    COUNTERS,
    Outcome,
    gateway_news,
    gateway_status,
    is_news,
    patch_of,
    user_news,
    user_status,
)
from support.operator import NOW, World, edited, gateway, pod, user

SET_STATUS = {"observedGeneration": 0, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}


class Scene:
    """A gateway whose objects are made, with pods and what they say."""

    def __init__(
        self, spec: dict[str, Any] | None = None, pods: list[Object] | None = None
    ) -> None:
        self.world = World(gateway(spec=spec or {}))
        self.plan = self.world.settle()
        self.pods = [pod("office-0")] if pods is None else pods
        self.reports = {
            one["metadata"]["name"]: Report(
                NOW, "0.1.0", True, revisions_of(self.plan.files), 3, 100, {"alice": 2}
            )
            for one in self.pods
        }
        self.outcome = Outcome()
        live = self.world.get("StatefulSet", "office")
        self.world.put({**live, "status": SET_STATUS})
        service = self.world.items.get(next(r for r in self.world.items if r.kind == "Service"))
        assert service is not None
        self.address("192.0.2.7")

    def address(self, ip: str) -> None:
        ref = next(r for r in self.world.items if (r.kind, r.name) == ("Service", "office"))
        ingress = [{"ip": ip}] if ip else []
        self.world.put({**self.world.items[ref], "status": {"loadBalancer": {"ingress": ingress}}})

    def status(self, plan: Plan | None = None, now: float = NOW) -> Object:
        observed = self.world.observed(pods=self.pods)
        return gateway_status(observed, plan or self.plan, self.reports, self.outcome, now)

    def condition(self, kind: str, **arguments: Any) -> tuple[str, str, str]:
        found = next(c for c in self.status(**arguments)["conditions"] if c["type"] == kind)
        return found["status"], found["reason"], found["message"]


def test_all_is_well() -> None:
    status = Scene().status()
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status.pop("conditions")}
    assert status == {
        "observedGeneration": 1,
        "replicas": 1,
        "readyReplicas": 1,
        "selector": "app.kubernetes.io/name=ferrule,app.kubernetes.io/instance=office,"
        "app.kubernetes.io/component=concentrator",
        "address": "192.0.2.7",
        "sessions": 3,
        "poolFree": 100,
        "members": [],
        "version": "0.1.0",
    }
    assert conditions == {
        "Ready": ("True", "AsSpecified"),
        "Available": ("True", "Serving"),
        "Progressing": ("False", "Settled"),
        "ConfigValid": ("True", "Valid"),
        "LoadBalancerReady": ("True", "AddressAssigned"),
        "StoreReady": ("True", "InMemory"),
        "CredentialsReady": ("True", "Generated"),
        "WeakCryptoInUse": ("False", "NotAllowed"),
        "Draining": ("False", "Settled"),
    }


def init_failed(message: str, **state: Any) -> Object:
    ended = {"exitCode": 1, "reason": "Error", "message": message}
    return pod(
        "office-0",
        ready=False,
        initContainerStatuses=[
            {"name": INIT_CONTAINER, "ready": False, "state": {"terminated": ended}, **state}
        ],
        containerStatuses=[
            {"name": CONTAINER, "state": {"waiting": {"reason": "PodInitializing"}}}
        ],
    )


@pytest.mark.parametrize(
    ("one", "reason", "part"),
    [
        (init_failed("TunNodeDenied: the runtime keeps it away"), "TunNodeDenied", "keeps it away"),
        (init_failed("Traceback ..."), "InitFailed", "Traceback"),
        (init_failed(""), "InitFailed", "ended with 1"),
        (
            init_failed(
                "",
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"exitCode": 1, "message": "NftMissing: install it"}},
            ),
            "NftMissing",
            "install it",
        ),
        (
            pod("office-0", ready=False, containerStatuses=[
                {"name": CONTAINER, "state": {"waiting": {"reason": "ImagePullBackOff",
                                                          "message": "no such image"}}}]),
            "PodCannotStart",
            "ImagePullBackOff: no such image",
        ),
        (
            pod("office-0", ready=False, containerStatuses=[], conditions=[
                {"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]),
            "PodCannotStart",
            "0/3 nodes",
        ),
        (pod("office-0", ready=False), "NoPodsReady", "no pod"),
        (
            pod("office-0", ready=False, containerStatuses=[
                {"name": CONTAINER, "state": {"waiting": {"reason": "ContainerCreating"}}}]),
            "NoPodsReady",
            "no pod",
        ),
    ],
)  # fmt: skip
def test_why_no_pod_serves(one: Object, reason: str, part: str) -> None:
    scene = Scene(pods=[one])
    for kind in ("Available", "Ready"):
        status, found, message = scene.condition(kind)
        assert (status, found) == ("False", reason)
        assert part in message


def test_a_pod_that_runs_has_overcome_what_its_init_step_met() -> None:
    one = pod("office-0", initContainerStatuses=[
        {"name": INIT_CONTAINER, "ready": True, "state": {"terminated": {"exitCode": 0}},
         "lastState": {"terminated": {"exitCode": 1, "message": "TunBusy: x"}}}])  # fmt: skip
    assert Scene(pods=[one]).condition("Ready")[0] == "True"


def test_pods_on_an_older_configuration_are_not_ready() -> None:
    scene = Scene()
    scene.reports["office-0"].revisions["users"] -= 1
    scene.reports["office-0"].problem = "gateway.pools, line 3: overlaps"
    status, reason, message = scene.condition("Ready")
    assert (status, reason) == ("False", "ConfigNotTakenOver")
    assert "office-0" in message
    assert "overlaps" in message
    scene.reports.clear()
    assert scene.condition("Ready")[1] == "ConfigNotTakenOver"


def test_counters_of_pods_that_do_not_answer_stay_as_they_were() -> None:
    scene = Scene()
    live = scene.world.get("VpnGateway", "office")
    scene.world.put({**live, "status": scene.status()})
    scene.reports.clear()
    after = scene.status()
    assert (after["sessions"], after["poolFree"], after["version"]) == (3, 100, "0.1.0")


def test_several_pods_are_summed_up() -> None:
    scene = Scene(pods=[pod("office-0"), pod("office-1")])
    scene.reports["office-1"].version = "0.0.9"
    scene.reports["office-1"].pool_free = 90
    after = scene.status()
    assert (after["sessions"], after["poolFree"], after["version"]) == (6, 90, "0.0.9")


VALKEY = {"store": {"type": "Valkey", "url": "valkey://valkey.vpn:6379"}, "replicas": 2}


def shared() -> Scene:
    """Two members, both of which reach the store."""
    scene = Scene(VALKEY, [pod("office-0"), pod("office-1")])
    for report in scene.reports.values():
        report.store_up, report.members = True, ("office-0", "office-1")
    live = scene.world.get("StatefulSet", "office")
    scene.world.put({**live, "status": {**SET_STATUS, "replicas": 2, "updatedReplicas": 2}})
    return scene


def test_members_of_a_shared_gateway() -> None:
    scene = shared()
    assert scene.status()["members"] == ["office-0", "office-1"]
    assert scene.condition("StoreReady")[:2] == ("True", "Reachable")
    assert scene.condition("Ready")[:2] == ("True", "AsSpecified")
    assert scene.condition("StoreReady") == ("True", "Reachable", "")


def test_a_store_that_is_away() -> None:
    scene = shared()
    scene.reports["office-1"].store_up = False
    scene.reports["office-1"].store_problem = "connection refused"
    told = "1 of 2 pods don't reach it; office-1: connection refused"
    assert scene.condition("StoreReady") == ("False", "StoreUnreachable", told)
    assert scene.condition("Ready") == ("False", "StoreUnreachable", told)


def test_a_store_of_which_nothing_is_known() -> None:
    scene = shared()
    for report in scene.reports.values():
        report.store_up = None
    assert scene.condition("StoreReady")[:2] == ("Unknown", "UnknownStoreState")
    scene.reports.clear()
    assert scene.condition("StoreReady")[:2] == ("Unknown", "UnknownStoreState")


def test_what_a_pod_that_is_silent_said_of_members_does_not_count() -> None:
    scene = shared()
    scene.reports["office-0"].members = ("office-0",)
    scene.reports["office-1"].at -= 100
    assert scene.status()["members"] == ["office-0"]


def test_news_of_the_store_and_of_members() -> None:
    scene = shared()
    live = scene.world.get("VpnGateway", "office")
    known = {**live, "status": scene.status()}
    assert gateway_news(known, scene.status()) == []
    for report in scene.reports.values():
        report.store_up, report.members = False, ("office-0",)
    away = scene.status()
    assert [(n.reason, n.message) for n in gateway_news(known, away)] == [
        (EventReason.MEMBERS_CHANGED, "left office-1; 1 now"),
        (EventReason.STORE_UNREACHABLE, "2 of 2 pods don't reach it; office-0: no answer"),
    ]
    known = {**live, "status": away}
    for report in scene.reports.values():
        report.store_up, report.members = True, ("office-0", "office-2")
    assert [(n.reason, n.message) for n in gateway_news(known, scene.status())] == [
        (EventReason.MEMBERS_CHANGED, "came office-2; 2 now"),
        (EventReason.STORE_REACHABLE, "Reachable"),
    ]


def test_members_that_nobody_could_be_asked_for_stay() -> None:
    scene = shared()
    live = scene.world.get("VpnGateway", "office")
    scene.world.put({**live, "status": scene.status()})
    scene.reports.clear()
    after = scene.status()
    assert after["members"] == ["office-0", "office-1"]
    assert EventReason.MEMBERS_CHANGED not in {n.reason for n in gateway_news(live, after)}


@pytest.mark.parametrize(
    ("exposure", "address", "balanced"),
    [
        ({"type": "LoadBalancer", "publicAddress": "203.0.113.1"}, "203.0.113.1", "True"),
        ({"type": "LoadBalancer"}, "", "False"),
        ({"type": "NodePort"}, "", "True"),
        ({"type": "NodePort", "publicAddress": "203.0.113.2"}, "203.0.113.2", "True"),
        ({"type": "HostPort"}, "192.0.2.1", "True"),
    ],
)
def test_addresses(exposure: dict[str, Any], address: str, balanced: str) -> None:
    scene = Scene()
    item = edited(scene.world.get("VpnGateway", "office"), exposure=exposure)
    scene.world.put(item)
    scene.plan = scene.world.plan()
    scene.address("192.0.2.7" if balanced == "True" else "")
    assert scene.status()["address"] == address
    assert scene.condition("LoadBalancerReady")[0] == balanced


def test_a_load_balancer_with_a_name() -> None:
    scene = Scene()
    ref = next(r for r in scene.world.items if (r.kind, r.name) == ("Service", "office"))
    scene.world.put({**scene.world.items[ref], "status": {
        "loadBalancer": {"ingress": [{"hostname": "vpn.elb.example"}]}}})  # fmt: skip
    assert scene.status()["address"] == "vpn.elb.example"
    assert "publicAddress" not in scene.world.plan().files["gateway.yaml"]


def test_the_balancers_address_becomes_the_gateways_name() -> None:
    assert "publicAddress: 192.0.2.7" in Scene().world.plan().files["gateway.yaml"]


def test_rolling_out_scaling_draining_refused() -> None:
    scene = Scene()
    live = scene.world.get("StatefulSet", "office")
    scene.world.put({**live, "status": {**SET_STATUS, "updatedReplicas": 0}})
    assert scene.condition("Progressing")[:2] == ("True", "RollingOut")
    assert scene.condition("Ready")[:2] == ("False", "RollingOut")
    scene = Scene()
    leaving = pod("office-1")
    leaving["metadata"]["deletionTimestamp"] = "2026-09-21T00:00:00Z"
    scene.pods.append(leaving)
    assert scene.condition("Draining")[:2] == ("True", "PodsTerminating")
    scene = Scene()
    scene.outcome.refused["StatefulSet office"] = "exceeded quota"
    for kind in ("Progressing", "Ready"):
        assert scene.condition(kind)[1] == "RefusedByApiServer"
    assert "exceeded quota" in scene.condition("Ready")[2]


def test_scaled_to_zero_and_paused() -> None:
    scene = Scene({"replicas": 0}, [])
    live = scene.world.get("StatefulSet", "office")
    scene.world.put({**live, "status": {"observedGeneration": 0, "replicas": 0}})
    assert scene.condition("Available")[:2] == ("False", "ScaledToZero")
    scene = Scene()
    before = scene.status()
    live = scene.world.get("VpnGateway", "office")
    scene.world.put({**edited(live, paused=True), "status": before})
    after = scene.status(scene.world.plan())
    reasons = {c["type"]: c["reason"] for c in after["conditions"]}
    assert reasons["Progressing"] == "Paused"
    assert reasons["ConfigValid"] == "Valid"
    assert after["address"] == before["address"]


def test_weak_algorithms_are_shown() -> None:
    assert Scene({"ipsec": {"allowWeak": ["md5", "modp1024"]}}).condition("WeakCryptoInUse") == (
        "True",
        "AllowedBySpec",
        "accepted: md5, modp1024",
    )


def test_times_change_only_with_the_status() -> None:
    scene = Scene()
    first = scene.status()
    live = scene.world.get("VpnGateway", "office")
    scene.world.put({**live, "status": first})
    scene.pods = [pod("office-0", ready=False)]
    later = {c["type"]: c for c in scene.status(now=NOW + 60)["conditions"]}
    assert later["ConfigValid"]["lastTransitionTime"] == "2026-09-21T14:13:20Z"
    assert later["Ready"]["lastTransitionTime"] == "2026-09-21T14:14:20Z"


def test_news_come_once() -> None:
    scene = Scene()
    live = scene.world.get("VpnGateway", "office")
    first = scene.status()
    assert [n.reason for n in gateway_news(live, first)] == [
        EventReason.AVAILABLE,
        EventReason.LOAD_BALANCER_READY,
    ]
    known = {**live, "status": first}
    assert gateway_news(known, first) == []
    scene.pods = []
    assert [n.reason for n in gateway_news(known, scene.status())] == [EventReason.UNAVAILABLE]


def test_no_news_of_a_balancer_that_is_not_needed() -> None:
    scene = Scene()
    scene.world.put(edited(scene.world.get("VpnGateway", "office"), exposure={"type": "NodePort"}))
    live = scene.world.get("VpnGateway", "office")
    scene.plan = scene.world.plan()
    assert EventReason.LOAD_BALANCER_READY not in [
        note.reason for note in gateway_news(live, scene.status())
    ]


# --- users

ACTIVE = (yes(UserCondition.READY, "Active"),)


def test_a_users_status() -> None:
    reports = [
        Report(NOW, users={"alice": 1}, connected={"alice": NOW - 60}),
        Report(NOW, users={"alice": 1}, connected={"alice": NOW - 30.5}),
    ]
    planned = UserPlan(user("alice"), "alice", ACTIVE, "vpnuser-alice", "77")
    status = user_status(planned, reports, NOW)
    assert status["activeSessions"] == 2
    assert status["lastConnectedTime"] == "2026-09-21T14:12:49Z"
    assert (status["secretName"], status["credentialVersion"]) == ("vpnuser-alice", "77")
    assert status["conditions"][0]["status"] == "True"


def test_the_last_connection_is_not_forgotten_with_the_pod_that_knew_it() -> None:
    alice = {**user("alice"), "status": {"lastConnectedTime": "2026-09-20T00:00:00Z"}}
    status = user_status(UserPlan(alice, "alice", ACTIVE), [Report(NOW)], NOW)
    assert status["lastConnectedTime"] == "2026-09-20T00:00:00Z"
    never = user_status(UserPlan(user("bob"), "bob", ACTIVE), [], NOW)
    assert "lastConnectedTime" not in never


def test_a_rejected_user_is_news_once() -> None:
    alice = user("alice")
    refused = UserPlan(alice, "alice", (no(UserCondition.READY, "UsernameTaken", "taken"),))
    status = user_status(refused, [], NOW)
    (note,) = user_news(alice, status)
    assert (note.reason, note.kind, note.message) == (EventReason.USER_REJECTED, "Warning", "taken")
    assert user_news({**alice, "status": status}, status) == []
    disabled = UserPlan(alice, "alice", (no(UserCondition.READY, "Disabled"),))
    assert user_news(alice, user_status(disabled, [], NOW)) == []


# --- writing


def test_patches() -> None:
    assert patch_of({"a": 1}, {"a": 1}) == {}
    assert patch_of({"a": 1, "old": 2}, {"a": 3, "b": 4}) == {"a": 3, "b": 4, "old": None}
    assert not is_news({"sessions": 3}, COUNTERS)
    assert is_news({"sessions": 3, "address": ""}, COUNTERS)
    assert not is_news({}, COUNTERS)


def test_the_scene_is_made_of_the_plan() -> None:
    assert {ref_of(item).kind for item in Scene().plan.apply} >= {"StatefulSet", "Service"}
