"""ike-scan, whose eyes are those of whoever looks at the gateway from outside."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interop.rig.server import Server
from interop.rig.topology import SERVER_ADDRESS, Laboratory

STRONG = "--trans=(1=7,14=256,2=4,3=1,4=14)"  # AES-256, SHA2-256, pre-shared key, MODP 2048


@pytest.mark.parametrize(
    ("arguments", "answer", "reason"),
    [
        ([STRONG], "SA=(Enc=AES KeyLength=256 Hash=SHA2-256 Auth=PSK Group=14:modp2048)", ""),
        ([], "NO-PROPOSAL-CHOSEN", "weak_group"),  # its default: DES and 3DES with MODP 768, 1024
        (["--aggressive", "--id=x", "--dhgroup=14"], "NO-PROPOSAL-CHOSEN", "aggressive_mode"),
        (["--trans=5,2,3,14"], "NO-PROPOSAL-CHOSEN", "auth_method"),  # an RSA signature
    ],
    ids=["strong", "weak", "aggressive", "certificate"],
)
def test_a_scan_gets_an_answer_and_we_know_why(
    server: Server, laboratory: Laboratory, arguments: Sequence[str], answer: str, reason: str
) -> None:
    mark = server.mark()
    said = laboratory.nat.namespace.run(
        "ike-scan", "--sport=0", "--retry=1", *arguments, SERVER_ADDRESS
    )
    assert answer in said
    assert "1 hosts scanned" in said
    if reason:
        assert server.await_log(mark, event="set-up failed", reason=reason)


def test_ikev2_is_told_that_there_is_none(server: Server, laboratory: Laboratory) -> None:
    dropped = server.metric("ferrule_dropped_total", reason="ike_version")
    said = laboratory.nat.namespace.run(
        "ike-scan", "--sport=0", "--retry=1", "--ikev2", SERVER_ADDRESS
    )
    assert "INVALID-MAJOR-VERSION" in said
    assert server.metric("ferrule_dropped_total", reason="ike_version") == dropped + 1
