"""Every authentication method, cipher, hash and group of the acceptance list, with real clients."""

from __future__ import annotations

import pytest

from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from interop.rig.server import Server
from support.measured import Measured

METHODS = {"mschap-v2": "mschapv2", "chap": "chap", "pap": "pap"}


@pytest.mark.parametrize("method", METHODS)
def test_authentication_method(
    method: str, server: Server, behind_nat: Client, measured: Measured
) -> None:
    """A client that refuses the others gets the one that is left."""
    measured.add(behind_nat.connect(profile_of("alice", methods=(method,))))
    (seen,) = server.await_sessions(1)
    assert seen["auth"] == METHODS[method]


@pytest.mark.parametrize("group", ["modp2048", "ecp256"])
@pytest.mark.parametrize("cipher", ["aes128-sha1", "aes256-sha256", "aes256-sha1", "3des-sha1"])
def test_phase1(
    cipher: str, group: str, server: Server, behind_nat: Client, measured: Measured
) -> None:
    proposal = f"{cipher}-{group}"
    measured.add(behind_nat.connect(profile_of("alice", ike=proposal)))
    (seen,) = server.await_sessions(1)
    assert seen["phase1"] == proposal


@pytest.mark.parametrize(
    "proposal",
    [
        "aes128-sha1",
        "aes256-sha1",
        "aes128-sha256",
        "aes256-sha256",
        "3des-sha1",
        "aes128gcm128",
        "aes256gcm128",
    ],
)
def test_phase2(proposal: str, server: Server, behind_nat: Client, measured: Measured) -> None:
    measured.add(behind_nat.connect(profile_of("alice", esp=proposal)))
    (seen,) = server.await_sessions(1)
    assert seen["phase2"].startswith(proposal.removesuffix("128"))
    ping = behind_nat.ping(count=3, size=1300)
    assert ping.status == 0, ping.output


@pytest.mark.parametrize("group", ["modp2048", "ecp256"])
def test_perfect_forward_secrecy(
    group: str, server: Server, behind_nat: Client, measured: Measured
) -> None:
    measured.add(behind_nat.connect(profile_of("alice", esp=f"aes256-sha1-{group}")))
