"""Clean endings from either side, seen by both; and a server that says goodbye."""

from __future__ import annotations

from interop.rig.peers import Client
from interop.rig.scenario import profile_of
from interop.rig.server import Server
from support.measured import Measured

SOON_SECONDS = 1.0
# RFC 1661 4.1: who is sent a Terminate-Request waits for one restart interval before it is gone.
PPPD_SECONDS = 5.0


def test_client_hangs_up(server: Server, behind_nat: Client, measured: Measured) -> None:
    """xl2tpd disconnects, then strongSwan deletes its SAs: nothing is left at the server."""
    session = behind_nat.connect(profile_of("alice"))
    mark = server.mark()
    behind_nat.hang_up()
    server.await_sessions(0)
    ended = server.await_log(mark, event="session ended", reason="peer_closed")
    assert ended["user"] == "alice"
    assert ended["address"] == session.address
    assert ended["octets_up"] > 0
    assert server.admin("GET", "/status")["clients"] == 0
    measured.add(f"logged: {ended['summary']}, after {ended['seconds']} s")


def test_client_deletes_its_sas(server: Server, behind_nat: Client) -> None:
    """Only IPsec says goodbye, as after a laptop's lid: the session ends with its SAs."""
    behind_nat.connect(profile_of("alice"))
    mark = server.mark()
    behind_nat.ike.down()
    server.await_sessions(0)
    assert server.await_log(mark, event="session ended")["user"] == "alice"


def test_pppd_ends(server: Server, behind_nat: Client) -> None:
    """LCP Terminate-Request from the client is acknowledged at once."""
    behind_nat.connect(profile_of("alice"))
    mark = server.mark()
    journal = behind_nat.guest.mark()
    behind_nat.guest.shell("kill $(cat /run/ppp0.pid)")
    asked = behind_nat.guest.await_line(r"sent \[LCP TermReq", journal)
    answered = behind_nat.guest.await_line(r"rcvd \[LCP TermAck", journal)
    assert answered.at - asked.at < SOON_SECONDS
    server.await_sessions(0)
    server.await_log(mark, event="session ended", reason="peer_closed")


def test_server_kicks(server: Server, behind_nat: Client, measured: Measured) -> None:
    """`ferrule kick`: the client's interface is gone, and it knows that it was the server."""
    behind_nat.connect(profile_of("alice"))
    mark = server.mark()
    journal = behind_nat.guest.mark()
    assert "1" in server.command("kick", "--user", "alice")
    told = behind_nat.guest.await_line(r"rcvd \[LCP TermReq", journal)
    down = behind_nat.guest.await_line(r"ip-down", journal, source="script")
    measured.add(f"{told.text}; address gone {down.at - told.at:.3f} s later")
    assert down.at - told.at < SOON_SECONDS
    assert behind_nat.guest.await_path("/sys/class/net/ppp0", gone=True, timeout=PPPD_SECONDS)
    behind_nat.guest.await_line(r"closed to \S+, port 1701", journal, source="xl2tpd")
    ended = server.await_log(mark, event="session ended", reason="admin_kick")
    assert ended["user"] == "alice"
    assert server.sessions() == []


def test_server_kicks_one_of_two(
    server: Server, behind_nat: Client, bob: Client, measured: Measured
) -> None:
    behind_nat.connect(profile_of("alice"))
    bob.connect(profile_of("bob"))
    assert server.kick("alice") == 1
    assert behind_nat.guest.await_path("/sys/class/net/ppp0", gone=True, timeout=PPPD_SECONDS)
    ping = bob.ping(count=5)
    assert ping.status == 0, ping.output
    measured.add(behind_nat.connect(profile_of("alice")), "alice again")
