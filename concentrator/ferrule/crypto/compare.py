"""Comparison in constant time, for authenticators and secrets.

The only way in which Ferrule compares what an attacker must not learn octet by octet.
"""

from __future__ import annotations

from hmac import compare_digest


def equal(a: bytes, b: bytes) -> bool:
    """True if `a` and `b` are the same octets. The time depends on the lengths only."""
    return compare_digest(a, b)
