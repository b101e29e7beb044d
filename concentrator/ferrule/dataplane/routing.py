"""The host's side of the TUN: address, MTU, routes to the pools, and forwarding, by netlink.

Forwarding and rp_filter go through RTM_SETLINK, which works where /proc/sys is read-only;
`/proc/sys/net/ipv4/ip_forward` still reads 0 then. Every step may be repeated. No IPv6.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Any, Final, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

T = TypeVar("T")

_RTM_SETLINK = 19
_NLMSG_ERROR = 2
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_IFLA_AF_SPEC = 26
_IFLA_INET_CONF = 1
_IFLA_INET6_ADDR_GEN_MODE = 8
_ADDR_GEN_MODE_NONE = 1
_MAIN_TABLE = 254
_KERNEL_ROUTE = 2  # RTPROT_KERNEL
_HEADER = struct.Struct("=IHHII")
_IFINFOMSG = struct.Struct("=BxHiII")
_TIMEOUT_SECONDS: Final = 5.0


class InetConf(IntEnum):
    """Numbers of the per-interface IPv4 settings (linux/ip.h, IPV4_DEVCONF_...)."""

    FORWARDING = 1
    ACCEPT_REDIRECTS = 4
    SEND_REDIRECTS = 6
    RP_FILTER = 8


class RoutingError(OSError):
    """The host's routing can't be set; the message says which step failed, and why."""


@dataclass(frozen=True, slots=True)
class TunLink:
    """What the host shall know about the TUN. `address` is the gateway's inner address."""

    name: str
    address: IPv4Address
    mtu: int
    pools: tuple[IPv4Network, ...]
    egress: tuple[str, ...] = ()  # interfaces beyond; empty: all that are up but loopback


def configure(link: TunLink) -> tuple[str, ...]:
    """Make the host be as `link` says; what is right already stays untouched.

    Returns the names of the interfaces that forward beside the TUN. Raises RoutingError.
    """
    index = _step(f"find {link.name}", lambda: socket.if_nametoindex(link.name))
    _step("switch off IPv6 link-local addresses", lambda: _no_ipv6_address(index))
    _step(
        f"forward from {link.name}",
        lambda: set_inet_conf(
            index,
            {
                InetConf.FORWARDING: 1,
                InetConf.RP_FILTER: 1,
                InetConf.SEND_REDIRECTS: 0,
                InetConf.ACCEPT_REDIRECTS: 0,
            },
        ),
    )
    egress = _netlink(lambda netlink: _configure(netlink, link, index))
    for name, other in egress.items():
        _step(
            f"forward from {name}",
            lambda other=other: set_inet_conf(other, {InetConf.FORWARDING: 1}),  # type: ignore[misc]
        )
    return tuple(egress)


def check(link: TunLink) -> None:
    """See that the host is as `configure` makes it, as far as packets depend on it.

    Takes no privilege. Raises RoutingError, which says all that is lacking.
    """
    index = _step(f"find {link.name}", lambda: socket.if_nametoindex(link.name))
    if missing := _netlink(lambda netlink: _missing(netlink, link, index)):
        raise RoutingError(
            f"{link.name} was prepared for another configuration, for there is "
            f"{' and '.join(missing)}: run ferrule init-tun again (in a pod: replace the pod)"
        )


def forwards(name: str) -> bool:
    """The interface `name` forwards IPv4. Raises RoutingError if there is none."""
    index = _step(f"find {name}", lambda: socket.if_nametoindex(name))
    return bool(_netlink(lambda netlink: _inet_conf(netlink, index)).get("forwarding"))


def _configure(netlink: Any, link: TunLink, index: int) -> dict[str, int]:
    _step(
        f"bring {link.name} up with MTU {link.mtu}",
        lambda: netlink.link("set", index=index, mtu=link.mtu, state="up"),
    )
    _set_address(netlink, link, index)
    _set_routes(netlink, link, index)
    return _egress(netlink, link, index)


def _missing(netlink: Any, link: TunLink, index: int) -> list[str]:
    missing = []
    if (str(link.address), 32) not in _addresses(netlink, index):
        missing.append(f"no address {link.address}")
    routes = _routes(netlink, index)
    wanted = {str(pool) for pool in collapse_addresses(link.pools)}
    missing += [f"no route to {route}" for route in sorted(wanted - routes.keys())]
    if not _inet_conf(netlink, index).get("forwarding"):
        missing.append(f"no forwarding from {link.name}")
    beyond = _egress(netlink, link, index)
    if not any(_inet_conf(netlink, other).get("forwarding") for other in beyond.values()):
        missing.append("no other interface that forwards")
    return missing


