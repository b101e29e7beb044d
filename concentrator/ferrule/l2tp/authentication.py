"""Tunnel authentication (RFC 2661 5.1.1): challenge and response, each side for itself.

As CHAP does it (RFC 1994), with the message type in the place of the identifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.chap import chap_md5, verify_chap_md5
from ferrule.l2tp.messages import MessageType

CHALLENGE_OCTETS: Final = 16


@dataclass(slots=True)
class TunnelAuthentication:
    """Without a secret we neither ask nor can answer."""

    secret: Secret | None
    challenge: bytes | None = None  # ours, until it is answered

    def ask(self, entropy: Callable[[int], bytes]) -> bytes | None:
        """Our challenge, for SCCRQ or SCCRP."""
        if self.secret is not None:
            self.challenge = entropy(CHALLENGE_OCTETS)
        return self.challenge

    def answer(self, kind: MessageType, challenge: bytes | None) -> bytes | None:
        """Our response in a message of `kind`. Raises L2TP_TUNNEL_AUTH if we have no secret."""
        if challenge is None:
            return None
        if self.secret is None:
            detail = "the peer asks for tunnel authentication, there is no secret"
            raise ProtocolError(Reason.L2TP_TUNNEL_AUTH, detail)
        return chap_md5(kind, self.secret.reveal(), challenge)

    def check(self, kind: MessageType, response: bytes | None) -> None:
        """Take the peer's response in a message of `kind`. Raises L2TP_TUNNEL_AUTH."""
        challenge, self.challenge = self.challenge, None
        if challenge is None or self.secret is None:
            return
        if response is None:
            raise ProtocolError(Reason.L2TP_TUNNEL_AUTH, "the peer did not answer our challenge")
        if not verify_chap_md5(kind, self.secret.reveal(), challenge, response):
            raise ProtocolError(Reason.L2TP_TUNNEL_AUTH, "the peer's response is wrong")
