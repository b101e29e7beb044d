"""The demo's configuration is one that `ferrule serve` takes, without a warning."""

from __future__ import annotations

import stat

from ferrule.runtime.config import load
from ferrule.runtime.demo_stage import GATEWAY, PSK, USERS, Stage


def test_the_configuration_is_good() -> None:
    with Stage() as stage:
        stage.write_config()
        config = load(stage.gateway.config)
        assert config.warnings == ()
        assert config.gateway.ipsec.psk is not None
        assert config.gateway.ipsec.psk.reveal() == PSK.encode()
        assert {user.username: user.enabled for user in config.users} == dict.fromkeys(USERS, True)
        assert config.gateway.egress.snat is stage.snat
        assert config.listen.admin == str(stage.gateway.admin)
        assert config.listen.http is not None
        assert config.listen.http.host == GATEWAY
        assert stat.S_IMODE(stage.gateway.config.stat().st_mode) == 0o600


def test_a_user_can_be_disabled() -> None:
    with Stage() as stage:
        stage.write_config(disabled=["alice"])
        enabled = {user.username: user.enabled for user in load(stage.gateway.config).users}
        assert enabled == {"alice": False, "bob": True}


def test_nothing_is_left_behind() -> None:
    with Stage() as stage:
        stage.write_config()
        directory = stage.directory
        assert directory.exists()
    assert not directory.exists()
