"""A second IKE implementation: libreswan, with and without perfect forward secrecy."""

from __future__ import annotations

import pytest

from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from interop.rig.server import Server
from support.measured import Measured


@pytest.mark.parametrize("pfs", [False, True], ids=["without-pfs", "with-pfs"])
@pytest.mark.parametrize(
    ("ike", "esp"),
    [("aes256-sha2;modp2048", "aes256-sha1"), ("aes128-sha1;dh19", "aes_gcm128-null")],
    ids=["cbc-modp2048", "gcm-ecp256"],
)
def test_libreswan(
    ike: str, esp: str, pfs: bool, server: Server, libreswan: Client, measured: Measured
) -> None:
    measured.add(libreswan.connect(profile_of("alice", ike=ike, esp=esp, pfs=pfs)))
    ping = libreswan.ping(count=5, size=1300)
    assert ping.status == 0, ping.output
    libreswan.hang_up()
    server.await_sessions(0)


def test_libreswan_proposes_what_it_likes(
    server: Server, libreswan: Client, measured: Measured
) -> None:
    """Its own default lists, nothing chosen by hand."""
    measured.add(libreswan.connect(profile_of("alice", ike="", esp="")))
    server.await_sessions(1)
