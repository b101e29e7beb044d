"""The key that seals what replicas share, and how another takes its place. Pure.

Members seal for each other, so a key must not be used before all of them accept it. A rotation has
three steps, each with a time in the configuration's Secret: the new key is *announced* (accepted
beside the old one), after ANNOUNCE_SECONDS the two *change places*, and after KEPT_SECONDS more the
old one is *dropped*. The first is longer than the slowest kubelet takes to bring a mount up to
date, the second than anything lies in the store without being written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

KEY_OCTETS: Final = 32
ANNOUNCE_SECONDS: Final = 180.0
KEPT_SECONDS: Final = 3600.0


@dataclass(slots=True)
class StoreKeys:
    """`key` seals; `other` is accepted as well, "" for none. Times are Unix seconds, 0 for none:
    when the two change places, when `other` is dropped."""

    key: str = field(default="", repr=False)
    other: str = field(default="", repr=False)
    swap_at: float = 0.0
    drop_at: float = 0.0

    @property
    def wake_at(self) -> float:
        """When something is to be done; 0 for never."""
        return self.swap_at or self.drop_at


def next_keys(now: float, wanted: str, live: StoreKeys) -> StoreKeys:
    """`wanted` is the key that there should be, `live` what pods run on."""
    if not live.key:
        return StoreKeys(wanted)
    kept = bool(live.other) and live.drop_at > now
    if wanted == live.key:
        return StoreKeys(wanted, live.other, 0.0, live.drop_at) if kept else StoreKeys(wanted)
    if live.other == wanted and live.swap_at:
        if live.swap_at > now:
            return live
        return StoreKeys(wanted, live.key, 0.0, now + KEPT_SECONDS)
    if kept:
        return live  # members take two keys: one rotation after the other
    return StoreKeys(live.key, wanted, now + ANNOUNCE_SECONDS, 0.0)
