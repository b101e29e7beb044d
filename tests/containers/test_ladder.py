"""The ladder of ways to a TUN device, each with the real image under runc and crun.

The operator's pod template runs its init step and its main container; a client outside connects
through the Service's ports and reaches a host behind the pod. Where a runtime keeps the device
away, the init step says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from containers.rig.gateway import INIT, MAIN, PLUGIN, SERVICE_PORTS, Rendered
from containers.rig.kubelet import Pod
from containers.rig.place import NODE_INSIDE, Place

MakePod = Callable[..., Pod]
Probe = Callable[[], dict[str, Any]]

NET_ADMIN = 1 << 12
NOTHING = "0000000000000000"


def started(make_pod: MakePod, rendered: Rendered, **options: Any) -> Pod:
    """A pod whose init step is done and whose main container is ready."""
    pod = make_pod(rendered, **options)
    ended = pod.run(INIT)
    assert ended.exit_code == 0, ended
    pod.start(MAIN)
    pod.await_ready(MAIN)
    return pod


def check_way_through(pod: Pod, place: Place, probe: Probe) -> None:
    """A client connects, pings and fetches; the web host sees nobody but the node."""
    place.expose(pod.address, SERVICE_PORTS)
    report = probe()
    assert report["outcome"] == "connected", report
    assert place.seen_by_web() == {NODE_INSIDE}


@pytest.mark.parametrize(
    ("runtime", "profile"),
    [
        ("runc", "InitTun"),
        ("runc", "HostPath"),
        ("runc", "DevicePlugin"),
        ("crun", "DevicePlugin"),
    ],
)
def test_it_holds(
    runtime: str, profile: str, image: str, make_pod: MakePod, place: Place, probe: Probe
) -> None:
    pod = started(make_pod, Rendered(image, profile), runtime=runtime, plugin=PLUGIN)
    check_way_through(pod, place, probe)


@pytest.mark.parametrize("profile", ["InitTun", "HostPath"])
def test_crun_keeps_the_device_away_and_the_init_step_says_so(
    profile: str, image: str, make_pod: MakePod
) -> None:
    ended = make_pod(Rendered(image, profile), runtime="crun").run(INIT)
    assert ended.exit_code == 1
    assert ended.message.startswith("TunNodeDenied: TUN device ferrule0: "), ended
    assert "device plugin (podSecurity.tunResource)" in ended.message
