"""Random and mutated requests: an answer or none, never an exception; what is built parses."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.gateway.dhcpinform import answer

SERVER = IPv4Address("10.8.0.1")
ROUTES = (IPv4Network("10.0.0.0/8"),)


def request(options: bytes) -> bytes:
    message = struct.pack(">BBBBIHH", 1, 8, 6, 0, 1, 0, 0) + b"\x0a\x08\x00\x07" + bytes(220)
    message += b"\x63\x82\x53\x63" + options
    datagram = struct.pack(">HHHH", 68, 67, 8 + len(message), 0) + message
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 128, 17, 0)
    return header + b"\x0a\x08\x00\x07\xff\xff\xff\xff" + datagram


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_random_octets(packet: bytes) -> None:
    assert answer(packet, server=SERVER, routes=ROUTES) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.data())
def test_mutated_requests(options: bytes, data: st.DataObject) -> None:
    packet = bytearray(request(b"\x35\x01\x08" + options))
    for _ in range(data.draw(st.integers(0, 3))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    reply = answer(bytes(packet), server=SERVER, routes=ROUTES, dns=(SERVER,), domain="a.example")
    if reply is not None:
        assert reply[12:16] == SERVER.packed
        assert reply[16:20] == packet[12:16]
        assert int.from_bytes(reply[2:4], "big") == len(reply) <= 576
