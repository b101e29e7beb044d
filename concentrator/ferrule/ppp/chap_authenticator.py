"""CHAP as the one who asks (RFC 1994, RFC 2433, RFC 2759): the server's role."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from ferrule.core.credentials import Accepted, Proof
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.ppp.auth import RESTART, Authenticator, AuthOutput, Happening, read_name, write_name
from ferrule.ppp.chap import (
    ALGORITHMS,
    ChapCode,
    build_failure,
    build_value,
    parse_response,
    parse_value,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Packet
from ferrule.ppp.policy import PppPolicy

RESTART_SECONDS: Final = 2.0
_RESTART_SECONDS_MAX: Final = 8.0


class ChapAuthenticator(Authenticator):
    """Challenges, and judges the response that has the challenge's identifier."""

    __slots__ = ("_challenge", "_entropy", "_identifier", "_method", "_retrying", "_seconds")

    protocol: ClassVar[Protocol] = Protocol.CHAP

    def __init__(
        self,
        method: str,
        policy: PppPolicy,
        deadlines: Deadlines,
        entropy: Callable[[int], bytes],
    ) -> None:
        super().__init__(policy, deadlines)
        self._method = method
        self._entropy = entropy
        self._identifier = entropy(1)[0]
        self._challenge = b""
        self._seconds = RESTART_SECONDS
        self._retrying = False  # the challenge went out in a Failure that allows a retry

    @property
    def method(self) -> str:
        return self._method

    @property
    def retriable(self) -> bool:
        return ALGORITHMS[self._method].version > 0

    def start(self, now: float) -> list[AuthOutput]:
        """A fresh Challenge with a fresh identifier, also when it repeats one that got lost.

        With the identifier unchanged, an answer to either would be taken for an answer to both,
        and a client that made two checks our MS-CHAPv2 proof against the wrong one.
        """
        self._identifier = (self._identifier + 1) % 256
        self._challenge = self._entropy(ALGORITHMS[self._method].challenge)
        self._deadlines.set(RESTART, now + self._seconds)
        self._seconds = min(2 * self._seconds, _RESTART_SECONDS_MAX)
        data = build_value(self._challenge, write_name(self._policy.name))
        return [Packet(ChapCode.CHALLENGE, self._identifier, data)]

    def _on_restart(self, what: Happening) -> list[AuthOutput]:
        return self.start(what.now)

    def _parse(self, packet: Packet) -> Proof:
        if packet.code != ChapCode.RESPONSE:
            raise ProtocolError(Reason.PPP_PHASE, f"CHAP code {packet.code} from a client")
        # QUIRK(windows): the response to a Failure with R=1 counts its identifier up by one.
        expected = [self._identifier] + [(self._identifier + 1) % 256] * self._retrying
        if packet.identifier not in expected:
            raise ProtocolError(Reason.PPP_PHASE, f"stale response {packet.identifier}")
        value, name = parse_value(packet.data)
        username = read_name(name)
        return parse_response(self._method, username, packet.identifier, self._challenge, value)

    def _repeats(self, packet: Packet) -> bool:
        return packet == self._judged

    def _success(self, packet: Packet, verdict: Accepted) -> Packet:
        # RFC 2759 5: "S=" and 40 digits, then the message.
        proof = f"{verdict.authenticator_response} M=" if verdict.authenticator_response else ""
        return Packet(ChapCode.SUCCESS, packet.identifier, f"{proof}Welcome".encode("ascii"))

    def _failure(self, packet: Packet, reason: Reason, *, final: bool) -> Packet:
        self._challenge = self._entropy(ALGORITHMS[self._method].challenge)
        self._identifier = packet.identifier
        self._retrying = not final
        data = build_failure(self._method, reason, retry=not final, challenge=self._challenge)
        return Packet(ChapCode.FAILURE, packet.identifier, data)
