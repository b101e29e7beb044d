"""PAP (RFC 1334 2), both roles. The password travels in clear: inside ESP, or not at all."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Final

from ferrule.core.codec import Reader
from ferrule.core.credentials import Accepted, PapProof, Proof
from ferrule.core.deadlines import Deadlines
from ferrule.core.errors import ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.ppp.auth import (
    FAILURE,
    FAILURES,
    RESTART,
    Authenticator,
    AuthOutput,
    Failed,
    Passed,
    Supplicant,
    read_name,
    write_name,
)
from ferrule.ppp.frame import Protocol
from ferrule.ppp.lcp import readable
from ferrule.ppp.packet import Packet
from ferrule.ppp.policy import Credentials

REPEAT_SECONDS: Final = 2.0


class PapCode(IntEnum):
    AUTHENTICATE_REQUEST = 1
    AUTHENTICATE_ACK = 2
    AUTHENTICATE_NAK = 3


def parse_request(data: bytes) -> PapProof:
    """RFC 1334 2.2.1: peer-ID and password, each behind its length. Raises Malformed."""
    reader = Reader(data, Reason.PPP_MALFORMED)
    username = read_name(reader.take(reader.u8()))
    return PapProof(username, Secret(reader.take(reader.u8())))


def build_request(username: bytes, password: bytes) -> bytes:
    return bytes((len(username),)) + username + bytes((len(password),)) + password


def _build_message(text: str) -> bytes:
    """RFC 1334 2.2.2: the message behind its length."""
    return bytes((len(text),)) + text.encode("ascii")


class PapAuthenticator(Authenticator):
    """Waits for the password; the peer repeats itself when nothing comes."""

    __slots__ = ()

    protocol: ClassVar[Protocol] = Protocol.PAP

    @property
    def method(self) -> str:
        return "pap"

    def start(self, now: float) -> list[AuthOutput]:
        del now
        return []

    def _parse(self, packet: Packet) -> Proof:
        if packet.code != PapCode.AUTHENTICATE_REQUEST:
            raise ProtocolError(Reason.PPP_PHASE, f"PAP code {packet.code} from a client")
        return parse_request(packet.data)

    def _repeats(self, packet: Packet) -> bool:
        last = self._judged
        return last is not None and (last.code, last.data) == (packet.code, packet.data)

    def _success(self, packet: Packet, verdict: Accepted) -> Packet:
        del verdict
        return Packet(PapCode.AUTHENTICATE_ACK, packet.identifier, _build_message("Welcome"))

    def _failure(self, packet: Packet, reason: Reason, *, final: bool) -> Packet:
        del final
        text = FAILURES.get(reason, FAILURE)[1]
        return Packet(PapCode.AUTHENTICATE_NAK, packet.identifier, _build_message(text))


class PapSupplicant(Supplicant):
    """Sends name and password until there is a verdict."""

    __slots__ = ("_credentials", "_deadlines", "_done", "_identifier")

    protocol: ClassVar[Protocol] = Protocol.PAP

    def __init__(self, credentials: Credentials, deadlines: Deadlines) -> None:
        self._credentials = credentials
        self._deadlines = deadlines
        self._identifier = 0
        self._done = False

    @property
    def method(self) -> str:
        return "pap"

    def start(self, now: float) -> list[AuthOutput]:
        self._identifier = self._identifier % 255 + 1
        self._deadlines.set(RESTART, now + REPEAT_SECONDS)
        username = write_name(self._credentials.username)
        data = build_request(username, self._credentials.password.reveal()[:255])
        return [Packet(PapCode.AUTHENTICATE_REQUEST, self._identifier, data)]

    def receive(self, packet: Packet, now: float) -> list[AuthOutput]:
        del now
        if self._done or packet.identifier != self._identifier:
            raise ProtocolError(Reason.PPP_PHASE, f"stale verdict {packet.identifier}")
        if packet.code not in (PapCode.AUTHENTICATE_ACK, PapCode.AUTHENTICATE_NAK):
            raise ProtocolError(Reason.PPP_PHASE, f"PAP code {packet.code} from a server")
        self._done = True
        self._deadlines.clear(RESTART)
        username = self._credentials.username
        if packet.code == PapCode.AUTHENTICATE_ACK:
            return [Passed(username)]
        return [Failed(username, Reason.WRONG_PASSWORD, readable(packet.data[1:]), True)]

    def expire(self, now: float) -> list[AuthOutput]:
        return [] if self._done else self.start(now)
