"""The host's side of the TUN, looked at through /proc and netlink: set, repeated, changed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from ferrule.dataplane.routing import RoutingError, TunLink, configure, forwards
from ferrule.dataplane.tun import Tun
from support.netns import run_inside

NAME = "ferrule0"
LINK = TunLink(
    NAME,
    IPv4Address("10.8.0.1"),
    1404,
    (IPv4Network("10.8.0.0/25"), IPv4Network("10.8.0.128/25"), IPv4Network("10.9.0.0/20")),
)


def with_veth() -> None:
    """Loopback and the pair eth0, eth1 are up, as in a container with a network."""
    with IPRoute() as netlink:
        netlink.link("add", ifname="eth0", kind="veth", peer={"ifname": "eth1"})
        for name in ("lo", "eth0", "eth1"):
            netlink.link("set", ifname=name, state="up")


def seen() -> tuple[int, set[str], set[str], str]:
    """MTU, addresses, routes and state of the TUN."""
    with IPRoute() as netlink:
        (index,) = netlink.link_lookup(ifname=NAME)
        (link,) = netlink.get_links(index)
        addresses = {
            f"{message.get_attr('IFA_ADDRESS')}/{message['prefixlen']}"
            for message in netlink.get_addr(index=index)
        }
        routes = {
            f"{message.get_attr('RTA_DST')}/{message['dst_len']}"
            for message in netlink.get_routes(family=2, oif=index, table=254)
        }
    return link.get_attr("IFLA_MTU"), addresses, routes, link.get_attr("IFLA_OPERSTATE")


def setting(interface: str, name: str) -> str:
    return Path(f"/proc/sys/net/ipv4/conf/{interface}/{name}").read_text().strip()


def refusal(link: TunLink) -> str:
    try:
        configure(link)
    except RoutingError as error:
        return str(error)
    raise AssertionError("it was configured")


def the_host_becomes_as_wanted_however_often() -> None:
    with_veth()
    with Tun(NAME):
        for _ in range(3):
            assert set(configure(LINK)) == {"eth0", "eth1"}
            mtu, addresses, routes, _ = seen()
            assert mtu == 1404
            assert addresses == {"10.8.0.1/32"}
            assert routes == {"10.8.0.0/24", "10.9.0.0/20"}
        for interface in (NAME, "eth0", "eth1"):
            assert setting(interface, "forwarding") == "1"
            assert forwards(interface)
        assert setting(NAME, "rp_filter") == "1"
        assert setting(NAME, "send_redirects") == "0"
        assert setting(NAME, "accept_redirects") == "0"
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"
        assert not forwards("lo")


def a_change_takes_the_old_away() -> None:
    with_veth()
    with Tun(NAME):
        configure(LINK)
        with IPRoute() as netlink:
            (index,) = netlink.link_lookup(ifname=NAME)
            netlink.addr("add", index=index, address="10.77.0.1", prefixlen=24)
        changed = replace(
            LINK, address=IPv4Address("10.9.0.1"), mtu=1280, pools=(IPv4Network("10.9.0.0/20"),)
        )
        configure(changed)
        mtu, addresses, routes, _ = seen()
        assert mtu == 1280
        assert addresses == {"10.9.0.1/32"}
        assert routes == {"10.9.0.0/20"}


def only_the_named_interfaces_forward() -> None:
    with_veth()
    with Tun(NAME):
        assert configure(replace(LINK, egress=("eth1",))) == ("eth1",)
        assert forwards("eth1")
        assert not forwards("eth0")
        message = refusal(replace(LINK, egress=("eth1", "wlan7")))
        assert message == "egress interface wlan7: not there, or not up"


def it_works_inside_an_event_loop() -> None:
    async def inside() -> tuple[str, ...]:
        return configure(LINK)

    with_veth()
    with Tun(NAME):
        assert set(asyncio.run(inside())) == {"eth0", "eth1"}


def without_a_tun_the_step_is_named() -> None:
    message = refusal(LINK)
    assert message.startswith(f"cannot find {NAME}: "), message


def without_the_capability_the_remedy_is_named() -> None:
    with Tun(NAME):
        os.setresuid(65534, 65534, 65534)
        assert refusal(LINK).endswith("not allowed: grant CAP_NET_ADMIN")


@pytest.mark.netns
@pytest.mark.parametrize(
    "function",
    [
        the_host_becomes_as_wanted_however_often,
        a_change_takes_the_old_away,
        only_the_named_interfaces_forward,
        it_works_inside_an_event_loop,
        without_a_tun_the_step_is_named,
    ],
)
def test_in_a_namespace(function: Callable[[], None]) -> None:
    run_inside(function)


@pytest.mark.netns
@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root can become somebody else")
def test_without_privilege() -> None:
    run_inside(without_the_capability_the_remedy_is_named)
