"""`ferrule init-tun`: all that takes privilege, done once, so that `ferrule serve` needs none.

The node /dev/net/tun where it is missing, the persistent TUN, its address, routes and forwarding,
the nft table. Every step may be repeated. It reads the configuration that `ferrule serve` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from ferrule.dataplane.nft import NftError, NftMissing
from ferrule.dataplane.routing import RoutingError
from ferrule.dataplane.tun import make_node, make_persistent
from ferrule.dataplane.tun_faults import TunError
from ferrule.runtime.config import Config, load
from ferrule.runtime.config_problems import ConfigError
from ferrule.runtime.egress import configure_host

OWNER: Final = 65532
MESSAGE_MAX: Final = 4096  # octets that Kubernetes keeps of a termination message


class InitError(Exception):
    """A step failed. `reason` is one word for a condition, the message is for a person."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason

    def __str__(self) -> str:
        return f"{self.reason}: {self.args[0]}"


def init_tun(file: Path, owner: int) -> Config:
    """Prepare this host, or pod, for a `ferrule serve` that runs as uid `owner`. InitError."""
    try:
        config = load(file)
    except ConfigError as error:
        raise InitError("ConfigInvalid", "; ".join(map(str, error.problems))) from error
    name = config.listen.tun
    try:
        made = make_node(name)
        make_persistent(name, owner)
        configure_host(config)
    except TunError as error:
        raise InitError(error.fault, str(error)) from error
    except NftMissing as error:
        raise InitError("NftMissing", str(error)) from error
    except NftError as error:
        raise InitError("NftRefused", str(error)) from error
    except RoutingError as error:
        raise InitError("RoutingRefused", str(error)) from error
    structlog.get_logger("ferrule").info("TUN prepared", tun=name, owner=owner, node_made=made)
    return config


def leave_message(file: Path, message: str) -> bool:
    """Write what went wrong where Kubernetes looks for it, if there is such a file."""
    if not file.is_file():
        return False
    file.write_bytes(message.encode()[:MESSAGE_MAX])
    return True
