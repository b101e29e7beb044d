"""ICMP by the octets; more in test_ipv4."""

from __future__ import annotations

from ferrule.client.icmp import Echo, build_echo, parse_icmp


def test_the_octets_of_an_echo_request() -> None:
    """RFC 792: type 8, code 0, checksum, identifier, sequence number, data."""
    assert build_echo(Echo(False, 0x1234, 1, b"ab")).hex() == "08008468123400016162"


def test_a_reply_is_told_from_a_request() -> None:
    reply = parse_icmp(build_echo(Echo(True, 1, 2, b"")))
    assert isinstance(reply, Echo)
    assert reply.reply
