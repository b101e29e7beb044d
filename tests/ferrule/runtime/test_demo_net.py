"""Namespaces as descriptors: work, sockets and programs inside; cables between them."""

from __future__ import annotations

import os
import socket
import sys
from ipaddress import IPv4Interface
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ferrule.runtime import demo_net
from ferrule.runtime.demo_net import (
    DemoNetError,
    Namespace,
    Plug,
    connect,
    enter_own_network,
    set_up_loopback,
)
from support.netns import run_inside


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def _inside() -> None:
    here = Namespace.here()
    there = Namespace.new()
    try:
        set_up_loopback(here)
        connect(
            Plug(here, "left", IPv4Interface("192.0.2.1/24")),
            Plug(there, "right", IPv4Interface("192.0.2.2/24")),
        )
        assert interfaces() == {"lo", "left"}
        assert there.run(interfaces) == {"lo", "right"}

        listener = there.run(lambda: socket.create_server(("192.0.2.2", 0)))
        with listener, socket.create_connection(listener.getsockname(), 5) as connection:
            assert connection.getsockname()[0] == "192.0.2.1"

        with TemporaryDirectory() as directory:
            log = Path(directory) / "log"
            text = "import socket; print([name for _, name in socket.if_nameindex()])"
            assert there.start([sys.executable, "-c", text], log).wait(30) == 0
            assert log.read_text() == "['lo', 'right']\n"
    finally:
        here.close()
        there.close()


@pytest.mark.netns
def test_two_namespaces_and_a_cable() -> None:
    run_inside(_inside)


def _raises() -> None:
    here = Namespace.here()
    with pytest.raises(ZeroDivisionError):
        here.run(lambda: 1 // 0)
    here.close()
    with pytest.raises(DemoNetError, match="Run it as root"):
        here.run(interfaces)


@pytest.mark.netns
def test_what_is_raised_inside_comes_out() -> None:
    run_inside(_raises)


class _Refusing:
    @staticmethod
    def unshare(_flags: int) -> int:
        return -1


def test_a_system_that_refuses_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_net, "_libc", _Refusing)
    before = os.readlink("/proc/self/ns/net")
    with pytest.raises(DemoNetError, match=r"as root, or let users have namespaces"):
        enter_own_network()
    assert os.readlink("/proc/self/ns/net") == before
