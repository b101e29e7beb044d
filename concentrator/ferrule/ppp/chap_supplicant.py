"""CHAP as the one who answers (RFC 1994, RFC 2433, RFC 2759): the client's role."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.crypto.chap import chap_md5
from ferrule.crypto.compare import equal
from ferrule.crypto.mschap import (
    mschapv1_response,
    mschapv2_authenticator_response,
    mschapv2_response,
    nt_password_hash,
)
from ferrule.ppp.auth import RESTART, AuthOutput, Failed, Passed, Supplicant, write_name
from ferrule.ppp.chap import ALGORITHMS, ChapCode, build_value, parse_failure, parse_value
from ferrule.ppp.frame import Protocol
from ferrule.ppp.packet import Packet
from ferrule.ppp.policy import Credentials

REPEAT_SECONDS: Final = 3.0


class ChapSupplicant(Supplicant):
    """Answers challenges; the same challenge gets the same response."""

    __slots__ = (
        "_challenge",
        "_credentials",
        "_deadlines",
        "_done",
        "_entropy",
        "_expected",
        "_method",
        "_response",
    )

    protocol: ClassVar[Protocol] = Protocol.CHAP

    def __init__(
        self,
        method: str,
        credentials: Credentials,
        deadlines: Deadlines,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._method = method
        self._credentials = credentials
        self._deadlines = deadlines
        self._entropy = entropy
        self._challenge: tuple[int, bytes] | None = None
        self._response: Packet | None = None
        self._expected = ""  # the server's proof, for MS-CHAPv2
        self._done = False

    @property
    def method(self) -> str:
        return self._method

    def start(self, now: float) -> list[AuthOutput]:
        del now
        return []  # the server speaks first

    def receive(self, packet: Packet, now: float) -> list[AuthOutput]:
        if packet.code == ChapCode.CHALLENGE:
            return self._on_challenge(packet, now)
        if packet.code not in (ChapCode.SUCCESS, ChapCode.FAILURE):
            raise ProtocolError(Reason.PPP_PHASE, f"CHAP code {packet.code} from a server")
        if self._done or self._response is None or packet.identifier != self._response.identifier:
            raise ProtocolError(Reason.PPP_PHASE, f"stale verdict {packet.identifier}")
        self._done = True
        self._deadlines.clear(RESTART)
        username = self._credentials.username
        if packet.code == ChapCode.FAILURE:
            return [Failed(username, *parse_failure(packet.data), True)]
        if self._expected and not equal(
            packet.data[: len(self._expected)], self._expected.encode()
        ):
            detail = "the server does not know the password"
            return [Failed(username, Reason.WRONG_PASSWORD, detail, True)]
        return [Passed(username)]

    def expire(self, now: float) -> list[AuthOutput]:
        """No verdict yet: the response once more."""
        if self._done or self._response is None:
            return []
        self._deadlines.set(RESTART, now + REPEAT_SECONDS)
        return [self._response]

    def _on_challenge(self, packet: Packet, now: float) -> list[AuthOutput]:
        challenge, _ = parse_value(packet.data)
        wanted = ALGORITHMS[self._method].challenge
        if not challenge or (len(challenge) != wanted and self._method != "chap"):
            raise Malformed(Reason.PPP_MALFORMED, f"a challenge of {len(challenge)} octets")
        if self._response is None or self._challenge != (packet.identifier, challenge):
            self._challenge = (packet.identifier, challenge)
            name = write_name(self._credentials.username)
            data = build_value(self._value(packet.identifier, challenge), name)
            self._response = Packet(ChapCode.RESPONSE, packet.identifier, data)
        if not self._done:
            self._deadlines.set(RESTART, now + REPEAT_SECONDS)
        return [self._response]

    def _value(self, identifier: int, challenge: bytes) -> bytes:
        password = self._credentials.password.reveal()
        if self._method == "chap":
            return chap_md5(identifier, password, challenge)
        nt_hash = nt_password_hash(password.decode("utf-8", "surrogateescape"))
        if self._method == "mschapv1":
            return bytes(24) + mschapv1_response(nt_hash, challenge) + b"\x01"
        username = self._credentials.username
        peer_challenge = self._entropy(ALGORITHMS[self._method].challenge)
        response = mschapv2_response(nt_hash, username, challenge, peer_challenge)
        self._expected = mschapv2_authenticator_response(
            nt_hash, username, challenge, peer_challenge, response
        )
        return peer_challenge + bytes(8) + response + b"\x00"
