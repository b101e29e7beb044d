"""What the tunnel adds to an inner IP packet, and the inner MTU that follows from it.

Outer IP, UDP (RFC 3948), ESP with IV, padding and ICV (RFC 4303), inner UDP, L2TP data header and
PPP header (RFC 2661). The result is exact for what we send, so no outer packet is fragmented.
"""

from __future__ import annotations

from typing import Final

from ferrule.crypto.suites import EspSuite

IPV4_HEADER_OCTETS: Final = 20
IPV6_HEADER_OCTETS: Final = 40
UDP_HEADER_OCTETS: Final = 8
ESP_HEADER_OCTETS: Final = 8  # SPI and sequence number
ESP_TRAILER_OCTETS: Final = 2  # pad length and next header
L2TP_DATA_HEADER_OCTETS: Final = 6  # without the optional length
L2TP_SEQUENCED_HEADER_OCTETS: Final = 10
PPP_HEADER_OCTETS: Final = 4  # FF 03 and the protocol, uncompressed


def icv_octets(suite: EspSuite) -> int:
    """The length of the tag: of the AEAD, or of the integrity algorithm."""
    return suite.cipher.info.tag if suite.integrity is None else suite.integrity.icv


def esp_octets(suite: EspSuite, payload: int) -> int:
    """The length of the ESP packet that carries `payload` octets (RFC 4303 2, 2.4)."""
    block = suite.cipher.info.block
    plaintext = -(-(payload + ESP_TRAILER_OCTETS) // block) * block
    return ESP_HEADER_OCTETS + suite.cipher.info.iv + plaintext + icv_octets(suite)


def esp_overhead(suite: EspSuite) -> int:
    """The most octets that ESP adds to a payload: header, IV, trailer with padding, ICV."""
    info = suite.cipher.info
    worst_padding = info.block - 1
    return ESP_HEADER_OCTETS + info.iv + worst_padding + ESP_TRAILER_OCTETS + icv_octets(suite)


def inner_mtu(
    outer_mtu: int,
    suite: EspSuite,
    *,
    outer_header: int = IPV4_HEADER_OCTETS,
    l2tp_header: int = L2TP_DATA_HEADER_OCTETS,
) -> int:
    """The largest inner IP packet whose outer packet fits into `outer_mtu` octets.

    Raises ValueError if nothing fits.
    """
    info = suite.cipher.info
    room = outer_mtu - outer_header - UDP_HEADER_OCTETS
    room -= ESP_HEADER_OCTETS + info.iv + icv_octets(suite)
    payload = room // info.block * info.block - ESP_TRAILER_OCTETS
    mtu = payload - UDP_HEADER_OCTETS - l2tp_header - PPP_HEADER_OCTETS
    if mtu <= 0:
        raise ValueError(f"an outer MTU of {outer_mtu} octets leaves no room for {suite}")
    return mtu
