"""IPv4 of the inner packets: what is sound, fragments (RFC 791), MSS clamp (RFC 9293 3.7.1).

Functions over octets; none raises. Checksums of packets that pass through are left to the kernel
and to the ends, except where we change a packet.
"""

from __future__ import annotations

import struct
from typing import Final

from ferrule.core.checksum import internet_checksum, updated_checksum

HEADER_OCTETS: Final = 20
TCP: Final = 6
TCP_HEADER_OCTETS: Final = 20

_DF = 0x4000
_MF = 0x2000
_OFFSET = 0x1FFF
_SYN = 0x02
_OPTION_END, _OPTION_NOP, _OPTION_LSRR, _OPTION_SSRR = 0, 1, 131, 137
_OPTION_COPIED = 0x80
_TCP_OPTION_END, _TCP_OPTION_NOP, _TCP_OPTION_MSS = 0, 1, 2


def sound(packet: bytes) -> bytes | None:
    """`packet` without what follows its total length, or None if its header does not hold water.

    Packets with a source route are unsound too: they would reach what the policy denies.
    """
    octets = len(packet)
    if octets < HEADER_OCTETS:
        return None
    first = packet[0]
    total = packet[2] << 8 | packet[3]
    if first == 0x45:
        if not HEADER_OCTETS <= total <= octets:
            return None
    else:
        header = (first & 15) * 4
        if first >> 4 != 4 or header < HEADER_OCTETS or not header <= total <= octets:
            return None
        if not _options_sound(packet[HEADER_OCTETS:header]):
            return None
    return packet if total == octets else packet[:total]


def _options_sound(options: bytes) -> bool:
    at = 0
    while at < len(options) and options[at] != _OPTION_END:
        if options[at] == _OPTION_NOP:
            at += 1
            continue
        if options[at] in (_OPTION_LSRR, _OPTION_SSRR) or at + 1 >= len(options):
            return False
        length = options[at + 1]
        if length < 2 or at + length > len(options):
            return False
        at += length
    return True


def may_fragment(packet: bytes) -> bool:
    """The DF bit of a sound packet is clear."""
    return not packet[6] & 0x40


def fragment(packet: bytes, mtu: int) -> list[bytes]:
    """The fragments of a sound packet, none above `mtu` octets (RFC 791 3.2). `mtu` >= 68."""
    header_octets = (packet[0] & 15) * 4
    header, payload = packet[:header_octets], packet[header_octets:]
    flags = packet[6] << 8 | packet[7]
    offset, more = flags & _OFFSET, flags & _MF
    fragments = []
    at = 0
    while at < len(payload):
        room = (mtu - len(header)) // 8 * 8
        piece = payload[at : at + room]
        last = at + len(piece) == len(payload)
        word = (offset + at // 8) | (more if last else _MF)
        fragments.append(_with_header(header, word, piece))
        if at == 0:
            header = header[:HEADER_OCTETS] + _copied_options(header[HEADER_OCTETS:])
        at += len(piece)
    return fragments


def _with_header(header: bytes, fragment_word: int, payload: bytes) -> bytes:
    """`header` made right for `payload`: length of itself and of all, fragment word, checksum."""
    first = 0x40 | len(header) // 4
    total = len(header) + len(payload)
    head = struct.pack(
        ">BBH2sHBBH", first, header[1], total, header[4:6], fragment_word, header[8], header[9], 0
    )
    checksum = internet_checksum(head + header[12:])
    return head[:10] + checksum.to_bytes(2, "big") + header[12:] + payload


def _copied_options(options: bytes) -> bytes:
    """The options that every fragment carries, padded to whole words."""
    kept = b""
    at = 0
    while at < len(options) and options[at] != _OPTION_END:
        length = 1 if options[at] == _OPTION_NOP else options[at + 1]
        if options[at] & _OPTION_COPIED:
            kept += options[at : at + length]
        at += length
    return kept + bytes(-len(kept) % 4)


def clamp_mss(packet: bytes, mtu: int) -> bytes:
    """A sound packet whose TCP SYN announces no more than fits into `mtu`.

    Everything else, and a SYN without the option (it means 536), comes back as it is.
    """
    at = (packet[0] & 15) * 4
    if packet[9] != TCP or len(packet) < at + TCP_HEADER_OCTETS or not packet[at + 13] & _SYN:
        return packet
    if (packet[6] << 8 | packet[7]) & _OFFSET:
        return packet
    limit = mtu - HEADER_OCTETS - TCP_HEADER_OCTETS
    end = min(at + (packet[at + 12] >> 4) * 4, len(packet))
    option = at + TCP_HEADER_OCTETS
    while option + 4 <= end:
        kind = packet[option]
        if kind == _TCP_OPTION_MSS:
            if packet[option + 1] != 4:
                return packet
            mss = packet[option + 2] << 8 | packet[option + 3]
            return _with_mss(packet, at + 16, option + 2, limit) if mss > limit else packet
        if kind == _TCP_OPTION_NOP:
            option += 1
        elif kind == _TCP_OPTION_END or packet[option + 1] < 2:
            return packet
        else:
            option += packet[option + 1]
    return packet


def _with_mss(packet: bytes, checksum_at: int, mss_at: int, mss: int) -> bytes:
    old, new = packet[mss_at : mss_at + 2], mss.to_bytes(2, "big")
    # RFC 1071 2 (B): a field at an odd offset counts as if its octets were swapped.
    order: Final = "big" if (mss_at - checksum_at) % 2 == 0 else "little"
    checksum = updated_checksum(
        packet[checksum_at] << 8 | packet[checksum_at + 1],
        int.from_bytes(old, order),
        int.from_bytes(new, order),
    )
    changed = bytearray(packet)
    changed[mss_at : mss_at + 2] = new
    changed[checksum_at : checksum_at + 2] = checksum.to_bytes(2, "big")
    return bytes(changed)
