"""The configuration that `ferrule serve` reads, out of a VpnGateway's spec. Pure.

It is checked with the concentrator's own models before anything is written: what they refuse
becomes the condition ConfigValid, and the pods go on with what they have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from ruamel.yaml import YAML

from ferrule.runtime.config import Config, load
from ferrule.runtime.config_problems import ConfigError, Severity
from ferrule_operator.bundles import OVERLAPS, Bundle, users_file
from ferrule_operator.models.gateway import VpnGatewaySpec
from ferrule_operator.names import (
    CONFIG_FILE,
    HTTP_PORT,
    IKE_PORT,
    NATT_PORT,
    REMOTE_PORT,
    RING_PORT,
    RUN_FOLDER,
    TUN,
)
from ferrule_operator.objects import digest
from ferrule_operator.store_keys import StoreKeys

PSK: Final = "psk"
PREVIOUS_PSK: Final = "previous-psk"
TUNNEL_SECRET: Final = "tunnel-secret"
REMOTE_KEY: Final = "remote.key"
STORE_PASSWORD: Final = "store-password"
STORE_CA: Final = "store-ca.crt"
STORE_KEY: Final = "store-key"
PREVIOUS_STORE_KEY: Final = "store-previous-key"
STORE_NAMES_KEY: Final = "store-names-key"
CONFIG_BUNDLE: Final = "config"
CONFIG_OVERLAPS: Final = f"{CONFIG_BUNDLE}.{OVERLAPS}"

_NOTICE: Final = "# Written by ferrule-operator from the VpnGateway; changes here are undone.\n"


@dataclass(slots=True)
class GatewaySecrets:
    """What a gateway's configuration holds that its spec only refers to."""

    psk: str = field(repr=False)
    remote_key: str = field(repr=False)
    previous_psk: str = field(default="", repr=False)
    previous_psk_until: float = 0.0  # Unix seconds
    tunnel_secret: str = field(default="", repr=False)
    store_password: str = field(default="", repr=False)
    store_ca: str = field(default="", repr=False)
    store_keys: StoreKeys = field(default_factory=StoreKeys, repr=False)
    store_names_key: str = field(default="", repr=False)

    def files(self) -> dict[str, str]:
        named = {
            PSK: self.psk,
            PREVIOUS_PSK: self.previous_psk,
            TUNNEL_SECRET: self.tunnel_secret,
            REMOTE_KEY: self.remote_key,
            STORE_PASSWORD: self.store_password,
            STORE_CA: self.store_ca,
            STORE_KEY: self.store_keys.key,
            PREVIOUS_STORE_KEY: self.store_keys.other,
            STORE_NAMES_KEY: self.store_names_key,
        }
        return {name: text for name, text in named.items() if text}

    def times(self) -> dict[str, float]:
        """Until when what is accepted beside is accepted, and so on."""
        named = {
            "psk": self.previous_psk_until if self.previous_psk else 0.0,
            "storeSwap": self.store_keys.swap_at,
            "storeDrop": self.store_keys.drop_at,
        }
        return {name: at for name, at in named.items() if at}


def store_keys_of(files: Mapping[str, str]) -> StoreKeys:
    """The keys of the state that is shared, as the live bundle has them."""
    times = files.get(CONFIG_OVERLAPS, "")
    return StoreKeys(
        files.get(STORE_KEY, ""),
        files.get(PREVIOUS_STORE_KEY, ""),
        time_in(times, "storeSwap"),
        time_in(times, "storeDrop"),
    )


def time_in(text: str, key: str) -> float:
    """A number in a small JSON object; 0 where there is none."""
    try:
        value = json.loads(text)[key]
    except (ValueError, KeyError, TypeError):
        return 0.0
    return float(value) if isinstance(value, (int, float)) else 0.0


def config_bundle(
    spec: VpnGatewaySpec,
    secrets: GatewaySecrets,
    public: IPv4Address | None,
    shards: int,
    place: str = "",
) -> Bundle:
    """gateway.yaml and the files that it names, but for the users'. `place` is "NAMESPACE/NAME",
    by which the store tells gateways apart."""
    files = secrets.files()
    files[CONFIG_FILE] = _NOTICE + _yaml(_document(spec, secrets, public, shards, place))
    if times := secrets.times():
        files[CONFIG_OVERLAPS] = json.dumps(times)
    return Bundle(CONFIG_BUNDLE, files)


