"""What a member is told at its start: its name, its address, its keys, its store.

Replicas that read one file differ in nothing but their environment: where `listen.member` is empty
and `listen.ring` any address, FERRULE_MEMBER and FERRULE_ADDRESS say who this one is. What is wrong
with that is told as an OSError, like anything else without which the process can't start.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import Final

import structlog

from ferrule.cluster.members import MemberName
from ferrule.cluster.sealing import Sealer
from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.runtime.config import Config
from ferrule.runtime.gateway_spec import Store as StoreSpec
from ferrule.runtime.ring_port import plain
from ferrule.store.interface import Store
from ferrule.store.memory import MemoryStore
from ferrule.store.valkey import ValkeySettings, ValkeyStore
from ferrule.store.valkey_url import parse_url

ADDRESS_VARIABLE: Final = "FERRULE_ADDRESS"
MEMBER_VARIABLE: Final = "FERRULE_MEMBER"
ALONE: Final = MemberName("alone")  # the same for each life of the process
NO_RING: Final = Address("127.0.0.1", 0)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_WILDCARD: Final = ("0.0.0.0", "::")


def is_alone(spec: StoreSpec) -> bool:
    """There are no other replicas: the store is this process's own."""
    return spec.type == "Memory"


def outlives(spec: StoreSpec) -> bool:
    """What the store holds is there when this process is not any more."""
    return not is_alone(spec) or spec.snapshot is not None


async def open_store(spec: StoreSpec, folder: Path) -> Store:
    """The store that the configuration in `folder` names: a file is read, a server is connected
    to when it is asked. Raises OSError."""
    if spec.snapshot is not None:
        sealer = Sealer(spec.gateway, keys_of(spec), os.urandom)
        store = await MemoryStore.open(Path(spec.snapshot), sealer)
        if store.problem:
            structlog.get_logger("ferrule").error(
                "the snapshot can't be used: sessions begin anew", problem=store.problem
            )
        return store
    assert spec.url is not None, "config_checks wants one"
    tls = spec.tls
    settings = ValkeySettings(
        parse_url(spec.url),
        password=spec.password,
        ca_file=folder / tls.ca_file if tls.ca_file is not None else None,
        server_name=tls.server_name,
    )
    return ValkeyStore(spec.gateway, settings)


def keys_of(spec: StoreSpec) -> list[Secret]:
    """The first one seals, all are accepted."""
    return [key for key in (spec.key, spec.previous_key) if key is not None]


def names_key(config: Config) -> Secret:
    """What shards are named with; alone, nobody else needs to read the names."""
    key = config.gateway.store.names_key
    return key if key is not None else Secret(os.urandom(32))


def member_name(config: Config) -> MemberName:
    """By the configuration, else by the environment, else the host's. Raises OSError."""
    if is_alone(config.gateway.store):
        return ALONE
    if config.listen.member:
        return MemberName(config.listen.member)
    name = os.environ.get(MEMBER_VARIABLE) or socket.gethostname().split(".")[0].lower()
    if not _NAME.fullmatch(name):
        raise OSError(f"{name!r} can't be a member's name: write listen.member")
    return MemberName(name)


def ring_address(config: Config) -> Address:
    """Where the others send to. Raises OSError."""
    if is_alone(config.gateway.store):
        return NO_RING
    ring = config.listen.ring
    assert ring is not None, "config_checks wants one"
    if ring.host not in _WILDCARD:
        return plain(ring)
    host = os.environ.get(ADDRESS_VARIABLE, "")
    try:
        return plain(Address(host, ring.port))
    except ValueError:
        raise OSError(
            f"listen.ring is {ring.host}: the environment variable {ADDRESS_VARIABLE} must say "
            "this replica's address as the others see it"
        ) from None
