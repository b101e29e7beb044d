"""One turn after another: what is written when, and what a fault in between leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ferrule_operator.api import ApiError
from ferrule_operator.cache import Cache, Key
from ferrule_operator.metrics import Metrics
from ferrule_operator.names import FINALIZER
from ferrule_operator.objects import Object, Ref, child_labels, name_of, ref_of, texts_of
from ferrule_operator.reconcile import Again, Reconciler
from ferrule_operator.reports import Report, revisions_of
from ferrule_operator.settings import Settings
from support.fake_api import FakeApi
from support.operator import NOW, edited, entropy, gateway, pod, secret, user, with_password

OFFICE = Key("vpn", "office")
SETTINGS = Settings("ferrule:1", poll_seconds=15.0)


class StubConcentrators:
    """Pods that take everything over, or don't answer."""

    def __init__(self) -> None:
        self.answering = True
        self.files: dict[str, str] = {}
        self.sessions = 0
        self._reports: dict[str, Report] = {}

    def reports(self, namespace: str, pods: Sequence[Object]) -> dict[str, Report]:
        return {name_of(one): self._reports[name_of(one)] for one in pods
                if name_of(one) in self._reports}  # fmt: skip

    def forget(self, namespace: str, pods: Sequence[Object], gateway_pods: set[str]) -> None:
        for name in gateway_pods - {name_of(one) for one in pods}:
            self._reports.pop(name, None)

    async def settle(
        self, namespace: str, pods: Sequence[Object], key: str, files: Mapping[str, str],
        not_older_than: float,
    ) -> bool:  # fmt: skip
        assert len(key) == 64
        if not self.answering:
            return False
        self.files = dict(files) or self.files
        for one in pods:
            self._reports[name_of(one)] = Report(
                NOW, "0.1.0", True, revisions_of(self.files), self.sessions
            )
        return True


class Rig:
    """A reconciler on an API server in memory."""

    def __init__(self, *items: Object) -> None:
        self.api = FakeApi(*items)
        self.cache = Cache()
        self.pods = StubConcentrators()
        self.now = NOW
        self.reconciler = Reconciler(
            self.api, self.cache, self.pods, SETTINGS, Metrics(),  # type: ignore[arg-type]
            clock=lambda: self.now, entropy=entropy,
        )  # fmt: skip
        self.see()

    def see(self) -> None:
        """As watches do: everything that there is, and what is not any more."""
        for kind in ("VpnGateway", "VpnUser", "Secret", "Pod", "Service", "StatefulSet"):
            there = {ref for ref in self.api.objects if ref.kind == kind}
            for known in self.cache.all_of(kind):
                if ref_of(known) not in there:
                    self.cache.remove(known)
            for ref in there:
                self.cache.put(self.api.objects[ref])

    async def turn(self) -> list[str]:
        """What it wrote, events left out."""
        self.see()
        before = len(self.api.writes())
        self.wake_in = (await self.reconciler.reconcile(OFFICE)).wake_in
        return [line for line in self.api.writes()[before:] if " Event " not in line]

    async def settle(self) -> None:
        for _ in range(20):
            try:
                if not await self.turn():
                    return
            except (Again, ApiError):
                continue
        raise AssertionError(f"it goes on writing: {self.api.writes()[-10:]}")

    def reason(self, kind: str, name: str, condition: str = "Ready") -> str:
        rows = self.api.objects[Ref(kind, "vpn", name)]["status"]["conditions"]
        return next(row["reason"] for row in rows if row["type"] == condition)

    def start_pod(self) -> None:
        one = pod("office-0")
        one["metadata"]["labels"] = child_labels("office")
        self.api.put(one)
        ref = Ref("StatefulSet", "vpn", "office")
        status = {"observedGeneration": 9, "replicas": 1, "updatedReplicas": 1}
        self.api.put({**self.api.objects[ref], "status": status})

    def events(self) -> list[str]:
        return [item["reason"] for ref, item in self.api.objects.items() if ref.kind == "Event"]


def rig() -> Rig:
    return Rig(gateway(finalizers=[], spec={"exposure": {"type": "ClusterIP"}}), user("alice"))


async def test_a_first_turn_does_it_all_and_a_second_nothing() -> None:
    one = rig()
    written = await one.turn()
    assert written[0] == "finalizers VpnGateway office"
    assert written[1:3] == ["create Secret office-psk", "create Secret vpnuser-alice"]
    assert [line for line in written if line.startswith("apply")] == [
        "apply Secret office-config", "apply Secret office-users", "apply ServiceAccount office",
        "apply Service office-pods", "apply Service office", "apply NetworkPolicy office",
        "apply StatefulSet office",
    ]  # fmt: skip
    assert written[-2:] == ["status VpnGateway office", "status VpnUser alice"]
    assert await one.turn() == []
    one.start_pod()
    assert await one.turn() == ["status VpnGateway office"]
    assert one.reason("VpnGateway", "office") == "AsSpecified"
    assert one.wake_in == 15.0
    assert await one.turn() == []
    assert sorted(one.events()) == [
        "Available", "Created", "CredentialsGenerated", "CredentialsGenerated",
    ]  # fmt: skip


async def test_it_converges_wherever_a_turn_is_cut_off() -> None:
    """A fault at each call in turn, as if the process had died there."""
    reference = rig()
    await reference.settle()
    total = len(reference.api.calls)
    passwords = texts_of(reference.api.objects[Ref("Secret", "vpn", "vpnuser-alice")])
    for broken in range(total):
        one = rig()
        count = iter(range(10_000))

        def fault(verb: str, ref: Ref, count: Any = count, broken: int = broken) -> None:
            if next(count) == broken:
                raise ApiError(500, "InternalError", "cut off")

        one.api.fault = fault
        await one.settle()
        assert one.api.objects.keys() >= {r for r in reference.api.objects if r.kind != "Event"}
        made = one.api.objects[Ref("Secret", "vpn", "vpnuser-alice")]
        assert texts_of(made).keys() == passwords.keys()
        assert await one.turn() == []