def _document(
    spec: VpnGatewaySpec,
    secrets: GatewaySecrets,
    public: IPv4Address | None,
    shards: int,
    place: str,
) -> dict[str, Any]:
    return {
        "listen": listen(spec, public),
        "log": {"format": "json"},
        "gateway": {
            "ipsec": {
                **_dump(spec.ipsec, "psk_secret_ref"),
                "pskFile": PSK,
                **({"previousPskFile": PREVIOUS_PSK} if secrets.previous_psk else {}),
            },
            "l2tp": {
                **_dump(spec.l2tp, "tunnel_secret_ref"),
                **({"tunnelSecretFile": TUNNEL_SECRET} if secrets.tunnel_secret else {}),
            },
            "ppp": _dump(spec.ppp),
            "pools": [_dump(pool) for pool in spec.pools],
            "egress": _dump(spec.egress),
            "store": _store(spec, secrets, place),
            "limits": _dump(spec.limits),
            "drain": _dump(spec.drain),
        },
        "usersFiles": [users_file(shard) for shard in range(shards)],
    }


def listen(spec: VpnGatewaySpec, public: IPv4Address | None) -> dict[str, Any]:
    """How a pod listens. But for the public address a pod reads it only at its start. Who it is
    among the others, and at which address, it learns from its environment."""
    return {
        "ikePort": IKE_PORT,
        "nattPort": NATT_PORT,
        "http": f"0.0.0.0:{HTTP_PORT}",
        "admin": f"{RUN_FOLDER}/admin.sock",
        "tun": TUN,
        "prepared": True,
        "remote": f"0.0.0.0:{REMOTE_PORT}",
        "remoteKeyFile": REMOTE_KEY,
        "remoteFolder": f"{RUN_FOLDER}/remote",
        **({"ring": f"0.0.0.0:{RING_PORT}"} if spec.store.type == "Valkey" else {}),
        **({"publicAddress": str(public)} if public is not None else {}),
    }


def restart_digest(spec: VpnGatewaySpec) -> str:
    """Changes when pods have to be made anew: with what only their init step can set, and with
    the store, for members of two stores are strangers."""
    shared = spec.store.type == "Valkey"
    return digest(
        {
            "listen": listen(spec, None),
            "pools": [str(pool.cidr) for pool in spec.pools],
            "mtu": spec.ppp.mtu,
            "snat": spec.egress.snat,
            **({"store": spec.store.url} if shared else {}),
        }
    )


def _store(spec: VpnGatewaySpec, secrets: GatewaySecrets, place: str) -> dict[str, Any]:
    store: dict[str, Any] = {"type": spec.store.type}
    if spec.store.type == "Valkey":
        store |= {
            "url": spec.store.url,
            "gateway": place,
            "keyFile": STORE_KEY,
            "namesKeyFile": STORE_NAMES_KEY,
        }
        if secrets.store_keys.other:
            store["previousKeyFile"] = PREVIOUS_STORE_KEY
        if secrets.store_password:
            store["passwordFile"] = STORE_PASSWORD
        if spec.store.tls is not None:
            store["tls"] = _dump(spec.store.tls, "ca_secret_ref") | (
                {"caFile": STORE_CA} if secrets.store_ca else {}
            )
    return store


def _dump(section: BaseModel, *without: str) -> dict[str, Any]:
    """As it was given, defaults of the API server included, in the form in which it is typed."""
    dumped: dict[str, Any] = section.model_dump(
        mode="json", by_alias=True, exclude_unset=True, exclude_none=True, exclude=set(without)
    )
    return dumped


def _yaml(data: Any) -> str:
    yaml = YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


# --- checks


@dataclass(slots=True)
class Verdict:
    """What the concentrator's models say. `config` is None where they refuse it."""

    config: Config | None
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(bundle: Bundle, shards: int) -> Verdict:
    """Load the bundle as `ferrule serve` would, without users."""
    folder = Path("/")
    given = {folder / name: text for name, text in bundle.files.items()}
    given |= {folder / users_file(shard): '{"users": []}' for shard in range(shards)}
    try:
        config = load(folder / CONFIG_FILE, given)
    except ConfigError as error:
        return Verdict(None, _told(error.problems, Severity.ERROR))
    return Verdict(config, (), _told(config.warnings, Severity.WARNING))


def _told(problems: Any, severity: Severity) -> tuple[str, ...]:
    """For a person who knows the resource, where fields stand below `spec`."""
    return tuple(
        f"{problem.field.replace('gateway.', 'spec.', 1)}: {problem.message}"
        for problem in problems
        if problem.severity is severity and problem.field != "users"
    )


def load_bundles(files: Mapping[str, str]) -> Config:
    """Everything that a pod mounts, as `ferrule serve` reads it. Raises ConfigError."""
    folder = Path("/")
    return load(folder / CONFIG_FILE, {folder / name: text for name, text in files.items()})
