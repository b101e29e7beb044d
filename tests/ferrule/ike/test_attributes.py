"""Transform attributes."""

import pytest

from ferrule.core.errors import Malformed
from ferrule.ike.attributes import UNREADABLE, build_attributes, parse_attributes


def test_attributes() -> None:
    wire = bytes.fromhex("80010007 000c0004 00015180 000d0002 1234 00060009 010203040506070809")
    parsed = parse_attributes(wire)
    assert parsed == ((1, 7), (12, 86_400), (13, 0x1234), (6, UNREADABLE))
    assert build_attributes(parsed[:2]) == wire[:12]
    assert parse_attributes(b"") == ()


@pytest.mark.parametrize(
    "wire", ["80", "8001", "800100", "000c0004000151", "000cffff", "80010001" * 25]
)
def test_attributes_that_do_not_parse(wire: str) -> None:
    with pytest.raises(Malformed):
        parse_attributes(bytes.fromhex(wire))
