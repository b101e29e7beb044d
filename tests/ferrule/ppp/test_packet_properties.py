from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import ProtocolError
from ferrule.ppp.frame import parse_frame
from ferrule.ppp.packet import (
    Option,
    Packet,
    build_options,
    build_packet,
    parse_options,
    parse_packet,
)

OCTET = st.integers(0, 255)


@settings(max_examples=200, deadline=None)
@given(OCTET, OCTET, st.binary(max_size=300), st.binary(max_size=8))
def test_a_packet_survives_the_wire(
    code: int, identifier: int, data: bytes, padding: bytes
) -> None:
    packet = Packet(code, identifier, data)
    assert parse_packet(build_packet(packet) + padding) == packet


@settings(max_examples=200, deadline=None)
@given(st.lists(st.builds(Option, OCTET, st.binary(max_size=253)), max_size=20))
def test_options_survive_the_wire(options: list[Option]) -> None:
    assert parse_options(build_options(options)) == options


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=64))
def test_any_octets_parse_or_are_malformed(octets: bytes) -> None:
    for parse in (parse_frame, parse_packet, parse_options):
        try:
            parse(octets)
        except ProtocolError as error:
            assert error.detail  # noqa: PT017
