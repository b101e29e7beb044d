"""What the operator itself is told: by environment variables, which the chart sets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ferrule_operator.names import COMPONENT_LABEL, NAME_LABEL

PREFIX: Final = "FERRULE_OPERATOR_"


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespaces` empty: all of the cluster. Durations in seconds."""

    image: str  # of the concentrator
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    own_namespace: str = "default"
    own_labels: Mapping[str, str] = field(
        default_factory=lambda: {NAME_LABEL: "ferrule", COMPONENT_LABEL: "operator"}
    )
    network_policy: bool = True
    listen: str = "0.0.0.0:8080"
    leader_election: bool = False
    identity: str = ""  # of this pod, in the Lease
    log_level: str = "info"
    resync_seconds: float = 60.0
    poll_seconds: float = 15.0  # how often pods are asked how they are
    workers: int = 4


class SettingsError(Exception):
    """A variable is missing or wrong; the message is for a person."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises SettingsError."""

    def text(name: str, default: str = "") -> str:
        return environment.get(PREFIX + name, default).strip()

    def words(name: str) -> tuple[str, ...]:
        return tuple(word for part in text(name).split(",") if (word := part.strip()))

    def number(name: str, default: float) -> float:
        given = text(name)
        try:
            value = float(given) if given else default
        except ValueError:
            raise SettingsError(f"{PREFIX}{name}={given}: not a number") from None
        if value <= 0:
            raise SettingsError(f"{PREFIX}{name}={given}: must be more than 0")
        return value

    image = text("IMAGE")
    if not image:
        raise SettingsError(f"{PREFIX}IMAGE is not set: the image of the concentrator")
    labels = dict(pair.partition("=")[::2] for pair in words("LABELS"))
    default = Settings(image)
    return Settings(
        image=image,
        image_pull_policy=text("IMAGE_PULL_POLICY", default.image_pull_policy),
        image_pull_secrets=words("IMAGE_PULL_SECRETS"),
        namespaces=words("NAMESPACES"),
        own_namespace=text("NAMESPACE", default.own_namespace),
        own_labels=labels or default.own_labels,
        network_policy=_truth("NETWORK_POLICY", text("NETWORK_POLICY", "true")),
        listen=text("LISTEN", default.listen),
        leader_election=_truth("LEADER_ELECTION", text("LEADER_ELECTION", "false")),
        identity=text("POD_NAME") or os.uname().nodename,
        log_level=text("LOG_LEVEL", default.log_level),
        resync_seconds=number("RESYNC_SECONDS", default.resync_seconds),
        poll_seconds=number("POLL_SECONDS", default.poll_seconds),
    )


def _truth(name: str, given: str) -> bool:
    if given not in ("true", "false"):
        raise SettingsError(f"{PREFIX}{name}={given}: write true or false")
    return given == "true"
