"""The ladder of ways to a TUN device, each with the real image under runc and crun.

The operator's pod template runs its init step and its main container; a client outside connects
through the Service's ports and reaches a host behind the pod. Where a runtime keeps the device
away, the init step says so.
"""

from __future__ import annotations

import pytest

from containers.rig.gateway import INIT, PLUGIN, Rendered
from containers.rig.place import Place
from containers.rig.steps import MakePod, Probe, check_way_through, started


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
