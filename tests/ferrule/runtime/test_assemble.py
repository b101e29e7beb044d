"""Configuration fields arrive where they count."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from ferrule.crypto.suites import Cipher, EspSuite, Group, Hash, Integrity
from ferrule.ike.policy import Phase1Transform
from ferrule.runtime.assemble import gateway_settings
from support.runtime import loaded

FULL = """\
listen: {publicAddress: 198.51.100.7, pathMTU: 1400}
gateway:
  ipsec:
    psk: the-new-and-random-key
    previousPsk: the-old-and-random-key
    proposals: {phase1: [aes256-sha1-modp2048], phase2: [aes128-sha1, aes128gcm16]}
    ikeLifetime: 2h
    espLifetime: 30m
    dpdSeconds: 15
    allowWeak: [modp1024]
  l2tp: {hostName: gate, tunnelSecret: tunnel-secret, receiveWindow: 8}
  ppp:
    auth: [pap]
    mtu: 1300
    mssClamp: false
    dns: [9.9.9.9]
    wins: [10.0.0.9]
    domain: example.org
    idleTimeout: 10m
    sessionTimeout: 8h
    helloSeconds: 90
    echoSeconds: 7
  pools: [{name: default, cidr: 10.20.0.0/24}]
  egress: {routes: [10.0.0.0/8]}
  limits: {sessionsMax: 77, halfOpenMax: 9, perSourceRate: 3}
"""


def test_every_field_counts(tmp_path: Path) -> None:
    settings = gateway_settings(loaded(tmp_path, FULL))
    ike = settings.ike
    assert [key.reveal() for key in ike.keys] == [
        b"the-new-and-random-key",
        b"the-old-and-random-key",
    ]
    assert ike.phase1 == (Phase1Transform(Cipher.AES256_CBC, Hash.SHA1, Group.MODP2048),)
    assert ike.phase2 == (
        EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96),
        EspSuite(Cipher.AES128_GCM16, None),
    )
    assert (ike.ike_life_seconds, ike.esp_life_seconds, ike.dpd_seconds) == (7200, 1800, 15)
    assert (ike.allow_modp1024, ike.allow_md5) == (True, False)
    assert (ike.half_open_max, ike.per_source_rate) == (9, 3)
    assert ike.identity == "198.51.100.7"
    assert settings.l2tp.host_name == "gate"
    assert settings.l2tp.tunnel_secret is not None
    assert settings.l2tp.receive_window == 8
    assert settings.l2tp.hello_seconds == 90
    assert settings.ppp.auth == ("pap",)
    assert (settings.ppp.mru, settings.ppp.echo_seconds) == (1300, 7)
    assert (settings.outer_mtu, settings.mtu, settings.clamp_mss) == (1400, 1300, False)
    assert settings.dns == (IPv4Address("9.9.9.9"),)
    assert settings.wins == (IPv4Address("10.0.0.9"),)
    assert settings.domain == "example.org"
    assert settings.routes == (IPv4Network("10.0.0.0/8"),)
    assert (settings.idle_timeout, settings.session_timeout) == (600, 28800)
    assert settings.sessions_max == 77


@pytest.mark.parametrize(
    ("identity", "sent"), [("vpn.example.org", "@vpn.example.org"), ("203.0.113.4", "203.0.113.4")]
)
def test_a_configured_identity_wins_over_the_public_address(
    tmp_path: Path, identity: str, sent: str
) -> None:
    text = FULL.replace("dpdSeconds: 15", f"identity: {identity}")
    assert gateway_settings(loaded(tmp_path, text)).ike.identity == sent


def test_the_defaults_refuse_what_is_weak(tmp_path: Path) -> None:
    settings = gateway_settings(loaded(tmp_path))
    assert all(
        t.group is not Group.MODP1024 and t.hash is not Hash.MD5 for t in settings.ike.phase1
    )
    assert len(settings.ike.keys) == 1
    assert settings.ppp.auth == ("mschapv2", "pap")
