"""The rig without our server: the same clients connect to strongSwan with xl2tpd and pppd.

If this fails, look at the rig before you look at the server.
"""

from __future__ import annotations

from interop.rig.peers import Client
from interop.rig.reference import REFERENCE_ADDRESS, ReferenceServer
from interop.rig.scenario import PASSWORDS, PSK, profile_of
from interop.rig.topology import WEB_ADDRESS, Laboratory
from support.measured import Measured


def test_clients_work_with_another_server(
    laboratory: Laboratory, alice: Client, measured: Measured
) -> None:
    guest = laboratory.add_guest("reference", ())
    try:
        guest.await_boot()
        address, _ = laboratory.place(guest, "wan")
        guest.shell(f"ip addr add {WEB_ADDRESS}/32 dev lo")
        ReferenceServer(guest).start(PSK, PASSWORDS)
        session = alice.connect(profile_of("alice", server=address), seconds=20)
        measured.add(session)
        assert session.peer_address == REFERENCE_ADDRESS
        assert alice.ping(count=3).status == 0
        alice.reset()
    finally:
        laboratory.remove_guest(guest)
