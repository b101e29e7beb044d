"""What the tunnel adds, held against packets that were really sealed."""

from __future__ import annotations

import pytest

from ferrule.core.ids import Spi
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.esp.overhead import esp_octets, esp_overhead, icv_octets, inner_mtu
from ferrule.esp.packet import EspSealer
from support.dataplane import CBC_SHA1, CBC_SHA256, GCM, SUITES, key


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_an_esp_packet_is_as_long_as_foretold(suite: EspSuite) -> None:
    sealer = EspSealer(suite, key(suite, "x"), Spi(0x300))
    longest = 0
    for payload in range(64):
        octets = len(sealer.seal(bytes(payload)))
        assert octets == esp_octets(suite, payload)
        longest = max(longest, octets - payload)
    assert longest == esp_overhead(suite)


@pytest.mark.parametrize("outer", [576, 1280, 1400, 1460, 1492, 1500, 9000])
@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_inner_mtu_fits_and_no_more_would(suite: EspSuite, outer: int) -> None:
    mtu = inner_mtu(outer, suite)

    def outer_octets(inner: int) -> int:
        return 20 + 8 + esp_octets(suite, 8 + 6 + 4 + inner)

    assert outer_octets(mtu) <= outer < outer_octets(mtu + 1)


@pytest.mark.parametrize(
    ("suite", "mtu"),
    [
        # 1500 - 20 - 8 - 8 - 16 - 12 = 1436 -> 1424 - 2 - 8 - 6 - 4
        (CBC_SHA1, 1404),
        # 1500 - 20 - 8 - 8 - 16 - 16 = 1432 -> 1424 - 2 - 8 - 6 - 4
        (CBC_SHA256, 1404),
        # 1500 - 20 - 8 - 8 - 8 - 16 = 1440 - 2 - 8 - 6 - 4
        (GCM, 1420),
        # 1500 - 20 - 8 - 8 - 8 - 12 = 1444 -> 1440 - 2 - 8 - 6 - 4
        (EspSuite(Cipher.DES3_CBC, Integrity.HMAC_SHA1_96), 1420),
    ],
    ids=str,
)
def test_ethernet(suite: EspSuite, mtu: int) -> None:
    assert inner_mtu(1500, suite) == mtu


def test_ipv6_outside_and_sequencing_cost_their_octets() -> None:
    assert inner_mtu(1500, GCM, outer_header=40) == inner_mtu(1500, GCM) - 20
    assert inner_mtu(1500, GCM, l2tp_header=10) == inner_mtu(1500, GCM) - 4


def test_too_small_an_outer_mtu_is_an_error() -> None:
    with pytest.raises(ValueError, match="no room"):
        inner_mtu(80, CBC_SHA1)


def test_icv() -> None:
    assert [icv_octets(suite) for suite in (CBC_SHA1, CBC_SHA256, GCM)] == [12, 16, 16]
