"""CHAP's packets (RFC 1994 4) with the values of MD5, MS-CHAP (RFC 2433) and MS-CHAPv2 (RFC 2759).

Formats only; the two roles are `chap_authenticator` and `chap_supplicant`. The LAN Manager
response is never looked at: a client that has no other gives a wrong NT-Response.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ferrule.core.codec import Reader
from ferrule.core.credentials import ChapProof, MsChapV1Proof, MsChapV2Proof, Proof
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ppp.auth import FAILURE, FAILURES, REASON_OF
from ferrule.ppp.lcp import readable


class ChapCode(IntEnum):
    CHALLENGE = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4


def parse_value(data: bytes) -> tuple[bytes, bytes]:
    """RFC 1994 4.1: value and name of a Challenge or Response. Raises Malformed."""
    reader = Reader(data, Reason.PPP_MALFORMED)
    return reader.take(reader.u8()), reader.rest()


def build_value(value: bytes, name: bytes) -> bytes:
    return bytes((len(value),)) + value + name


def _md5_proof(name: str, identifier: int, challenge: bytes, value: bytes) -> Proof:
    return ChapProof(name, identifier, challenge, value)


def _v1_proof(name: str, identifier: int, challenge: bytes, value: bytes) -> Proof:
    """RFC 2433 5: LAN Manager response, NT response, flag."""
    del identifier
    return MsChapV1Proof(name, challenge, value[24:48])


def _v2_proof(name: str, identifier: int, challenge: bytes, value: bytes) -> Proof:
    """RFC 2759 4: peer challenge, 8 octets reserved, NT response, flags."""
    del identifier
    return MsChapV2Proof(name, challenge, value[:16], value[24:48])


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Sizes in octets; `version` is V= of a failure, 0 where failures are plain text."""

    challenge: int
    response: int
    version: int
    proof: Callable[[str, int, bytes, bytes], Proof]


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "chap": Algorithm(16, 16, 0, _md5_proof),
    "mschapv1": Algorithm(8, 49, 2, _v1_proof),
    "mschapv2": Algorithm(16, 49, 3, _v2_proof),
}


def parse_response(
    method: str, name: str, identifier: int, challenge: bytes, value: bytes
) -> Proof:
    """The proof in the value of a Response. Raises Malformed for a value of another length."""
    algorithm = ALGORITHMS[method]
    if len(value) != algorithm.response:
        raise Malformed(Reason.PPP_MALFORMED, f"{method} response of {len(value)} octets")
    return algorithm.proof(name, identifier, challenge, value)


def build_failure(method: str, reason: Reason, *, retry: bool, challenge: bytes) -> bytes:
    """RFC 2759 6 and RFC 2433 8: E= R= C= V= and, in version 2, M=."""
    code, text = FAILURES.get(reason, FAILURE)
    version = ALGORITHMS[method].version
    if not version:
        return text.encode("ascii")
    head = f"E={code} R={int(retry)} C={challenge.hex().upper()} V={version}"
    return f"{head} M={text}".encode("ascii") if version == 3 else head.encode("ascii")


_CODE: Final = re.compile(rb"(?:^|\s)E=(\d{1,10})")
_MESSAGE: Final = re.compile(rb"\sM=(.*)", re.DOTALL)


def parse_failure(data: bytes) -> tuple[Reason, str]:
    """As a client: the reason and the server's message. Never raises."""
    code = _CODE.search(data)
    reason = REASON_OF.get(int(code[1]), Reason.WRONG_PASSWORD) if code else Reason.WRONG_PASSWORD
    message = _MESSAGE.search(data)
    return reason, readable(message[1] if message else data)
