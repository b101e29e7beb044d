from __future__ import annotations

import pytest

from ferrule.core.errors import Malformed
from ferrule.ppp.frame import Protocol, build_frame, frame_header, ipv4_offset, parse_frame


@pytest.mark.parametrize(
    ("frame", "protocol", "information"),
    [
        ("ff03c02101", 0xC021, "01"),
        ("c02101", 0xC021, "01"),
        ("ff03002145", 0x0021, "45"),
        ("ff032145", 0x0021, "45"),
        ("002145", 0x0021, "45"),
        ("2145", 0x0021, "45"),
        ("c021", 0xC021, ""),
        ("21", 0x0021, ""),
    ],
)
def test_all_forms_of_the_header(frame: str, protocol: int, information: str) -> None:
    assert parse_frame(bytes.fromhex(frame)) == (protocol, bytes.fromhex(information))


@pytest.mark.parametrize("frame", ["", "ff03", "c0", "ff03c0", "c020", "0000", "ff03002000"])
def test_what_has_no_protocol(frame: str) -> None:
    with pytest.raises(Malformed):
        parse_frame(bytes.fromhex(frame))


@pytest.mark.parametrize("compress_protocol", [False, True])
@pytest.mark.parametrize("compress_address", [False, True])
def test_data_headers_are_read_back(compress_protocol: bool, compress_address: bool) -> None:
    header = frame_header(
        Protocol.IP, compress_protocol=compress_protocol, compress_address=compress_address
    )
    assert len(header) == 4 - compress_protocol - 2 * compress_address
    assert parse_frame(header + b"E") == (Protocol.IP, b"E")
    assert ipv4_offset(header + b"E") == len(header)
    assert ipv4_offset(b"12345" + header + b"E", 5) == 5 + len(header)


@pytest.mark.parametrize("protocol", [p for p in Protocol if p > 0xFF])
def test_control_protocols_are_never_compressed(protocol: Protocol) -> None:
    assert frame_header(protocol, compress_protocol=True) == build_frame(protocol, b"")
    assert ipv4_offset(build_frame(protocol, b"E")) == -1


@pytest.mark.parametrize("frame", ["", "ff", "ff03", "ff0300", "0057", "57", "ff03c021"])
def test_what_is_no_ipv4(frame: str) -> None:
    assert ipv4_offset(bytes.fromhex(frame)) == -1
