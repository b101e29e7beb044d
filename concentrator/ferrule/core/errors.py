"""Exceptions of the pure ring. Raised only inside a layer, caught at its four verbs.

A `ProtocolError` is the peer's fault and leaves the layer as an effect with a `Reason`. Any other
exception is our bug: it costs one client, never the process.
"""

from __future__ import annotations

from ferrule.core.reasons import Reason


class ProtocolError(Exception):
    """The peer broke a rule. `detail` is for the log and never holds a secret."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


class Malformed(ProtocolError):
    """Octets that do not parse: too short, a length that lies, a reserved field in use."""
