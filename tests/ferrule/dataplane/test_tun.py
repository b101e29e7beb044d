"""The TUN device: packets both ways, persistent devices, and errors that name their cause."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from ferrule.dataplane import tun as module
from ferrule.dataplane.routing import TunLink, configure
from ferrule.dataplane.tun import Tun, make_persistent
from ferrule.dataplane.tun_faults import TunError, TunFault
from support.dataplane import udp
from support.netns import run_inside

NAME = "ferrule0"
HERE, FAR = "10.8.0.1", "10.8.0.7"


def link_up(name: str = NAME) -> None:
    configure(TunLink(name, IPv4Address(HERE), 1400, (IPv4Network("10.8.0.0/24"),)))


def read_one(tun: Tun) -> bytes:
    packets: list[bytes] = []
    while not packets:
        readable, _, _ = select.select([tun], [], [], 10)
        assert readable, "no packet came"
        tun.read(packets.append, 1)
    return packets[0]


def check_both_ways(tun: Tun) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.settimeout(10)
        host.bind((HERE, 5000))
        host.sendto(b"question", (FAR, 53))
        packet = read_one(tun)
        assert packet[12:20] == IPv4Address(HERE).packed + IPv4Address(FAR).packed
        assert packet[20:24] == b"\x13\x88\x00\x35"
        assert packet[28:] == b"question"
        tun.write(udp(FAR, HERE, b"answer", ports=(53, 5000)))
        assert host.recvfrom(100) == (b"answer", (FAR, 53))
    assert not tun.gone
    assert tun.unwritten == 0


def refusal(name: str) -> str:
    try:
        Tun(name).close()
    except TunError as error:
        return str(error)
    raise AssertionError("the device was taken")


# --- inside a namespace of their own


def packets_go_both_ways() -> None:
    with Tun(NAME) as tun:
        link_up()
        check_both_ways(tun)
        assert tun.read(lambda packet: None, 64) == 0  # nothing of IPv6 chatters on it
    assert NAME not in os.listdir("/sys/class/net")


def a_batch_is_bounded() -> None:
    with Tun(NAME) as tun, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        link_up()
        for number in range(10):
            host.sendto(bytes([number]), (FAR, 53))
        packets: list[bytes] = []
        assert tun.read(packets.append, 4) == 4
        assert tun.read(packets.append, 64) == 6
        assert [packet[28] for packet in packets] == list(range(10))


def a_link_that_is_down_loses_packets_but_raises_nothing() -> None:
    with Tun(NAME) as tun:
        tun.write(udp(FAR, HERE, b"x"))
        tun.write(b"")
        tun.write(b"\x99 is no IP")
        assert tun.unwritten == 3
        assert tun.read(lambda packet: None, 64) == 0
        assert not tun.gone


def a_device_that_was_deleted_is_told() -> None:
    with Tun(NAME) as tun:
        link_up()
        with IPRoute() as netlink:
            netlink.link("del", ifname=NAME)
        assert tun.read(lambda packet: None, 64) == 0
        assert tun.gone
        tun.write(udp(FAR, HERE, b"x"))
        assert tun.unwritten == 1


def persistent_devices_are_taken_as_they_are() -> None:
    for flags in ((), ("vnet_hdr",), ("multi_queue",), ("multi_queue", "vnet_hdr")):
        with IPRoute() as netlink:
            netlink.link("add", ifname=NAME, kind="tuntap", mode="tun", **dict.fromkeys(flags, 1))
        for _ in range(2):
            with Tun(NAME) as tun:
                link_up()
                check_both_ways(tun)
        with IPRoute() as netlink:
            netlink.link("del", ifname=NAME)


def a_persistent_device_is_made_once_and_stays() -> None:
    for _ in range(2):
        make_persistent(NAME, 65532)
        with Tun(NAME, prepared=True) as tun:
            link_up()
            check_both_ways(tun)
            assert tun.running
        make_persistent(NAME, 65532)
    with IPRoute() as netlink:
        (link,) = netlink.get_links(ifname=NAME)
        data = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    assert data.get_attr("IFLA_TUN_OWNER") == 65532
    assert data.get_attr("IFLA_TUN_MULTI_QUEUE") == 1
    assert data.get_attr("IFLA_TUN_PERSIST") == 1


def a_device_runs_when_it_is_up_and_has_a_queue() -> None:
    make_persistent(NAME, 65532)
    link_up()
    with Tun(NAME) as tun:
        while not tun.running:  # the kernel takes a moment
            os.sched_yield()
        with IPRoute() as netlink:
            (index,) = netlink.link_lookup(ifname=NAME)
            netlink.link("set", index=index, state="down")
            assert not tun.running
            netlink.link("del", index=index)
        assert not tun.running


def a_prepared_device_is_not_made() -> None:
    with pytest.raises(TunError, match="run ferrule init-tun beforehand") as caught:
        Tun(NAME, prepared=True)
    assert caught.value.fault is TunFault.NOT_PREPARED
    with IPRoute() as netlink:
        assert not netlink.link_lookup(ifname=NAME)


def an_open_device_is_in_use() -> None:
    with Tun(NAME):
        assert "in use by another process" in refusal(NAME)


def another_kind_of_interface_is_no_tun() -> None:
    with IPRoute() as netlink:
        netlink.link("add", ifname=NAME, kind="veth", peer={"ifname": "other"})
    assert "is no TUN" in refusal(NAME)
    assert "is no TUN" in refusal("lo")


def without_the_capability_the_remedy_is_named() -> None:
    os.setresuid(65534, 65534, 65534)
    message = refusal(NAME)
    assert "CAP_NET_ADMIN" in message or "run as root" in message, message


@pytest.mark.netns
@pytest.mark.parametrize(
    "function",
    [
        packets_go_both_ways,
        a_batch_is_bounded,
        a_link_that_is_down_loses_packets_but_raises_nothing,
        a_device_that_was_deleted_is_told,
        persistent_devices_are_taken_as_they_are,
        a_persistent_device_is_made_once_and_stays,
        a_device_runs_when_it_is_up_and_has_a_queue,
        a_prepared_device_is_not_made,
        an_open_device_is_in_use,
        another_kind_of_interface_is_no_tun,
    ],
)
def test_in_a_namespace(function: Callable[[], None]) -> None:
    run_inside(function)


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root can become somebody else")
def test_without_privilege() -> None:
    run_inside(without_the_capability_the_remedy_is_named)


# --- anywhere


@pytest.mark.parametrize("name", ["", "sixteen-octets-x", "a/b"])
def test_bad_names(name: str) -> None:
    with pytest.raises(TunError, match="not a name"):
        Tun(name)


def test_a_missing_device_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "DEVICE", str(tmp_path / "tun"))
    with pytest.raises(TunError, match="missing: load the module tun"):
        Tun(NAME)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EPERM, "CAP_NET_ADMIN"),
        (errno.EBUSY, "in use"),
        (errno.EINVAL, "no TUN"),
        (errno.ENOSPC, "No space left"),
    ],
)
def test_a_refused_attachment_closes_the_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, words: str
) -> None:
    device = tmp_path / "tun"
    device.touch()

    def refuse(*_: object) -> bytes:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, "DEVICE", str(device))
    monkeypatch.setattr(module.fcntl, "ioctl", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(TunError, match=words):
        Tun(NAME)
    assert len(os.listdir("/proc/self/fd")) == before
