"""Two pods of one template with a real Valkey between them: each learns who it is from the downward
API, and a client whose ports 500 and 4500 lead to different pods gets through."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containers.rig.gateway import MAIN, SERVICE_PORTS, STORE_PASSWORD, Rendered
from containers.rig.kubelet import Pod
from containers.rig.place import NODE_INSIDE, Place
from containers.rig.steps import MakePod, Probe, started
from support.valkey import server_program

PORT = 6379


@pytest.fixture
def store(place: Place, tmp_path: Path) -> Iterator[str]:
    """The URL of a Valkey that pods reach, with the password of the rig."""
    program = server_program()
    assert program is not None, "no Valkey server: make setup"
    options = {"port": PORT, "bind": NODE_INSIDE, "requirepass": STORE_PASSWORD, "dir": tmp_path}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = place.node.start(
        [program, *words, "--save", "", "--appendonly", "no"], tmp_path / "valkey.log"
    )
    yield f"valkey://{NODE_INSIDE}:{PORT}/0"
    process.stop()


def members(pod: Pod) -> list[str]:
    """Whom the pod takes for members."""
    code, said = pod.execute(MAIN, "ferrule", "cluster", "--json")
    if code:
        return []
    status: dict[str, Any] = json.loads(said)
    return sorted(member["name"] for member in status["members"])


def await_members(pods: list[Pod], seconds: float = 30.0) -> None:
    wanted = sorted(pod.name for pod in pods)
    end = time.monotonic() + seconds
    while any(members(pod) != wanted for pod in pods):
        assert time.monotonic() < end, [(pod.name, members(pod), pod.log(MAIN)) for pod in pods]
        time.sleep(0.2)


def test_two_pods_are_one_gateway(
    image: str, make_pod: MakePod, place: Place, probe: Probe, store: str
) -> None:
    rendered = Rendered(image, store=store)
    pods = [started(make_pod, rendered, name=f"office-{ordinal}") for ordinal in range(2)]
    await_members(pods)
    first, second = pods
    ways = (first, second), (second, first), (second, second)
    for ike, natt in ways:
        place.expose_apart(
            {500: (ike.address, SERVICE_PORTS[500]), 4500: (natt.address, SERVICE_PORTS[4500])}
        )
        report = probe()
        assert report["ok"], report
    first.kill(MAIN)
    first.start(MAIN)  # as the kubelet does
    first.await_ready(MAIN)
    await_members(pods)
