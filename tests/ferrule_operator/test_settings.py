"""What the environment says."""

from __future__ import annotations

import pytest

from ferrule_operator.settings import Settings, SettingsError, from_environment

LEAST = {"FERRULE_OPERATOR_IMAGE": "ferrule:1"}


def test_only_the_image_is_needed() -> None:
    settings = from_environment(LEAST)
    default = Settings("ferrule:1")
    assert settings.identity
    assert (settings.namespaces, settings.own_labels) == ((), default.own_labels)
    assert (settings.network_policy, settings.leader_election) == (True, False)


def test_everything() -> None:
    words = {
        "IMAGE_PULL_POLICY": "Always", "IMAGE_PULL_SECRETS": "a, b", "NAMESPACES": "vpn,edge",
        "NAMESPACE": "system", "LABELS": "app=x,part=y", "NETWORK_POLICY": "false",
        "LISTEN": ":9", "LEADER_ELECTION": "true", "POD_NAME": "op-0", "LOG_LEVEL": "debug",
        "RESYNC_SECONDS": "5", "POLL_SECONDS": "2.5",
    }  # fmt: skip
    environment = LEAST | {f"FERRULE_OPERATOR_{name}": text for name, text in words.items()}
    assert from_environment(environment) == Settings(
        image="ferrule:1",
        image_pull_policy="Always",
        image_pull_secrets=("a", "b"),
        namespaces=("vpn", "edge"),
        own_namespace="system",
        own_labels={"app": "x", "part": "y"},
        network_policy=False,
        listen=":9",
        leader_election=True,
        identity="op-0",
        log_level="debug",
        resync_seconds=5.0,
        poll_seconds=2.5,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("IMAGE", ""),
        ("NETWORK_POLICY", "no"),
        ("LEADER_ELECTION", "1"),
        ("RESYNC_SECONDS", "soon"),
        ("POLL_SECONDS", "0"),
    ],
)
def test_what_is_wrong_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"FERRULE_OPERATOR_{name}"):
        from_environment(LEAST | {f"FERRULE_OPERATOR_{name}": text})
