"""What a peer shows to prove who it is, and the verdict on it.

PPP produces a proof, `accounts` judges it: the words they share stand here, so that neither
knows the other. Secrets are `Secret`; nothing in here is ever logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret


@dataclass(slots=True)
class PapProof:
    """RFC 1334 2: the password itself."""

    username: str
    password: Secret


@dataclass(slots=True)
class ChapProof:
    """RFC 1994 4.1: response = MD5(identifier | password | challenge)."""

    username: str
    identifier: int
    challenge: bytes
    response: bytes


@dataclass(slots=True)
class MsChapV1Proof:
    """RFC 2433 5: NT-Response over an 8-octet challenge (the LAN Manager one is never accepted)."""

    username: str
    challenge: bytes
    nt_response: bytes


@dataclass(slots=True)
class MsChapV2Proof:
    """RFC 2759 4: 16-octet challenges of both sides and the 24-octet NT-Response.

    `username` is the whole Name field; RFC 2759 8.2 hashes it without a leading "DOMAIN\\".
    """

    username: str
    authenticator_challenge: bytes
    peer_challenge: bytes
    nt_response: bytes


Proof: TypeAlias = PapProof | ChapProof | MsChapV1Proof | MsChapV2Proof


@dataclass(slots=True)
class Accepted:
    """The proof holds. `username` is the account's name as configured.

    `authenticator_response` is the 42-character "S=..." of RFC 2759 8.7, for MS-CHAPv2 only.
    """

    username: str
    authenticator_response: str = ""


@dataclass(slots=True)
class Denied:
    """The proof does not hold, or the account may not log in now."""

    reason: Reason


Verdict: TypeAlias = Accepted | Denied
