"""Result and error codes of StopCCN and CDN (RFC 2661 4.4.2, RFC 3145), read and chosen.

`codes_for` is the one place where a `Reason` of ours becomes numbers on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason, Stage, info

MESSAGE_CHARACTERS_MAX: Final = 120


class Closes(Enum):
    """What a result code closes. Value: the name of the message."""

    TUNNEL = "StopCCN"
    SESSION = "CDN"


RESULTS: Final[Mapping[Closes, Mapping[int, str]]] = MappingProxyType(
    {
        Closes.TUNNEL: {
            1: "general request to clear",
            2: "general error",
            3: "control channel already exists",
            4: "not authorized",
            5: "protocol version not supported",
            6: "shutting down",
            7: "state machine error",
        },
        Closes.SESSION: {
            1: "loss of carrier",
            2: "general error",
            3: "administrative",
            4: "no facilities, temporarily",
            5: "no facilities, permanently",
            6: "invalid destination",
            7: "no carrier",
            8: "busy",
            9: "no dial tone",
            10: "not established in time",
            11: "no appropriate framing",
        },
    }
)

ERRORS: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "no control connection",
        2: "length is wrong",
        3: "value out of range",
        4: "insufficient resources",
        5: "session id invalid",
        6: "vendor-specific error",
        7: "try another",
        8: "unknown mandatory AVP",
    }
)

ERROR_RANGE: Final = 3
ERROR_RESOURCES: Final = 4
ERROR_VENDOR: Final = 6
ERROR_MANDATORY: Final = 8

VERSION_1_0: Final = 0x0100  # RFC 2661 4.4.2: error code of result 5, "highest version supported"


@dataclass(frozen=True, slots=True)
class ResultCode:
    """The Result Code AVP. `error` is None when the peer sent none; `swapped` when it came in
    little-endian order."""

    result: int
    error: int | None = None
    message: str = ""
    swapped: bool = False


def parse_result_code(value: bytes) -> ResultCode:
    """Result, then optionally error, then optionally a message. Raises `Malformed`.

    QUIRK(android, mikrotik): two octets, a result without an error code.
    QUIRK(apple): both numbers in little-endian order; no code is above 255, so it shows.
    """
    if len(value) < 2:
        raise Malformed(Reason.L2TP_MALFORMED, f"a result code of {len(value)} octets")
    result = int.from_bytes(value[:2], "big")
    error = int.from_bytes(value[2:4], "big") if len(value) >= 4 else None
    swapped = result > 0xFF and result & 0xFF == 0
    if swapped:
        result >>= 8
        if error is not None and error & 0xFF == 0:
            error >>= 8
    return ResultCode(result, error, printable(value[4:], MESSAGE_CHARACTERS_MAX), swapped)


def build_result_code(code: ResultCode) -> bytes:
    """Always with an error code: 0 where there is none."""
    numbers = code.result.to_bytes(2, "big") + (code.error or 0).to_bytes(2, "big")
    return numbers + code.message.encode()


def describe(closes: Closes, code: ResultCode | None) -> str:
    """For a log line: "CDN result 3 (administrative) error 0: message"."""
    if code is None:
        return f"{closes.value} without a result code"
    text = f"{closes.value} result {code.result} ({RESULTS[closes].get(code.result, 'unknown')})"
    if code.error is not None:
        text += f" error {code.error}"
        if closes is Closes.SESSION or code.result != 5:
            text += f" ({ERRORS[code.error]})" if code.error in ERRORS else ""
    if code.swapped:
        text += " [sent little-endian]"
    return f"{text}: {code.message}" if code.message else text


# Reason -> (result, error) of StopCCN, (result, error) of CDN. Others: _DEFAULT.
_DEFAULT: Final = ((1, 0), (3, 0))
_CODES: Final[Mapping[Reason, tuple[tuple[int, int], tuple[int, int]]]] = MappingProxyType(
    {
        Reason.L2TP_MALFORMED: ((2, ERROR_RANGE), (2, ERROR_RANGE)),
        Reason.L2TP_MISSING_AVP: ((2, ERROR_VENDOR), (2, ERROR_VENDOR)),
        Reason.L2TP_MANDATORY_AVP: ((2, ERROR_MANDATORY), (2, ERROR_MANDATORY)),
        Reason.L2TP_HIDDEN_AVP: ((2, ERROR_MANDATORY), (2, ERROR_MANDATORY)),
        Reason.L2TP_VERSION: ((5, VERSION_1_0), (2, ERROR_RANGE)),
        Reason.L2TP_UNEXPECTED: ((7, 0), (2, ERROR_VENDOR)),
        Reason.L2TP_TUNNEL_AUTH: ((4, 0), (3, 0)),
        Reason.L2TP_DIAL_OUT: ((2, ERROR_VENDOR), (5, 0)),
        Reason.L2TP_LIMIT: ((2, ERROR_RESOURCES), (4, 0)),
        Reason.L2TP_TIMEOUT: ((1, 0), (10, 0)),
        Reason.POOL_EXHAUSTED: ((1, 0), (4, 0)),
        Reason.STATIC_ADDRESS_TAKEN: ((1, 0), (4, 0)),
        Reason.SESSIONS_LIMIT: ((2, ERROR_RESOURCES), (4, 0)),
        Reason.SERVER_SHUTDOWN: ((6, 0), (3, 0)),
        Reason.PEER_CLOSED: ((1, 0), (1, 0)),
        Reason.PEER_DEAD: ((1, 0), (1, 0)),
        Reason.LCP_TIMEOUT: ((1, 0), (1, 0)),
        Reason.LCP_ECHO_TIMEOUT: ((1, 0), (1, 0)),
        Reason.INTERNAL_ERROR: ((2, ERROR_VENDOR), (2, ERROR_VENDOR)),
    }
)


def code_for(closes: Closes, reason: Reason) -> ResultCode:
    """What we tell the peer when `reason` ends a tunnel or a session."""
    row = _CODES.get(reason, _DEFAULT)
    result, error = row[0] if closes is Closes.TUNNEL else row[1]
    # Which of user and password was wrong is for the log only.
    hides = info(reason).stage is Stage.AUTH
    message = "authentication failed" if hides else info(reason).summary
    return ResultCode(result, error, message[:MESSAGE_CHARACTERS_MAX])


# RFC 3145 3: the PPP Disconnect Cause Code AVP, which some peers add to CDN.
PPP_CAUSES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "no information",
        1: "administrative disconnect",
        2: "link renegotiation refused",
        3: "normal disconnection",
        4: "compulsory encryption refused",
        5: "LCP timeout",
        6: "no recognizable LCP packets",
        7: "LCP magic number error, perhaps a loop",
        8: "LCP echo timeout",
        9: "unexpected endpoint discriminator",
        10: "unexpected MRRU",
        11: "unexpected short sequence number option",
        12: "compulsory call-back refused",
        13: "authentication timeout",
        14: "unexpected authenticated name",
        15: "authentication protocol not acceptable",
        16: "authentication failed",
        17: "NCP timeout",
        18: "no NCP available",
        19: "no agreement on addresses",
        20: "no address allowed",
    }
)


def describe_ppp_cause(value: bytes) -> str:
    """The PPP Disconnect Cause Code AVP for a log line, "" if it is too short to read."""
    if len(value) < 5:
        return ""
    cause = int.from_bytes(value[:2], "big")
    text = f"PPP cause {cause} ({PPP_CAUSES.get(cause, 'unknown')})"
    message = printable(value[5:], MESSAGE_CHARACTERS_MAX)
    return f"{text}: {message}" if message else text


def printable(octets: bytes, characters_max: int) -> str:
    """Text of a stranger, made fit for a log line."""
    text = octets[: 4 * characters_max].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text.rstrip("\0"))[:characters_max]
