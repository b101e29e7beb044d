"""The operator when the way to the API server is bad, and when it is killed: it converges, does
not write in a loop, and never forgets who must be out."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.control_plane import ControlPlane
from tests.kubernetes.operator.faults import FaultyWay
from tests.kubernetes.operator.pods import Kubelet
from tests.kubernetes.operator.process import Operator, install_rights, operating
from tests.kubernetes.test_operator import Stage, finalized, gateway, refused, user

CONVERGED = 60.0  # seconds


class FaultyStage(Stage):
    """A `Stage` whose operator comes by a faulty way."""

    way: FaultyWay


@pytest.fixture
def stage(
    api: Api, controllers: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[FaultyStage]:
    account = install_rights(api, namespace)
    with FaultyWay(api.plane.server, account.kubeconfig) as way:
        config = way.kubeconfig(tmp_path)
        with (
            operating(config, tmp_path, NAMESPACE=namespace) as operator,
            Kubelet(api, namespace) as kubelet,
        ):
            one = FaultyStage(api, namespace, operator, kubelet)
            one.way = way
            mark = api.audit.mark()
            yield one
    account.close()
    finalized(api, namespace)
    assert refused(api, namespace, mark) == []


def quiet(stage: Stage) -> None:
    """Nothing is written once things have settled."""
    stage.operator.rest()
    mark = stage.api.audit.mark()
    time.sleep(8)
    assert stage.writes(mark) == []


@pytest.mark.parametrize(
    "statuses", [{409: 0.3}, {429: 0.3}, {500: 0.3}, {409: 0.1, 429: 0.1, 500: 0.1, 410: 0.1}]
)
def test_errors(stage: FaultyStage, statuses: dict[int, float]) -> None:
    stage.way.faults.statuses = statuses
    stage.apply(gateway(), user("alice"), user("bob"))
    concentrator = stage.kubelet.run("office-0")
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", CONVERGED)
    stage.apply(user("bob", enabled=False))
    stage.until(lambda: concentrator.user("bob").enabled is False, CONVERGED)
    assert sum(stage.way.faults.met.values()) > 0
    stage.way.faults.clear()
    quiet(stage)


def test_answers_that_get_lost(stage: FaultyStage) -> None:
    """What was written was written, though the operator thinks that it was not."""
    stage.way.faults.broken = 0.3
    stage.way.faults.only = frozenset({"POST", "PATCH", "PUT", "DELETE"})
    stage.apply(gateway(), user("alice"))
    concentrator = stage.kubelet.run("office-0")
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", CONVERGED)
    password = stage.get("secret", "vpnuser-alice")["data"]["password"]
    stage.way.faults.clear()
    quiet(stage)
    assert stage.get("secret", "vpnuser-alice")["data"]["password"] == password
    assert concentrator.user("alice") is not None


def test_a_slow_way(stage: FaultyStage) -> None:
    stage.way.faults.delay_seconds = 0.5
    concentrator = stage.started()
    stage.apply(user("bob", enabled=False))
    stage.until(lambda: concentrator.user("bob").enabled is False, seconds=15)


def test_watches_that_break_lose_nothing(stage: FaultyStage) -> None:
    concentrator = stage.started()
    for number in range(3):
        stage.way.drop_watches()
        stage.apply(user(f"user-{number}"))
        stage.api.kubectl("delete", "vpnu", "--ignore-not-found", f"user-{number - 1}",
                          "-n", stage.namespace)  # fmt: skip
        stage.until(lambda n=number: concentrator.user(f"user-{n}"), seconds=15)  # type: ignore[misc]
        stage.until(lambda n=number: concentrator.user(f"user-{n - 1}") is None, seconds=15)  # type: ignore[misc]
    quiet(stage)


def test_a_deletion_that_no_watch_told_of(stage: FaultyStage) -> None:
    """While the operator was away; and while a watch began anew, which tells of no deletions."""
    concentrator = stage.started()
    stage.operator.stop()
    stage.api.kubectl("delete", "vpnu", "bob", "-n", stage.namespace)
    assert concentrator.user("bob") is not None
    stage.operator.start()
    stage.until(lambda: concentrator.user("bob") is None, seconds=15)


def test_killed_at_any_moment(stage: FaultyStage) -> None:
    chance = random.Random(11)
    stage.way.faults.delay_seconds = 0.05  # so that a turn lasts, and the kill falls into it
    stage.apply(gateway(), *(user(f"user-{n}") for n in range(6)))
    for _ in range(8):
        time.sleep(chance.uniform(0.8, 2.5))  # it takes about a second to start
        stage.operator.stop(signal.SIGKILL)
        stage.operator.start()
    concentrator = stage.kubelet.run("office-0")
    stage.operator.await_ready()
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", CONVERGED)
    assert len(concentrator.config.users) == 6
    for number in range(6):
        name = f"user-{number}"
        stage.until(lambda n=name: stage.reason("vpnu", n) == "Active", seconds=20)  # type: ignore[misc]
    stage.way.faults.clear()
    quiet(stage)


def test_no_way_at_all_for_a_while(stage: FaultyStage) -> None:
    concentrator = stage.started()
    stage.way.faults.statuses = {500: 1.0}
    stage.apply(user("bob", enabled=False))
    time.sleep(4)
    assert stage.operator.running
    stage.way.faults.clear()
    stage.until(lambda: concentrator.user("bob").enabled is False, seconds=30)


def test_two_operators_and_one_leader(stage: FaultyStage, tmp_path: Path) -> None:
    stage.operator.stop()
    values = {"operator.replicas": "2"}
    account = install_rights(stage.api, stage.namespace, values)
    election = {"NAMESPACE": stage.namespace, "LEADER_ELECTION": "true"}
    with (
        operating(account.kubeconfig, tmp_path, POD_NAME="one", **election) as one,
        operating(account.kubeconfig, tmp_path, POD_NAME="two", **election) as two,
    ):
        stage.until(lambda: leaders(one, two) == 1, seconds=20)
        stage.apply(gateway(), user("alice"))
        concentrator = stage.kubelet.run("office-0")
        leader, other = (one, two) if is_leader(one) else (two, one)
        assert leader.stop() == 0  # gives the lease back
        took = stage.until(lambda: is_leader(other), seconds=20)
        assert took < 6
        stage.apply(user("carol"))
        stage.until(lambda: concentrator.user("carol"), seconds=15)
        leader.start()
        leader.await_ready()
        other.stop(signal.SIGKILL)  # keeps it, until it is 15 s old
        took = stage.until(lambda: is_leader(leader), seconds=40)
        stage.apply(user("dave"))
        stage.until(lambda: concentrator.user("dave"), seconds=15)
        other.start()
    account.close()


def is_leader(operator: Operator) -> bool:
    try:
        return bool(operator.metrics()["ferrule_operator_leader"])
    except OSError:
        return False


def leaders(*operators: Operator) -> int:
    return sum(map(is_leader, operators))
