"""The init step in namespaces: what it makes, twice; what it says when it can't."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from ferrule.dataplane import routing, tun
from ferrule.dataplane.nft import NftError, NftMissing
from ferrule.dataplane.routing import RoutingError, TunLink
from ferrule.dataplane.tun import Tun
from ferrule.dataplane.tun_faults import TunError, TunFault
from ferrule.runtime import init_tun as module
from ferrule.runtime.config import load
from ferrule.runtime.egress import open_egress
from ferrule.runtime.init_tun import MESSAGE_MAX, InitError, init_tun, leave_message
from support.netns import run_inside
from support.runtime import GOOD, write

NAME = "ferrule0"
OWNER = 65532
LINK = TunLink(NAME, IPv4Address("10.20.0.1"), 1400, (IPv4Network("10.20.0.0/24"),))
PREPARED = "listen: {prepared: true}\n" + GOOD
root_only = pytest.mark.skipif(
    os.geteuid() != 0, reason="left out: only root can become somebody else"
)


def with_a_network() -> None:
    with IPRoute() as netlink:
        netlink.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth1"})
        for name in ("lo", "eth0", "eth1"):
            (index,) = netlink.link_lookup(ifname=name)
            netlink.link("set", index=index, state="up")


def seen() -> str:
    commands = (
        ["ip", "-br", "address", "show", "dev", NAME],
        ["ip", "route"],
        ["nft", "-s", "list", "ruleset"],
    )
    return "\n".join(subprocess.check_output(command, text=True) for command in commands)


def become_the_owner() -> None:
    """An ordinary user without a capability, who may gain none."""
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    os.setgroups([])
    os.setresgid(OWNER, OWNER, OWNER)
    os.setresuid(OWNER, OWNER, OWNER)
    status = Path("/proc/self/status").read_text()
    assert "CapEff:\t0000000000000000" in status


# --- inside a namespace of their own


def it_may_run_as_often_as_it_likes(file: Path) -> None:
    with_a_network()
    init_tun(file, OWNER)
    first = seen()
    assert "10.20.0.1/32" in first
    assert "10.20.0.0/24 dev ferrule0" in first
    assert first.count("masquerade") == 1
    for _ in range(2):
        init_tun(file, OWNER)
        assert seen() == first
    routing.check(LINK)


def the_owner_attaches_without_a_capability(file: Path) -> None:
    with_a_network()
    init_tun(file, OWNER)
    before = seen()
    become_the_owner()
    for _ in range(2):  # the device stays when nobody has it open
        with open_egress(load(file)) as device:
            while not device.running:
                os.sched_yield()
        with pytest.raises(TunError, match="making it was not allowed"):
            Tun("other0")
    routing.check(LINK)
    assert before.split("\n")[0].split()[2] == "10.20.0.1/32"


def another_user_does_not(file: Path) -> None:
    init_tun(file, OWNER + 1)
    become_the_owner()
    with pytest.raises(TunError, match="CAP_NET_ADMIN") as caught:
        Tun(NAME, prepared=True)
    assert caught.value.fault == "TunNotAllowed"


def without_it_there_is_nothing_to_attach_to(file: Path) -> None:
    with pytest.raises(TunError, match="run ferrule init-tun beforehand"), open_egress(load(file)):
        raise AssertionError("it was opened")
    assert "ferrule0" not in subprocess.check_output(["ip", "link"], text=True)


def what_was_prepared_otherwise_is_told(file: Path) -> None:
    with_a_network()
    init_tun(file, OWNER)
    other = file.read_text().replace("10.20.0.0/24", "10.21.0.0/24")
    with (
        pytest.raises(RoutingError, match=r"no address 10\.21\.0\.1 and no route to 10\.21\.0\.0"),
        open_egress(load(write(file.parent, other, "other.yaml"))),
    ):
        raise AssertionError("it was opened")


def forwarding_is_looked_at_too(file: Path) -> None:
    with_a_network()
    init_tun(file, OWNER)
    with IPRoute() as netlink:
        indexes = [netlink.link_lookup(ifname=name)[0] for name in (NAME, "eth0", "eth1")]
    for index in indexes:
        routing.set_inet_conf(index, {routing.InetConf.FORWARDING: 0})
    with pytest.raises(RoutingError, match="no forwarding from ferrule0 and no other interface"):
        routing.check(LINK)


def a_device_of_another_kind_is_told(file: Path) -> None:
    with IPRoute() as netlink:
        netlink.link("add", ifname=NAME, kind="veth", peer={"ifname": "x"})
    with pytest.raises(InitError, match="is no TUN") as caught:
        init_tun(file, OWNER)
    assert caught.value.reason == "TunMismatch"


def without_the_capability_it_says_so(file: Path) -> None:
    become_the_owner()
    with pytest.raises(InitError, match="CAP_NET_ADMIN") as caught:
        init_tun(file, OWNER)
    assert caught.value.reason == "TunNotAllowed"


def _open_to_all(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A node that the owner may open, whatever the mode of the machine's own."""
    node = folder / "tun"
    os.mknod(node, 0o020666, os.makedev(10, 200))
    node.chmod(0o666)
    monkeypatch.setattr(tun, "DEVICE", str(node))


