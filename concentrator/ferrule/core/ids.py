"""Identifiers and addresses. Each id is its own type, so that mypy tells them apart."""

from __future__ import annotations

from typing import NamedTuple, NewType

Cookie = NewType("Cookie", bytes)  # ISAKMP cookie, 8 octets
Spi = NewType("Spi", int)  # ESP SPI, 32 bits, never below 256
IsakmpSaId = NewType("IsakmpSaId", int)  # local handle of an ISAKMP SA
ClientId = NewType("ClientId", int)  # local handle of one remote host
TunnelId = NewType("TunnelId", int)  # L2TP tunnel id, 16 bits, never 0 when assigned
SessionId = NewType("SessionId", int)  # L2TP session id, 16 bits, never 0 when assigned


class Address(NamedTuple):
    """A UDP address: host as text ("192.0.2.1", "2001:db8::1") and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Path(NamedTuple):
    """The way a datagram came, and so the way the answer goes back.

    `local` is the address of ours that it reached. `natt` says that it came in on the NAT-T port
    (4500, or what that is mapped to), where IKE wears four zero octets (RFC 3948 2.2). `via` is
    the member whose socket that is, "" for our own: the answer leaves where the question entered.
    """

    peer: Address
    local: Address
    natt: bool
    via: str = ""
