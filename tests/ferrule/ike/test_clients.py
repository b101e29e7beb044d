"""The proposals of real clients end in the right choice, or in a refusal that names its cause."""

import pytest

from ferrule.core.reasons import Reason
from ferrule.ike.effects import (
    ActivateIpsecSa,
    IkeFailed,
    InitialContact,
    InstallIpsecSa,
    IsakmpSaUp,
)
from support.ike import CLIENT, Link, policy
from support.ike_clients import CLIENTS

CHOICES = [
    # client, server's extra rules, phase 1, phase 2, the client's UDP port
    ("windows", {}, "aes256-sha1-ecp384", "aes256-sha1", 1701),
    ("macos", {}, "aes256-sha256-modp2048", "aes256-sha256", 53_712),
    ("android", {"allow_modp1024": True}, "aes256-sha256-modp1024", "aes256-sha256", 0),
    ("chromeos", {}, "aes256-sha512-curve25519", "aes128gcm16", 1701),
    ("networkmanager", {}, "aes256-sha256-modp2048", "aes256-sha1", 1701),
    ("mikrotik", {}, "aes128-sha1-modp2048", "aes128-sha1", 1701),
    ("old-router", {"allow_md5": True}, "3des-md5-modp2048", "3des-md5", 1701),
]


@pytest.mark.parametrize(("client", "rules", "suite1", "suite2", "port"), CHOICES)
def test_choice(client: str, rules: dict[str, object], suite1: str, suite2: str, port: int) -> None:
    link = Link(policy(**CLIENTS[client]), policy(**rules))
    link.connect()
    up = link.server.only(IsakmpSaUp)
    assert up.suite == suite1
    assert link.client.only(IsakmpSaUp).suite == suite1
    wanted = CLIENTS[client].get("offer_identification", CLIENT.host)
    assert up.identity == wanted
    assert bool(link.server.of(InitialContact)) == (client != "windows")

    link.quick()
    installed, activated = link.server.only(InstallIpsecSa), link.server.only(ActivateIpsecSa)
    assert activated.suite == suite2
    assert (installed.local_port, installed.peer_port) == (1701, port)
    assert installed.udp_encapsulated
    assert installed.path.natt
    assert activated.pfs == ("modp1024" if client == "mikrotik" else "")
    theirs = link.client.only(InstallIpsecSa)
    assert theirs.inbound_key.reveal() == installed.outbound_key.reveal()
    assert theirs.outbound_key.reveal() == installed.inbound_key.reveal()
    assert installed.inbound_key.reveal() != installed.outbound_key.reveal()
    assert len(installed.inbound_key) == installed.suite.keymat_octets


def test_windows_says_what_it_is_and_its_limits_are_kept() -> None:
    link = Link(policy(**CLIENTS["windows"]))
    link.connect()
    link.quick()
    up, installed = link.server.only(IsakmpSaUp), link.server.only(InstallIpsecSa)
    assert "windows" in up.vendor_ids
    assert "dpd" not in up.vendor_ids
    assert up.natt == "rfc3947"
    assert installed.life_seconds == 3600
    assert installed.life_octets == 250_000 * 1024


@pytest.mark.parametrize(
    ("client", "reason", "named"),
    [
        ("android", Reason.WEAK_GROUP, "aes_cbc256-sha2_384-modp1024"),
        ("old-router", Reason.WEAK_HASH, "des3_cbc-md5-modp2048"),
    ],
)
def test_weak_offers_are_named(client: str, reason: Reason, named: str) -> None:
    link = Link(policy(**CLIENTS[client]))
    link.connect()
    failed = link.server.only(IkeFailed)
    assert failed.reason is reason
    assert named in failed.detail
    link.advance(3)
    told = link.client.only(IkeFailed)
    assert told.reason is Reason.PEER_NOTIFY
    assert "NO-PROPOSAL-CHOSEN" in told.detail
    assert link.now - 1000 < 4
    assert len(link.log) <= 4


def test_sha2_384_is_never_chosen_while_there_is_another() -> None:
    link = Link(policy(**CLIENTS["android"]), policy(allow_modp1024=True))
    link.connect()
    link.quick()
    assert "sha384" not in link.server.only(IsakmpSaUp).suite
    assert "sha384" not in link.server.only(ActivateIpsecSa).suite


@pytest.mark.parametrize("version", ["rfc3947", "draft-02", "draft-02_n", "draft-03"])
@pytest.mark.parametrize("client", ["windows", "chromeos"])
def test_each_version_of_nat_traversal(client: str, version: str) -> None:
    link = Link(policy(**CLIENTS[client] | {"offer_vendor_ids": (version,)}))
    link.connect()
    link.quick()
    assert link.server.only(IsakmpSaUp).natt == version
    assert link.server.only(InstallIpsecSa).udp_encapsulated
    assert [path.natt for _, path, _ in link.log] == [False] * 4 + [True] * 5
