"""What the containers may do: the init step NET_ADMIN and no more, the main container nothing."""

from __future__ import annotations

import json

import pytest

from containers.rig.gateway import INIT, MAIN, Rendered
from containers.rig.kubelet import Pod
from containers.rig.steps import MakePod

NET_ADMIN = 1 << 12
MKNOD = 1 << 27
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
OWNER = "65532"


def as_sleeper(rendered: Rendered) -> Rendered:
    """The init container as it is, but that it waits, to be looked at."""
    rendered.init["command"] = ["sleep", "1000"]
    del rendered.init["args"]
    return rendered


@pytest.mark.parametrize(
    ("profile", "capabilities"), [("InitTun", NET_ADMIN | MKNOD), ("HostPath", NET_ADMIN)]
)
def test_the_init_step(profile: str, capabilities: int, image: str, make_pod: MakePod) -> None:
    pod = make_pod(as_sleeper(Rendered(image, profile)))
    pod.start(INIT)
    status = pod.status(INIT)
    assert status["Uid"].split() == ["0"] * 4
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {capabilities}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_the_main_container(prepared: Pod) -> None:
    status = prepared.status(MAIN)
    assert status["Uid"].split() == [OWNER] * 4
    assert status["Gid"].split() == [OWNER] * 4
    assert {int(status[name], 16) for name in SETS} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_its_root_is_read_only_and_its_device_folder_too(prepared: Pod) -> None:
    for place in ("/x", "/opt/ferrule/x", "/dev/net/x", "/etc/ferrule/x", "/tmp/x"):
        code, said = prepared.execute(MAIN, "touch", place)
        assert (code, "Read-only file system" in said) == (1, True), said
    assert prepared.execute(MAIN, "touch", "/run/ferrule/x") == (0, "")


def test_it_may_change_nothing_of_the_network(prepared: Pod) -> None:
    code, said = prepared.execute(MAIN, "nft", "list", "ruleset")
    assert (code, "Operation not permitted" in said) == (1, True), said
    make = "from ferrule.dataplane.tun import Tun; Tun('other0')"
    code, said = prepared.execute(MAIN, "python", "-c", make)
    assert (code, "making it was not allowed" in said) == (1, True), said


def test_the_device_is_as_it_was_meant(prepared: Pod) -> None:
    show = prepared.within_network(MAIN, "ip", "-json", "-details", "link", "show", "ferrule0")
    (link,) = json.loads(show)
    data = link["linkinfo"]["info_data"]
    assert (data["type"], str(data["user"]), data["persist"]) == ("tun", OWNER, True)
    assert data["multi_queue"]
    assert link["operstate"] == "UP"


def test_there_is_no_way_past_the_masquerade(prepared: Pod) -> None:
    """One table of ours, a guard and a masquerade; rp_filter; no sysctl of the whole pod."""
    rules = json.loads(prepared.within_network(MAIN, "nft", "-j", "list", "ruleset"))
    tables = [item["table"]["name"] for item in rules["nftables"] if "table" in item]
    assert tables == ["ferrule_ferrule0"]
    settings = {
        name: prepared.within_network(MAIN, "cat", f"/proc/sys/net/ipv4/{name}").strip()
        for name in ("ip_forward", "conf/ferrule0/forwarding", "conf/ferrule0/rp_filter")
    }
    assert settings == {
        "ip_forward": "0",
        "conf/ferrule0/forwarding": "1",
        "conf/ferrule0/rp_filter": "1",
    }
