"""Hostile octets: only ProtocolError comes out, and nothing opens that was not sealed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Spi
from ferrule.crypto.suites import EspSuite, Integrity
from ferrule.esp.packet import EspOpener, EspSealer
from support.dataplane import SUITES, key

SPI = Spi(0x1000)
suites = st.sampled_from(SUITES)


@settings(max_examples=150, deadline=None)
@given(suites, st.binary(max_size=300))
def test_random_octets_never_open(suite: EspSuite, octets: bytes) -> None:
    opener = EspOpener(suite, key(suite, "x"), SPI)
    with pytest.raises(ProtocolError):
        opener.open(octets)
    assert opener.window.top == 0


@settings(max_examples=150, deadline=None)
@given(suites, st.binary(max_size=200), st.data())
def test_mutated_packets_never_open(suite: EspSuite, payload: bytes, data: st.DataObject) -> None:
    packet = bytearray(EspSealer(suite, key(suite, "x"), SPI).seal(payload))
    at = data.draw(st.integers(0, len(packet) - 1))
    packet[at] ^= data.draw(st.integers(1, 255))
    if suite.integrity is not Integrity.HMAC_SHA2_256_128:  # cut whole tags are short ones
        del packet[data.draw(st.integers(at + 1, len(packet))) :]
    opener = EspOpener(suite, key(suite, "x"), SPI)
    with pytest.raises(ProtocolError):
        opener.open(bytes(packet))


@settings(max_examples=100, deadline=None)
@given(suites, st.lists(st.binary(max_size=100), min_size=1, max_size=8), st.randoms())
def test_any_order_opens_once(suite: EspSuite, payloads: list[bytes], random: object) -> None:
    sealer = EspSealer(suite, key(suite, "x"), SPI)
    opener = EspOpener(suite, key(suite, "x"), SPI)
    packets = [(sealer.seal(payload), payload) for payload in payloads]
    random.shuffle(packets)  # type: ignore[attr-defined]
    assert all(opener.open(packet) == payload for packet, payload in packets)
    for packet, _ in packets:
        with pytest.raises(ProtocolError):
            opener.open(packet)
