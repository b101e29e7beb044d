"""Wrong set-ups: each ends with a message that names its cause, where Kubernetes shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from containers.rig.gateway import CLOSED_NODE, INIT, MAIN, PLUGIN, POOL, Rendered
from containers.rig.place import Place
from containers.rig.steps import MakePod, Probe, check_way_through, started

Change = Callable[[Rendered], Any]


def _capabilities(*names: str) -> Change:
    def change(rendered: Rendered) -> None:
        rendered.init["securityContext"]["capabilities"]["add"] = list(names)

    return change


def _init_as_user(rendered: Rendered) -> None:
    rendered.init["securityContext"] |= {"runAsUser": 65532, "runAsNonRoot": True}


def _no_volume(container: str) -> Change:
    def change(rendered: Rendered) -> None:
        chosen = rendered.init if container == INIT else rendered.main
        mounts = chosen["volumeMounts"]
        chosen["volumeMounts"] = [mount for mount in mounts if mount["name"] != "dev-net"]

    return change


def _read_only_volume(rendered: Rendered) -> None:
    _device_mount(rendered.init)["readOnly"] = True


def _device_mount(container: dict[str, Any]) -> dict[str, Any]:
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "dev-net"]
    found: dict[str, Any] = mount
    return found


def _volume_on_a_hardened_disk(rendered: Rendered) -> None:
    (volume,) = [v for v in rendered.template["spec"]["volumes"] if v["name"] == "dev-net"]
    volume["emptyDir"] = {}


def _device_only_for_main(rendered: Rendered) -> None:
    del rendered.init["resources"]


def _wrong_configuration(rendered: Rendered) -> None:
    rendered.replace_in_config(POOL, "10.20.0.0/99")


@pytest.mark.parametrize(
    ("profile", "change", "reason", "words"),
    [
        ("InitTun", _capabilities("NET_ADMIN"), "TunNodeNotMade", "grant CAP_MKNOD to uid 0"),
        ("InitTun", _capabilities("MKNOD"), "TunNotAllowed", "grant CAP_NET_ADMIN to uid 0"),
        ("HostPath", _capabilities(), "TunNotAllowed", "grant CAP_NET_ADMIN to uid 0"),
        ("InitTun", _init_as_user, "TunNodeNotMade", "grant CAP_MKNOD to uid 0"),
        ("HostPath", _init_as_user, "TunNotAllowed", "another user of a container does not get it"),
        ("InitTun", _no_volume(INIT), "TunNodeMissing", "mount a volume there that the main"),
        ("InitTun", _read_only_volume, "TunNodeNotMade", "is read-only: mount an emptyDir"),
        (
            "InitTun",
            _volume_on_a_hardened_disk,
            "TunNodeUnreadable",
            "mounted nodev: use an emptyDir with medium: Memory",
        ),
        ("DevicePlugin", _device_only_for_main, "TunNodeMissing", "there is no folder for"),
        ("InitTun", _wrong_configuration, "ConfigInvalid", "gateway.pools[0].cidr"),
    ],
)
def test_the_init_step_says_what_is_wrong(
    profile: str, change: Change, reason: str, words: str, image: str, make_pod: MakePod
) -> None:
    rendered = Rendered(image, profile)
    change(rendered)
    pod = make_pod(rendered, plugin=PLUGIN, disk_options="nodev")
    ended = pod.run(INIT)
    assert ended.exit_code == 1, ended
    assert ended.message.startswith(f"{reason}: "), ended
    assert words in ended.message
    assert f"ferrule init-tun: {ended.message}" in ended.log
    assert "Traceback" not in ended.log


def _main_as_another(rendered: Rendered) -> None:
    rendered.main["securityContext"]["runAsUser"] = 65533


def _device_only_for_init(rendered: Rendered) -> None:
    rendered.main["resources"] = {}


def _closed_node(rendered: Rendered) -> None:
    (volume,) = [v for v in rendered.template["spec"]["volumes"] if v["name"] == "tun"]
    volume["hostPath"]["path"] = CLOSED_NODE


def _low_port(rendered: Rendered) -> None:
    rendered.replace_in_config("ikePort: 10500", "ikePort: 500")


def _as_if_not_prepared(rendered: Rendered) -> None:
    rendered.replace_in_config("prepared: true", "prepared: false")


@pytest.mark.parametrize(
    ("profile", "change", "words"),
    [
        ("InitTun", _no_volume(MAIN), "/dev/net/tun is missing"),
        ("DevicePlugin", _device_only_for_init, "/dev/net/tun is missing"),
        (
            "HostPath",
            _closed_node,
            "no permission to open /dev/net/tun: run as root, or let its mode",
        ),
        ("InitTun", _main_as_another, "it belongs to uid 65532, and this is uid 65533"),
        ("InitTun", _low_port, "UDP port 500 of 0.0.0.0: ports below 1024 are not for this user"),
        ("InitTun", _as_if_not_prepared, "not allowed: grant CAP_NET_ADMIN"),
    ],
)
def test_the_main_container_says_what_is_wrong(
    profile: str, change: Change, words: str, image: str, make_pod: MakePod
) -> None:
    rendered = Rendered(image, profile)
    change(rendered)
    pod = make_pod(rendered, plugin=PLUGIN)
    assert pod.run(INIT).exit_code == 0
    ended = pod.run(MAIN)
    assert ended.exit_code == 1, ended
    assert "can't start: " in ended.message
    assert words in ended.message
    assert "Traceback" not in ended.log


def test_without_the_init_step(image: str, make_pod: MakePod) -> None:
    ended = make_pod(Rendered(image)).run(MAIN)
    assert ended.exit_code == 1
    assert "ferrule0: it is not there: run ferrule init-tun beforehand" in ended.message


def test_prepared_for_another_configuration(image: str, make_pod: MakePod) -> None:
    rendered = Rendered(image)
    pod = make_pod(rendered)
    assert pod.run(INIT).exit_code == 0
    text = rendered.replace_in_config(POOL, "10.21.0.0/24")
    pod.change_file("config", "gateway.yaml", text)
    ended = pod.run(MAIN)
    assert ended.exit_code == 1
    assert "no address 10.21.0.1 and no route to 10.21.0.0/24" in ended.message
    assert "run ferrule init-tun again (in a pod: replace the pod)" in ended.message


def test_a_low_port_by_the_safe_sysctl(
    image: str, make_pod: MakePod, place: Place, probe: Probe
) -> None:
    """How a pod is reached at its own address, without a Service that maps ports."""
    rendered = Rendered(image)
    _low_port(rendered)
    rendered.replace_in_config("nattPort: 14500", "nattPort: 4500")
    name = "net.ipv4.ip_unprivileged_port_start"
    rendered.template["spec"]["securityContext"]["sysctls"] = [{"name": name, "value": "500"}]
    pod = started(make_pod, rendered)
    check_way_through(pod, place, probe, {500: 500, 4500: 4500})