async def test_an_object_that_somebody_made_meanwhile_is_not_overwritten() -> None:
    one = rig()
    hidden = one.api.put(secret("vpnuser-alice", {"password": "a stranger's"}))
    one.see = lambda: None  # type: ignore[method-assign]
    with pytest.raises(Again):  # its creation fails, for no watch has told of it yet
        await one.turn()
    assert one.cache.get("Secret", "vpn", "vpnuser-alice") is not None
    await one.settle()
    assert hidden["metadata"]["name"] == "vpnuser-alice"
    assert one.reason("VpnUser", "alice") == "NameTaken"
    kept = one.api.objects[Ref("Secret", "vpn", "vpnuser-alice")]
    assert texts_of(kept) == {"password": "a stranger's"}


async def test_a_service_of_somebody_else_is_not_taken_over() -> None:
    one = rig()
    foreign = {"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": "web"}},
               "metadata": {"name": "office", "namespace": "vpn"}}  # fmt: skip
    one.api.put(foreign)
    one.cache.remove({**foreign, "metadata": {**foreign["metadata"], "uid": "Service-office-uid"}})  # type: ignore[dict-item]
    await one.settle()
    assert one.api.objects[Ref("Service", "vpn", "office")]["spec"] == {"selector": {"app": "web"}}
    assert one.reason("VpnGateway", "office", "Progressing") == "NameTaken"


async def test_what_the_server_refuses_is_told_and_the_rest_is_done() -> None:
    one = rig()

    def fault(verb: str, ref: Ref) -> None:
        if verb == "apply" and ref.kind == "StatefulSet":
            raise ApiError(403, "Forbidden", "exceeded quota")

    one.api.fault = fault
    await one.turn()
    assert one.reason("VpnGateway", "office", "Progressing") == "RefusedByApiServer"
    assert Ref("NetworkPolicy", "vpn", "office") in one.api.objects


async def test_pods_that_do_not_answer_are_asked_again_later_and_later() -> None:
    one = rig()
    await one.settle()
    one.start_pod()
    one.pods.answering = False
    waits = []
    for _ in range(6):
        await one.turn()
        waits.append(one.wake_in)
    assert waits == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert one.reason("VpnGateway", "office") == "ConfigNotTakenOver"
    one.pods.answering = True
    await one.turn()
    assert one.reason("VpnGateway", "office") == "AsSpecified"


async def test_counters_are_written_at_most_every_quarter_of_a_minute() -> None:
    one = rig()
    await one.settle()
    one.start_pod()
    await one.turn()
    one.pods.sessions = 5
    assert await one.turn() == []
    one.now += 14
    assert await one.turn() == []
    one.now += 2
    assert await one.turn() == ["status VpnGateway office"]
    one.pods.sessions = 6
    one.now += 2
    assert await one.turn() == []


async def test_a_revoked_user_is_out_with_one_write() -> None:
    one = rig()
    await one.settle()
    one.start_pod()
    await one.turn()
    alice = one.api.objects[Ref("VpnUser", "vpn", "alice")]
    one.api.put({**alice, "spec": {**alice["spec"], "enabled": False}})
    assert await one.turn() == ["apply Secret office-users", "status VpnUser alice"]
    assert '"enabled":false' in one.pods.files["users.json"]
    assert "Disabled" in one.reason("VpnUser", "alice")


async def test_a_secret_that_is_named_is_asked_for_once() -> None:
    one = Rig(gateway(), user("bob", with_password("his")))
    await one.settle()
    asked = [ref.name for verb, ref in one.api.calls if verb == "get" and ref.kind == "Secret"]
    assert asked.count("his") == 1
    assert one.reason("VpnUser", "bob") == "NoCredentials"
    one.api.put(secret("his", {"password": "x"}))
    await one.settle()
    assert one.reason("VpnUser", "bob") == "Active"


async def test_deletion_waits_for_the_pods() -> None:
    one = rig()
    await one.settle()
    one.start_pod()
    live = one.api.objects[Ref("VpnGateway", "vpn", "office")]
    gone = {**live["metadata"], "deletionTimestamp": "2026-09-21T14:13:20Z"}
    one.api.put({**live, "metadata": gone})
    written = await one.turn()
    assert "delete StatefulSet office" in written
    assert one.reason("VpnGateway", "office", "Progressing") == "Deleting"
    assert (
        FINALIZER in one.api.objects[Ref("VpnGateway", "vpn", "office")]["metadata"]["finalizers"]
    )
    del one.api.objects[Ref("Pod", "vpn", "office-0")]
    await one.turn()
    left = one.api.objects[Ref("VpnGateway", "vpn", "office")]
    assert left["metadata"]["finalizers"] == []


async def test_a_gateway_that_is_gone_is_forgotten() -> None:
    one = Rig(gateway())
    await one.settle()
    one.api.objects.clear()
    assert await one.turn() == []
    assert one.wake_in is None


async def test_the_same_event_is_not_posted_twice() -> None:
    one = Rig(gateway(), user("alice", {"staticIP": "192.0.2.1"}))
    await one.settle()
    assert one.events().count("UserRejected") == 1
    alice = one.api.objects[Ref("VpnUser", "vpn", "alice")]
    one.api.put(edited(alice, groups=["x"]))
    await one.settle()
    assert one.events().count("UserRejected") == 1
