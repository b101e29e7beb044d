"""A gateway as the operator makes it: its own builders give template, configuration and users."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from ferrule_operator.bundles import Account, users_bundles
from ferrule_operator.manifests.child import Parent
from ferrule_operator.manifests.stateful_set import stateful_set
from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.names import (
    CONTAINER,
    IKE_PORT,
    INIT_CONTAINER,
    NATT_PORT,
    config_secret,
    users_secret,
)
from ferrule_operator.rendering import GatewaySecrets, config_bundle
from ferrule_operator.settings import Settings
from ferrule_operator.store_keys import StoreKeys

INIT, MAIN = INIT_CONTAINER, CONTAINER
SERVICE_PORTS: Final = {500: IKE_PORT, 4500: NATT_PORT}
NAME: Final = "office"
POOL: Final = "10.20.0.0/24"
INSIDE: Final = "10.20.0.1"  # the gateway's own address
PSK: Final = "a-long-and-random-key"
STORE_PASSWORD: Final = "open-sesame-to-the-store"
USER, PASSWORD = "alice", "correct horse battery staple"
_VERIFIER: Final = "nt:1b9d5effd34ac283c8efe2eacaea8bbc"  # of that password
TUN_RESOURCE: Final = "example.org/tun"
PLUGIN: Final = {TUN_RESOURCE: "/dev/net/tun"}
CLOSED_NODE: Final = "/dev/net/closed"  # a TUN node of the test machine that only root may open

Template = dict[str, Any]
Change = Callable[[Template], None]


class Rendered:
    """The pod template and the Secrets of a gateway with one user."""

    def __init__(self, image: str, profile: str = "InitTun", store: str = "") -> None:
        """`store`: the URL of what replicas share, with STORE_PASSWORD; "" for one replica."""
        security: dict[str, Any] = {"profile": profile}
        if profile == "DevicePlugin":
            security["tunResource"] = TUN_RESOURCE
        shared = {"type": "Valkey", "url": store, "authSecretRef": {"name": "store"}}
        spec = VpnGatewaySpec.model_validate(
            {
                "ipsec": {"pskSecretRef": {"name": "psk"}},
                "pools": [{"name": "default", "cidr": POOL}],
                "podSecurity": security,
                **({"store": shared} if store else {}),
            }
        )
        gateway = {
            "kind": "VpnGateway",
            "metadata": {"name": NAME, "namespace": "vpn", "uid": "1"},
        }
        parent = Parent(gateway, spec, Settings(image))
        self.template: Template = copy.deepcopy(stateful_set(parent)["spec"]["template"])
        secrets = GatewaySecrets(psk=PSK, remote_key="remote-key-of-this-test")
        if store:
            secrets.store_password = STORE_PASSWORD
            secrets.store_keys, secrets.store_names_key = StoreKeys("5e" * 32), "a1" * 32
        users = users_bundles([Account(USER, {}, _VERIFIER)], 1)
        self.secrets: dict[str, dict[str, str]] = {
            config_secret(NAME): config_bundle(spec, secrets, None, 1, f"vpn/{NAME}").files,
            **{users_secret(NAME, i): bundle.files for i, bundle in enumerate(users)},
        }

    @property
    def init(self) -> dict[str, Any]:
        """The init container, to be changed."""
        return _named(self.template["spec"]["initContainers"], INIT)

    @property
    def main(self) -> dict[str, Any]:
        """The main container, to be changed."""
        return _named(self.template["spec"]["containers"], MAIN)

    def replace_in_config(self, old: str, new: str) -> str:
        """Change gateway.yaml; returns its text."""
        files = self.secrets[config_secret(NAME)]
        assert old in files["gateway.yaml"], f"no {old} in {files['gateway.yaml']}"
        files["gateway.yaml"] = files["gateway.yaml"].replace(old, new)
        return files["gateway.yaml"]


def _named(containers: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [container for container in containers if container["name"] == name]
    return found