def _set_address(netlink: Any, link: TunLink, index: int) -> None:
    there = _addresses(netlink, index)
    wanted = (str(link.address), 32)
    if wanted not in there:
        _step(
            f"give {link.name} the address {link.address}",
            lambda: netlink.addr("add", index=index, address=wanted[0], prefixlen=32),
        )
    for address, length in there - {wanted}:
        netlink.addr("del", index=index, address=address, prefixlen=length)


def _set_routes(netlink: Any, link: TunLink, index: int) -> None:
    there = _routes(netlink, index)
    wanted = {str(pool) for pool in collapse_addresses(link.pools)}
    for route in wanted - there.keys():
        _step(
            f"route {route} to {link.name}",
            lambda route=route: netlink.route("replace", dst=route, oif=index, scope="link"),  # type: ignore[misc]
        )
    for route in there.keys() - wanted:
        netlink.route("del", dst=route, oif=index, scope=there[route])


def _addresses(netlink: Any, index: int) -> set[tuple[str, int]]:
    return {
        (message.get_attr("IFA_LOCAL"), message["prefixlen"])
        for message in netlink.get_addr(family=socket.AF_INET, index=index)
    }


def _routes(netlink: Any, index: int) -> dict[str, int]:
    """The routes to the interface that are not the kernel's own, with their scope."""
    return {
        f"{message.get_attr('RTA_DST') or '0.0.0.0'}/{message['dst_len']}": message["scope"]
        for message in netlink.get_routes(family=socket.AF_INET, oif=index, table=_MAIN_TABLE)
        if message["proto"] != _KERNEL_ROUTE
    }


def _egress(netlink: Any, link: TunLink, index: int) -> dict[str, int]:
    up = {
        message.get_attr("IFLA_IFNAME"): message["index"]
        for message in netlink.get_links()
        if message["flags"] & 1 and not message["flags"] & 8 and message["index"] != index
    }
    if not link.egress:
        return up
    if missing := [name for name in link.egress if name not in up]:
        raise RoutingError(f"egress interface {', '.join(missing)}: not there, or not up")
    return {name: up[name] for name in link.egress}


def _inet_conf(netlink: Any, index: int) -> dict[str, int]:
    (message,) = netlink.get_links(index)
    specification = message.get_attr("IFLA_AF_SPEC")
    return dict(specification.get_attr("AF_INET")) if specification else {}


def _netlink(work: Callable[[Any], T]) -> T:
    """Run `work` with a netlink socket, in a thread: pyroute2 will not run inside an event loop."""

    def run() -> T:
        with IPRoute() as netlink:
            return work(netlink)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _step(what: str, deed: Callable[[], T]) -> T:
    try:
        return deed()
    except (OSError, NetlinkError) as error:
        code = getattr(error, "code", None) or getattr(error, "errno", None) or 0
        cause = os.strerror(code) if code else str(error)
        if code in (errno.EPERM, errno.EACCES):
            cause = "not allowed: grant CAP_NET_ADMIN"
        raise RoutingError(f"cannot {what}: {cause}") from error


# --- settings of an interface


def set_inet_conf(index: int, settings: dict[InetConf, int]) -> None:
    """Set IPv4 settings of an interface; raises OSError.

    By hand, for pyroute2's `af_spec` is ignored without an error.
    """
    values = b"".join(_attribute(key, struct.pack("=I", value)) for key, value in settings.items())
    _set_link(index, _attribute(socket.AF_INET, _attribute(_IFLA_INET_CONF, values)))


def _no_ipv6_address(index: int) -> None:
    """A TUN that has a link-local address chatters; a kernel without IPv6 has nothing to set."""
    mode = _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_ADDR_GEN_MODE_NONE,)))
    try:
        _set_link(index, _attribute(socket.AF_INET6, mode))
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _set_link(index: int, af_spec: bytes) -> None:
    body = _IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0) + _attribute(_IFLA_AF_SPEC, af_spec)
    flags = _NLM_F_REQUEST | _NLM_F_ACK
    message = _HEADER.pack(_HEADER.size + len(body), _RTM_SETLINK, flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(_TIMEOUT_SECONDS)
        netlink.send(message)
        answer = netlink.recv(8192)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    code = -struct.unpack_from("=i", answer, _HEADER.size)[0] if kind == _NLMSG_ERROR else 0
    if code:
        raise OSError(code, os.strerror(code))


def _attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute: length, type, value, padded to four octets."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