@pytest.mark.netns
@pytest.mark.parametrize(
    "function",
    [
        it_may_run_as_often_as_it_likes,
        without_it_there_is_nothing_to_attach_to,
        what_was_prepared_otherwise_is_told,
        forwarding_is_looked_at_too,
        a_device_of_another_kind_is_told,
    ],
)
def test_in_a_namespace(function: Callable[[Path], None], tmp_path: Path) -> None:
    run_inside(partial(function, write(tmp_path, PREPARED)))


@pytest.mark.netns
@root_only
@pytest.mark.parametrize(
    "function",
    [
        the_owner_attaches_without_a_capability,
        another_user_does_not,
        without_the_capability_it_says_so,
    ],
)
def test_as_another_user(function: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own is for its user only
        folder = Path(name)
        folder.chmod(0o755)
        _open_to_all(monkeypatch, folder)
        run_inside(partial(function, write(folder, PREPARED)))


# --- the node


@root_only
def test_the_node_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "tun"
    monkeypatch.setattr(tun, "DEVICE", str(node))
    before = os.umask(0o077)
    try:
        assert tun.make_node(NAME)
    finally:
        os.umask(before)
    made = node.stat()
    assert (made.st_mode, made.st_rdev) == (0o020666, os.makedev(10, 200))
    assert not tun.make_node(NAME)


def test_a_node_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tun, "DEVICE", str(tmp_path / "net" / "tun"))
    with pytest.raises(InitError, match="mount a volume there") as caught:
        init_tun(write(tmp_path, PREPARED), OWNER)
    assert caught.value.reason == "TunNodeMissing"


def test_a_node_that_may_not_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(tun, "DEVICE", str(tmp_path / "tun"))
    monkeypatch.setattr(tun.os, "mknod", refuse)
    with pytest.raises(InitError, match="CAP_MKNOD") as caught:
        init_tun(write(tmp_path, PREPARED), OWNER)
    assert caught.value.reason == "TunNodeNotMade"


# --- reasons and messages


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NftMissing(), "NftMissing"),
        (NftError("nft refused the table"), "NftRefused"),
        (RoutingError("cannot route"), "RoutingRefused"),
    ],
)
def test_what_the_host_refuses_has_a_reason(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(module, "make_node", lambda name: False)
    monkeypatch.setattr(module, "make_persistent", lambda name, owner: None)
    monkeypatch.setattr(module, "configure_host", refuse)
    with pytest.raises(InitError) as caught:
        init_tun(write(tmp_path, PREPARED), OWNER)
    assert str(caught.value) == f"{reason}: {error}"


@pytest.mark.parametrize(
    "reason", [*TunFault, "ConfigInvalid", "NftMissing", "NftRefused", "RoutingRefused"]
)
def test_the_page_explains_every_reason(reason: str) -> None:
    page = Path(__file__).parents[3] / "docs" / "pods.md"
    assert f"`{reason}`" in page.read_text()


def test_every_problem_of_the_configuration_is_told(tmp_path: Path) -> None:
    text = GOOD.replace("psk:", "pks:").replace("10.20.0.0/24", "10.20.0.0/99")
    with pytest.raises(InitError) as caught:
        init_tun(write(tmp_path, text), OWNER)
    assert caught.value.reason == "ConfigInvalid"
    assert "gateway.ipsec.pks" in str(caught.value)
    assert "gateway.pools[0].cidr" in str(caught.value)


def test_the_message_is_left_only_where_it_is_wanted(tmp_path: Path) -> None:
    place = tmp_path / "message"
    assert not leave_message(place, "x")
    assert not place.exists()
    place.touch()
    assert leave_message(place, "é" * MESSAGE_MAX)
    assert place.stat().st_size == MESSAGE_MAX
