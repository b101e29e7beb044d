"""The ISAKMP header."""

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.ids import Cookie
from ferrule.core.reasons import Reason
from ferrule.ike.header import build_message, parse_header


def test_header() -> None:
    message = build_message(Cookie(b"initiate"), Cookie(b"respond."), 5, 2, 1, 7, b"body")
    header = parse_header(message + b"trailer")
    assert (header.icookie, header.rcookie) == (b"initiate", b"respond.")
    assert (header.next_payload, header.version, header.exchange) == (5, 0x10, 2)
    assert (header.flags, header.message_id, header.length) == (1, 7, 32)
    assert header.major_version == 1


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(28),
        b"\1" * 24 + (27).to_bytes(4, "big"),
        b"\1" * 24 + (29).to_bytes(4, "big"),
    ],
)
def test_what_is_no_header(message: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_header(message)
    assert caught.value.reason is Reason.NOT_IKE
