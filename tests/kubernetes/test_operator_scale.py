"""Many users on one gateway: how soon a change is effective, memory, writes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster.api import Api
from tests.kubernetes.cluster.control_plane import ControlPlane
from tests.kubernetes.operator.pods import Kubelet
from tests.kubernetes.operator.process import install_rights, operating
from tests.kubernetes.test_operator import SOON, Stage, finalized, gateway, user


@pytest.fixture
def stage(api: Api, controllers: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    account = install_rights(api, namespace)
    usual = {"RESYNC_SECONDS": "60", "POLL_SECONDS": "15"}
    with (
        operating(account.kubeconfig, tmp_path, NAMESPACE=namespace, **usual) as operator,
        Kubelet(api, namespace) as kubelet,
    ):
        yield Stage(api, namespace, operator, kubelet)
    account.close()
    finalized(api, namespace)


def create(stage: Stage, count: int) -> None:
    items = [user(f"user-{number:05}") for number in range(count)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    stage.api.kubectl("create", "-n", stage.namespace, "-f", "-", stdin=text, timeout=600)


@pytest.mark.parametrize(("count", "most_mb"), [(1000, 250), (10_000, 400)])
def test_many_users(
    stage: Stage, count: int, most_mb: int, record_property: Callable[[str, object], None]
) -> None:
    mark = stage.api.audit.mark()
    start = time.monotonic()
    stage.apply(gateway())
    create(stage, count)
    last = f"user-{count - 1:05}"
    stage.until(lambda: stage.reason("vpnu", last) == "Active", seconds=300)
    made = time.monotonic() - start
    stage.operator.rest()
    written = stage.writes(mark)
    # a password and a status for each, and a few for the gateway: bursts are one turn
    assert len(written) < 3 * count + 200
    concentrator = stage.kubelet.run("office-0")
    assert len(concentrator.config.users) == count
    stage.until(lambda: stage.reason("vpngw", "office") == "AsSpecified", seconds=30)
    stage.operator.rest()

    mark = stage.api.audit.mark()
    times = []
    for name in ("user-00000", last):
        stage.apply(user(name, enabled=False))
        times.append(stage.until(lambda n=name: concentrator.user(n).enabled is False))  # type: ignore[misc]
        stage.until(lambda n=name: stage.reason("vpnu", n) == "Disabled")  # type: ignore[misc]
    written = stage.writes(mark)
    assert len([line for line in written if "secrets" in line]) == 2
    assert len(written) <= 4, written
    assert max(times) < SOON
    resident = stage.operator.resident_mb()
    record_property("made_seconds", round(made, 1))
    record_property("effective_seconds", [round(seconds, 2) for seconds in times])
    record_property("resident_mb", round(resident))
    print(f"{count} users: made in {made:.0f} s, effective in {times}, {resident:.0f} MB")  # noqa: T201
    assert resident < most_mb
