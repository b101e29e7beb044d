"""Bundles: sets of files that become one Secret each, and one folder in the pods together.

`config` holds gateway.yaml and the keys that it names, `users` the accounts, split into several
when they are many. Each has a revision that only grows, so that pods can tell which is newer.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SHARDS: Final = 8  # of users, when one Secret is too small; part of the pod template, so fixed
ONE_SHARD_USERS_MAX: Final = 4000
OCTETS_MAX: Final = 900_000  # of a Secret's data; the API server takes 1 MiB
OVERLAPS: Final = "overlaps.json"


@dataclass(slots=True)
class Bundle:
    """`name` is "config", "users", "users-1"...; `files` are texts by name."""

    name: str
    files: dict[str, str] = field(repr=False)

    @property
    def revision_file(self) -> str:
        return f"{self.name}.revision"

    @property
    def octets(self) -> int:
        return sum(len(text.encode()) for text in self.files.values())


@dataclass(slots=True)
class Account:
    """One user as the concentrator gets it. `entry` is UserSpec without the verifiers."""

    username: str
    entry: Mapping[str, Any]
    verifier: str = field(repr=False)
    previous: str = field(default="", repr=False)
    previous_until: float = 0.0  # Unix seconds

    def as_json(self) -> str:
        """One line of the users' file."""
        whole = {"username": self.username, "verifier": self.verifier, **self.entry}
        if self.previous:
            whole["previousVerifier"] = self.previous
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def with_revision(bundle: Bundle, live: Mapping[str, str], now: float) -> dict[str, str]:
    """The files with their revision: that of `live` if nothing else changed, else a newer one.

    It is the time in milliseconds where that is newer, so that it grows even where the Secret was
    deleted in between.
    """
    before = live.get(bundle.revision_file, "")
    number = int(before) if before.isascii() and before.isdecimal() else 0
    others = {name: text for name, text in live.items() if name != bundle.revision_file}
    if not number or others != bundle.files:
        number = max(number + 1, int(now * 1000))
    return {**bundle.files, bundle.revision_file: str(number)}


# --- users


def shards_for(accounts: int, before: int) -> int:
    """How many bundles the users fill. It never goes down: that would only move users around."""
    return SHARDS if accounts > ONE_SHARD_USERS_MAX else max(1, min(before, SHARDS))


def shard_of(username: str, shards: int) -> int:
    return zlib.crc32(username.encode()) % shards


def users_name(shard: int) -> str:
    """The bundle's name."""
    return "users" if shard == 0 else f"users-{shard}"


def users_file(shard: int) -> str:
    return f"{users_name(shard)}.json"


def users_bundles(accounts: Iterable[Account], shards: int) -> list[Bundle]:
    """One bundle for each shard, users in the order of their names."""
    lines: list[list[str]] = [[] for _ in range(shards)]
    overlaps: list[dict[str, float]] = [{} for _ in range(shards)]
    for account in sorted(accounts, key=lambda account: account.username):
        shard = shard_of(account.username, shards)
        lines[shard].append(account.as_json())
        if account.previous:
            overlaps[shard][account.username] = account.previous_until
    return [
        Bundle(
            users_name(shard),
            {users_file(shard): _users_text(lines[shard])}
            | (
                {f"{users_name(shard)}.{OVERLAPS}": json.dumps(overlaps[shard], sort_keys=True)}
                if overlaps[shard]
                else {}
            ),
        )
        for shard in range(shards)
    ]


def _users_text(lines: list[str]) -> str:
    return '{"users": [\n' + ",\n".join(lines) + "\n]}\n" if lines else '{"users": []}\n'


@dataclass(slots=True)
class Stored:
    """What the live Secrets say of a user: the verifiers that pods accept now."""

    verifier: str = field(repr=False)
    previous: str = field(default="", repr=False)
    previous_until: float = 0.0


def stored_users(files: Mapping[str, str]) -> dict[str, Stored]:
    """Of the texts of all users' Secrets. What can't be read counts as not there."""
    found: dict[str, Stored] = {}
    untils: dict[str, float] = {}
    for name, text in files.items():
        try:
            content = json.loads(text) if name.endswith(".json") else {}
        except ValueError:
            continue
        if not isinstance(content, dict):
            continue
        if name.endswith(f".{OVERLAPS}"):
            untils |= {k: v for k, v in content.items() if isinstance(v, (int, float))}
            continue
        rows = content.get("users", [])
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and "username" in row and "verifier" in row:
                found[str(row["username"])] = Stored(
                    str(row["verifier"]), str(row.get("previousVerifier", ""))
                )
    for username, stored in found.items():
        stored.previous_until = untils.get(username, 0.0)
    return found
