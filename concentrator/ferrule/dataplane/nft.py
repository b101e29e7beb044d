"""Masquerade for the pools, and a guard on what comes from the TUN: one nftables table.

Handed to the `nft` program as JSON in one transaction: the table is as wanted, or as it was. The
table belongs to us alone, so a restart after a crash finds and replaces its own.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from typing import Any, Final

PROGRAM: Final = "nft"
_TIMEOUT_SECONDS: Final = 10.0
_FAMILY = "ip"
_POOLS = "pools"
_SOURCE_NAT_PRIORITY = 100
_FILTER_PRIORITY = 0


class NftError(Exception):
    """The table can't be set; the message says why and what to do about it."""


class NftMissing(NftError):
    """There is no `nft` program."""

    def __init__(self) -> None:
        super().__init__(
            "the program nft is not there: install nftables (Debian: apt-get install nftables), "
            "or set egress.snat to false and route the pools to this host"
        )


@dataclass(frozen=True, slots=True)
class NftTable:
    """What the table shall do. `name` tells gateways on one host apart."""

    name: str
    tun: str
    pools: tuple[IPv4Network, ...]
    masquerade: bool = True


def table_name(name: str) -> str:
    """The nftables table of the gateway or device `name`."""
    return "ferrule_" + re.sub(r"[^A-Za-z0-9_]", "_", name)


def apply(table: NftTable) -> None:
    """Set the table, replacing what it was. Raises NftMissing, NftError."""
    _run(ruleset(table))


def remove(name: str) -> None:
    """Delete the table of `name`, if it is there. Raises NftMissing, NftError."""
    _run(_cleared(table_name(name)))


def ruleset(table: NftTable) -> list[dict[str, Any]]:
    """The commands of the transaction, as libnftables-json(5) has them."""
    name = table_name(table.name)
    own = {"family": _FAMILY, "table": name}
    prefixes = [
        {"prefix": {"addr": str(pool.network_address), "len": pool.prefixlen}}
        for pool in collapse_addresses(table.pools)
    ]
    commands: list[dict[str, Any]] = [
        *_cleared(name),
        {"add": {"table": {"family": _FAMILY, "name": name}}},
        {
            "add": {
                "set": {
                    **own,
                    "name": _POOLS,
                    "type": "ipv4_addr",
                    "flags": ["interval"],
                    **({"elem": prefixes} if prefixes else {}),
                }
            }
        },
        _chain(own, "forward", "filter", _FILTER_PRIORITY),
        _rule(
            own, "forward", _interface("iifname", "==", table.tun), _source("!="), {"drop": None}
        ),
    ]
    if table.masquerade:
        commands += [
            _chain(own, "postrouting", "nat", _SOURCE_NAT_PRIORITY),
            _rule(
                own,
                "postrouting",
                _source("=="),
                _interface("oifname", "!=", table.tun),
                {"masquerade": None},
            ),
        ]
    return commands


def _cleared(name: str) -> list[dict[str, Any]]:
    """Adding first makes the deletion succeed where there is no table yet."""
    table = {"table": {"family": _FAMILY, "name": name}}
    return [{"add": table}, {"delete": table}]


def _chain(own: dict[str, str], hook: str, kind: str, priority: int) -> dict[str, Any]:
    chain = {**own, "name": hook, "type": kind, "hook": hook, "prio": priority, "policy": "accept"}
    return {"add": {"chain": chain}}


def _rule(own: dict[str, str], chain: str, *expressions: dict[str, Any]) -> dict[str, Any]:
    return {"add": {"rule": {**own, "chain": chain, "expr": list(expressions)}}}


def _interface(key: str, operator: str, name: str) -> dict[str, Any]:
    return {"match": {"op": operator, "left": {"meta": {"key": key}}, "right": name}}


def _source(operator: str) -> dict[str, Any]:
    field = {"payload": {"protocol": "ip", "field": "saddr"}}
    return {"match": {"op": operator, "left": field, "right": f"@{_POOLS}"}}


def _run(commands: list[dict[str, Any]]) -> None:
    transaction = json.dumps({"nftables": commands})
    try:
        done = subprocess.run(
            [PROGRAM, "-j", "-f", "-"],
            input=transaction,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise NftMissing from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(f"nft did not run: {error}") from error
    if done.returncode:
        what = " ".join((done.stderr or done.stdout).split())
        remedy = ": grant CAP_NET_ADMIN" if "not permitted" in what else ""
        raise NftError(f"nft refused the table: {what}{remedy}")
