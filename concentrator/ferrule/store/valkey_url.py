"""Where the Valkey server is, as a URL says it.

    valkey://[USER@]HOST[:PORT][/DB]                       one server
    valkey+sentinel://[USER@]HOST[:PORT],.../SERVICE[/DB]  the primary that the sentinels name
    valkey+cluster://[USER@]HOST[:PORT],...                a cluster, found by any of its nodes
    unix://[USER@]/PATH[?db=DB]                            one server on this machine

`valkeys` instead of `valkey` is TLS; `redis` and `rediss` mean the same.
No password: that is a secret, and a URL is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from ferrule.core.ids import Address

SERVER_PORT: Final = 6379
SENTINEL_PORT: Final = 26379
_SAME: Final = {"redis": "valkey", "rediss": "valkeys"}


class Topology(Enum):
    """How the server is found."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"
    SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class Target:
    """`service` only for SENTINEL, `path` only for SOCKET, where there are no addresses."""

    topology: Topology
    tls: bool
    addresses: tuple[Address, ...]
    username: str = ""
    database: int = 0
    service: str = ""
    path: str = ""


def parse_url(url: str) -> Target:
    """Raises ValueError with a sentence for the person who wrote it."""
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError("the password belongs into the secret, not into the URL")
    if parts.fragment:
        raise ValueError("a store's URL has no fragment")
    username = unquote(parts.username or "")
    if parts.scheme == "unix":
        return _socket(parts.path, parts.query, username)
    if parts.query:
        raise ValueError("a store's URL has no query, but for unix://")
    scheme, _, kind = parts.scheme.partition("+")
    scheme = _SAME.get(scheme, scheme)
    if scheme not in ("valkey", "valkeys") or kind not in ("", "sentinel", "cluster"):
        raise ValueError(
            f"{parts.scheme or 'nothing'} is not one of valkey, valkeys, valkey+sentinel, "
            "valkeys+sentinel, valkey+cluster, valkeys+cluster, unix"
        )
    topology = Topology(kind or "server")
    port = SENTINEL_PORT if topology is Topology.SENTINEL else SERVER_PORT
    hosts = parts.netloc.rpartition("@")[2].split(",")
    addresses = tuple(_address(host, port) for host in hosts)
    if topology is Topology.SERVER and len(addresses) != 1:
        raise ValueError("more than one host needs valkey+sentinel or valkey+cluster")
    path = [unquote(piece) for piece in parts.path.split("/") if piece]
    service = ""
    if topology is Topology.SENTINEL:
        if not path:
            raise ValueError("valkey+sentinel://HOST,.../SERVICE: the service is missing")
        service = path.pop(0)
    if len(path) > 1 or (path and topology is Topology.CLUSTER):
        raise ValueError(f"the path {parts.path!r} has too many parts")
    database = _database(path[0]) if path else 0
    return Target(topology, scheme == "valkeys", addresses, username, database, service)


def _socket(path: str, query: str, username: str) -> Target:
    if not path.startswith("/"):
        raise ValueError("unix:///PATH: the path is missing")
    options = parse_qs(query, keep_blank_values=True)
    if options.keys() - {"db"}:
        raise ValueError(f"unix:// has no option but db, and not {query!r}")
    database = _database(options["db"][0]) if options else 0
    return Target(Topology.SOCKET, False, (), username, database, path=unquote(path))


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError(f"{text!r} is not the number of a database")
    return int(text)


def _address(text: str, default_port: int) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise ValueError(f"{text!r} is not HOST or HOST:PORT")
    return Address(host, default_port if port is None else port)
