"""Crashes: of the server, after which its client is back by itself, and of a client."""

from __future__ import annotations

import signal
import time

import pytest

from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from interop.rig.server import Server
from interop.rig.topology import WEB_ADDRESS
from support.measured import Measured

# After a kill xl2tpd repeats the goodbye to its old call for half a minute before it dials again.
RETURN_SECONDS = 70
GONE_SECONDS = 60  # dead peer detection of the base configuration


def seconds_until_ping(client: Client, patience: float) -> float:
    """How long until a ping is answered again."""
    started = time.monotonic()
    while time.monotonic() - started < patience:
        ping = client.guest.try_run("ping", "-n", "-c", "1", "-W", "1", WEB_ADDRESS, timeout=5)
        if ping.status == 0:
            return time.monotonic() - started
        time.sleep(0.2)
    raise AssertionError(f"no answer in {patience} s:\n{client.guest.journal()[-6000:]}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_client_is_back_after_a_restart(
    number: signal.Signals, server: Server, behind_nat: Client, measured: Measured
) -> None:
    """strongSwan with DPD and xl2tpd that redials: nobody touches the client."""
    profile = profile_of(
        "alice", dpd_seconds=2, dpd_timeout_seconds=6, restart=True, echo_seconds=2
    )
    behind_nat.load(profile, autodial=True)
    seconds_until_ping(behind_nat, 30)
    server.stop(number)
    server.start()
    measured.add(f"back {seconds_until_ping(behind_nat, RETURN_SECONDS):.1f} s after the restart")
    (session,) = server.await_sessions(1)
    assert session["user"] == "alice"


@pytest.mark.parametrize("initial_contact", [True, False])
def test_stale_session_is_replaced(
    initial_contact: bool, server: Server, behind_nat: Client, measured: Measured
) -> None:
    """A machine that lost its memory connects anew: at once, and with its old address."""
    profile = profile_of("alice", initial_contact=initial_contact)
    before = behind_nat.connect(profile)
    mark = server.mark()
    behind_nat.crash()
    (stale,) = server.sessions()
    assert stale["user"] == "alice"
    after = behind_nat.connect(profile)
    measured.add(after)
    assert after.address == before.address
    server.await_sessions(1)
    ended = server.await_log(mark, event="session ended", user="alice")
    reason = "initial_contact" if initial_contact else "replaced_session"
    assert ended["reason"] == reason
    assert behind_nat.ping(count=5).status == 0


def test_dead_client_is_noticed(server: Server, bob: Client, measured: Measured) -> None:
    """A client that vanishes is found by dead peer detection; its session ends."""
    bob.connect(profile_of("bob"))
    mark = server.mark()
    bob.crash()
    started = time.monotonic()
    ended = server.await_log(mark, GONE_SECONDS, event="session ended", user="bob")
    measured.add(f"{ended['summary']}, noticed after {time.monotonic() - started:.1f} s")
    assert ended["reason"] in {"peer_dead", "lcp_echo_timeout", "l2tp_timeout"}
    assert server.sessions() == []
