"""The triggers of a member's state table; its states are `effects.Standing`."""

from __future__ import annotations

from enum import Enum


class Trigger(Enum):
    """What the store said, then what the time made of our proofs, then our own wish."""

    LISTED = "the store lists us"
    UNLISTED = "the others go on without us"
    EMPTY = "the store is empty"
    BEHIND = "the store lost our epoch"
    STORE_FRESH = "the store answers"
    STORE_SILENT = "the store does not answer"
    PROOF = "most members are with us"
    PROOF_OVER = "neither the store nor most members"
    CLOSE = "close"
