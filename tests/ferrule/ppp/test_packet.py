from __future__ import annotations

import pytest

from ferrule.core.errors import Malformed
from ferrule.ppp.packet import (
    Option,
    Packet,
    build_options,
    build_packet,
    parse_options,
    parse_packet,
)


def test_octets_beyond_length_are_padding() -> None:
    assert parse_packet(bytes.fromhex("0107000661620000")) == Packet(1, 7, b"ab")


@pytest.mark.parametrize("octets", ["", "01", "010700", "01070003", "0107000561"[:8], "01070005"])
def test_lengths_that_lie(octets: str) -> None:
    with pytest.raises(Malformed):
        parse_packet(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["01", "0100", "0101", "010405", "0102ff"])
def test_options_that_do_not_fit(octets: str) -> None:
    with pytest.raises(Malformed):
        parse_options(bytes.fromhex(octets))


def test_options_keep_their_order_and_their_repetitions() -> None:
    options = [Option(5, b"abcd"), Option(1, b"\x05\xdc"), Option(5, b"")]
    assert parse_options(build_options(options)) == options


def test_a_packet_full_of_options_is_refused() -> None:
    assert len(parse_options(b"\x07\x02" * 64)) == 64
    with pytest.raises(Malformed):
        parse_options(b"\x07\x02" * 65)


def test_build_counts_the_header() -> None:
    assert build_packet(Packet(9, 255, b"magi")) == bytes.fromhex("09ff00086d616769")
