"""What many tests do: start a gateway's pod, and see a client through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from containers.rig.gateway import INIT, MAIN, SERVICE_PORTS, Rendered
from containers.rig.kubelet import Pod
from containers.rig.place import NODE_INSIDE, Place

MakePod: TypeAlias = Callable[..., Pod]
Probe: TypeAlias = Callable[[], dict[str, Any]]


def started(make_pod: MakePod, rendered: Rendered, **options: Any) -> Pod:
    """A pod whose init step is done and whose main container is ready."""
    pod = make_pod(rendered, **options)
    ended = pod.run(INIT)
    assert ended.exit_code == 0, ended
    pod.start(MAIN)
    pod.await_ready(MAIN)
    return pod


def check_way_through(
    pod: Pod, place: Place, probe: Probe, ports: Mapping[int, int] = SERVICE_PORTS
) -> None:
    """A client connects, pings and fetches; the web host sees nobody but the node."""
    place.expose(pod.address, ports)
    before = place.asked()
    report = probe()
    assert report["ok"], report
    assert place.asked()[len(before) :] == [NODE_INSIDE]
