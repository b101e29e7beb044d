"""DHCPINFORM in, DHCPACK out: fields, options, and what gets no answer."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network

import pytest

from ferrule.core.checksum import internet_checksum
from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.gateway.dhcpinform import answer, build_dhcpack, build_routes, parse_dhcpinform

CLIENT, SERVER = "10.8.0.7", IPv4Address("10.8.0.1")
DNS = (IPv4Address("10.0.0.53"), IPv4Address("10.0.1.53"))
ROUTES = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("192.168.5.0/24"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("203.0.113.9/32"),
    IPv4Network("0.0.0.0/0"),
)
# What Windows 10 asks for: 1, 15, 3, 6, 44, 46, 47, 31, 33, 121, 249, 252, 43
WINDOWS = bytes((1, 15, 3, 6, 44, 46, 47, 31, 33, 121, 249, 252, 43))
MACOS = bytes((1, 121, 3, 6, 15, 108, 114, 119, 252))


def option(code: int, value: bytes) -> bytes:
    return bytes((code, len(value))) + value


def inform(
    *,
    requested: bytes | None = WINDOWS,
    source: str = CLIENT,
    ciaddr: str = CLIENT,
    op: int = 1,
    magic: bytes = b"\x63\x82\x53\x63",
    options: bytes | None = None,
    ports: tuple[int, int] = (68, 67),
    flags: int = 0x8000,
) -> bytes:
    if options is None:
        options = option(53, b"\x08") + option(61, b"\x01client")
        if requested is not None:
            options += option(55, requested)
        options += b"\xff"
    hardware = bytes.fromhex("00155dabcdef").ljust(16, b"\0")
    message = struct.pack(">BBBBIHH", op, 8, 6, 0, 0xCAFEBABE, 3, flags)
    message += IPv4Address(ciaddr).packed + bytes(12) + hardware + bytes(192) + magic + options
    datagram = struct.pack(">HHHH", *ports, 8 + len(message), 0) + message
    return packet(source, datagram)


def packet(source: str, datagram: bytes, *, fragment: int = 0, protocol: int = 17) -> bytes:
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, fragment, 128, protocol, 0)
        + IPv4Address(source).packed
        + b"\xff\xff\xff\xff"
        + datagram
    )


def options_of(ack: bytes) -> list[tuple[int, bytes]]:
    """By hand, apart from the code under test."""
    found, at = [], 20 + 8 + 240
    while ack[at] != 255:
        found.append((ack[at], ack[at + 2 : at + 2 + ack[at + 1]]))
        at += 2 + ack[at + 1]
    assert not ack[at + 1 :].strip(b"\0")
    return found


def ask(requested: bytes | None = WINDOWS, **changes: object) -> bytes:
    settings: dict[str, object] = {
        "routes": ROUTES[:2],
        "dns": DNS,
        "domain": "corp.example",
    }
    reply = answer(inform(requested=requested), server=SERVER, **(settings | changes))  # type: ignore[arg-type]
    assert reply is not None
    return reply


def test_what_is_parsed() -> None:
    parsed = parse_dhcpinform(inform())
    assert parsed.address == IPv4Address(CLIENT)
    assert parsed.transaction == 0xCAFEBABE
    assert parsed.flags == 0x8000
    assert (parsed.hardware_type, parsed.hardware_octets) == (8, 6)
    assert parsed.hardware_address[:6] == bytes.fromhex("00155dabcdef")
    assert parsed.requested == frozenset(WINDOWS)


def test_headers_of_the_answer() -> None:
    ack = ask()
    assert ack[0] == 0x45
    assert int.from_bytes(ack[2:4], "big") == len(ack)
    assert ack[9] == 17
    assert ack[12:16] == SERVER.packed
    assert ack[16:20] == IPv4Address(CLIENT).packed
    assert internet_checksum(ack[:20]) == 0
    assert ack[20:24] == b"\x00\x43\x00\x44"
    assert int.from_bytes(ack[24:26], "big") == len(ack) - 20
    pseudo = ack[12:20] + b"\0\x11" + ack[24:26]
    assert internet_checksum(pseudo + ack[20:]) == 0


def test_fixed_fields_of_the_answer() -> None:
    message = ask()[28:]
    assert len(message) >= 300
    assert message[:4] == b"\x02\x08\x06\x00"
    assert message[4:8] == b"\xca\xfe\xba\xbe"
    assert message[8:12] == b"\x00\x00\x80\x00"
    assert message[12:16] == IPv4Address(CLIENT).packed
    assert message[16:28] == bytes(12)  # RFC 2131 4.3.5: yiaddr stays empty
    assert message[28:34] == bytes.fromhex("00155dabcdef")
    assert message[236:240] == b"\x63\x82\x53\x63"


def test_options_for_windows() -> None:
    options = options_of(ask())
    routes = bytes.fromhex("080a 0a080001 18c0a805 0a080001")
    assert options == [
        (53, b"\x05"),
        (54, SERVER.packed),
        (1, b"\xff\xff\xff\xff"),
        (6, DNS[0].packed + DNS[1].packed),
        (15, b"corp.example"),
        (121, routes),
        (249, routes),
    ]
    assert 51 not in dict(options)  # RFC 2131 4.3.5: no lease time


@pytest.mark.parametrize(
    ("requested", "codes"),
    [
        (MACOS, [53, 54, 1, 6, 15, 121]),
        (b"", [53, 54]),
        (b"\x06", [53, 54, 6]),
        (b"\xf9", [53, 54, 249]),
        (None, [53, 54, 1, 6, 15, 121, 249]),
    ],
)
def test_only_what_was_asked_for(requested: bytes | None, codes: list[int]) -> None:
    assert [code for code, _ in options_of(ask(requested))] == codes


@pytest.mark.parametrize(
    ("changes", "missing"),
    [({"routes": ()}, {121, 249}), ({"dns": ()}, {6}), ({"domain": ""}, {15})],
)
def test_what_is_not_configured_is_left_out(changes: dict[str, object], missing: set[int]) -> None:
    assert not missing & dict(options_of(ask(**changes))).keys()


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        ("corp.example", b"corp.example"),
        ("bücher.example", b"xn--bcher-kva.example"),
        ("a..b", None),
        ("x" * 64 + ".example", None),
    ],
)
def test_domains(domain: str, value: bytes | None) -> None:
    assert dict(options_of(ask(domain=domain))).get(15) == value


def test_wins_servers() -> None:
    ack = build_dhcpack(parse_dhcpinform(inform()), server=SERVER, wins=DNS)
    assert dict(options_of(ack))[44] == DNS[0].packed + DNS[1].packed


def test_routes_as_rfc3442_has_them() -> None:
    router = SERVER.packed.hex()
    assert build_routes(ROUTES, SERVER).hex() == "".join(
        [
            f"080a{router}",
            f"18c0a805{router}",
            f"0cac10{router}",
            f"20cb007109{router}",
            f"00{router}",
        ]
    )


def test_many_routes_are_split_as_rfc3396_has_it() -> None:
    routes = tuple(IPv4Network((n << 8 | 10 << 24, 24)) for n in range(60))
    options = options_of(ask(routes=routes))
    joined = b"".join(value for code, value in options if code == 121)
    assert joined == build_routes(routes, SERVER)
    assert len(joined) == 60 * 8
    assert max(len(value) for _, value in options) == 255


def test_an_empty_ciaddr_is_taken_for_the_sender() -> None:
    ack = answer(inform(ciaddr="0.0.0.0"), server=SERVER)
    assert ack is not None
    assert ack[16:20] == ack[28 + 12 : 28 + 16] == IPv4Address(CLIENT).packed


def test_split_and_padded_requests_are_joined() -> None:
    options = (
        b"\x00" + option(55, b"\x06") + b"\x00\x00" + option(53, b"\x08") + option(55, b"\x0f")
    )
    assert parse_dhcpinform(inform(options=options)).requested == {6, 15}


GOOD = inform()


@pytest.mark.parametrize(
    "broken",
    [
        inform(op=2),
        inform(magic=bytes(4)),
        inform(ciaddr="10.8.0.8"),
        inform(options=option(53, b"\x01") + b"\xff"),  # DISCOVER
        inform(options=option(53, b"\x08\x08") + b"\xff"),
        inform(options=b"\xff"),
        inform(options=option(53, b"\x08") + b"\x37"),
        inform(options=option(53, b"\x08") + b"\x37\x09\x01"),
        inform(ports=(68, 68)),
        inform(ports=(67, 67)),
        packet(CLIENT, GOOD[20:], fragment=0x2000),
        packet(CLIENT, GOOD[20:], fragment=0x0001),
        packet(CLIENT, GOOD[20:], protocol=6),
        b"\x65" + GOOD[1:],
        b"\x44" + GOOD[1:],
        GOOD[:100],
        GOOD[:20] + b"\x00\x44\x00\x43\x00\x07" + GOOD[26:],
        GOOD[:20] + b"\x00\x44\x00\x43\xff\xff" + GOOD[26:],
        b"",
    ],
)
def test_no_answer_to_anything_else(broken: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        parse_dhcpinform(broken)
    assert caught.value.reason is Reason.IP_MALFORMED
    assert answer(broken, server=SERVER) is None
