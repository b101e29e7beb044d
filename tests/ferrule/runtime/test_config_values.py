from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from ferrule.core.ids import Address
from ferrule.runtime import config_values as v

GOOD: list[tuple[Callable[[object], Any], object, Any]] = [
    (v.read_duration, "8h", 28800),
    (v.read_duration, "1h30m", 5400),
    (v.read_duration, "3600s", 3600),
    (v.read_duration, "1d", 86400),
    (v.read_duration, 90, 90),
    (v.read_duration, "0s", 0),
    (v.read_rate, "10Mbit", 1_250_000),
    (v.read_rate, "512 kbit/s", 64_000),
    (v.read_rate, "1.5gbit", 187_500_000),
    (v.read_rate, "0bit", 0),
    (v.read_rate, 0, 0),
    (v.read_network, "10.20.0.0/16", IPv4Network("10.20.0.0/16")),
    (v.read_network, "192.0.2.7", IPv4Network("192.0.2.7/32")),
    (v.read_address, "192.0.2.7", IPv4Address("192.0.2.7")),
    (v.read_host_port, "127.0.0.1:9190", Address("127.0.0.1", 9190)),
    (v.read_host_port, "[::1]:80", Address("::1", 80)),
    (v.read_host_port, ":80", Address("0.0.0.0", 80)),
    (v.read_host_port, "off", None),
    (v.read_host_port, False, None),
    (v.read_instant, "2027-01-31", datetime(2027, 2, 1, tzinfo=UTC).timestamp()),
    (v.read_instant, "2027-01-31T18:00:00Z", datetime(2027, 1, 31, 18, tzinfo=UTC).timestamp()),
    (
        v.read_instant,
        "2027-01-31T18:00:00+02:00",
        datetime(2027, 1, 31, 16, tzinfo=UTC).timestamp(),
    ),
    (v.read_identity, "", ""),
    (v.read_identity, "203.0.113.10", "203.0.113.10"),
    (v.read_identity, "vpn.example.org", "@vpn.example.org"),
    (v.read_identity, "@vpn.example.org", "@vpn.example.org"),
    (v.read_username, "alice@example.org", "alice@example.org"),
    (v.read_username, "Zoë", "Zoë"),
]


@pytest.mark.parametrize(("read", "text", "value"), GOOD)
def test_reads(read: Callable[[object], Any], text: object, value: Any) -> None:
    assert read(text) == value


BAD: list[tuple[Callable[[object], Any], object, str]] = [
    (v.read_duration, "8", "8h, 90m or 3600s"),
    (v.read_duration, "8 hours", "'8 hours' is not a duration"),
    (v.read_duration, -1, "'-1'"),
    (v.read_duration, float("nan"), "not a duration"),
    (v.read_duration, True, "not a duration"),
    (v.read_duration, ["8h"], "a list is not a duration"),
    (v.read_rate, "10Mb", "write it like 10Mbit"),
    (v.read_rate, "1kbit", "64kbit or more"),
    (v.read_rate, 5, "'5' is not a rate"),
    (v.read_network, "10.0.0.0/33", "'10.0.0.0/33' is not an IPv4 network; write it like"),
    (v.read_network, "10.20.3.0/16", "write it like 10.20.0.0/16"),
    (v.read_network, "fd00::/8", "not an IPv4 network"),
    (v.read_address, "10.0.0.256", "write it like 192.0.2.1"),
    (v.read_range, "10.0.0.9-10.0.0.1", "10.20.0.5-10.20.0.9"),
    (v.read_range, "10.0.0.1/24", "neither an address, a range nor a network"),
    (v.read_host_port, "9190", "write it like 127.0.0.1:9190, or off"),
    (v.read_host_port, "::1:80", "not host and port"),
    (v.read_host_port, "localhost:70000", "not host and port"),
    (v.read_instant, "31.01.2027", "write it like 2027-01-31T18:00:00Z"),
    (v.read_instant, "2027-13-01", "not a time"),
    (v.read_instant, "9999-12-31", "not a time"),
    (v.read_instant, "2027-01-31T18:00:00", "lacks a time zone; write it like 2027-01-31T18:00"),
    (v.read_identity, "0", "203.0.113.10 or vpn.example.org"),
    (v.read_identity, "a b.example.org", "neither an IPv4 address nor a domain name"),
    (v.read_username, "", "is not a user name"),
    (v.read_username, " alice", "without blanks around them"),
    (v.read_username, "al\x1bice", "printable"),
    (v.read_username, "CORP\\alice", "without its domain"),
    (v.read_username, "a" * 256, "is not a user name"),
    (v.read_username, None, "put it into quotes"),
    (v.read_secret, "", "is empty"),
    (v.read_secret, True, "put it into quotes"),
    (v.read_secret, "x" * 5000, "longer than 4096"),
    (v.read_secret, "\ud800", "surrogate"),
    (v.read_verifier_text, "hunter2", "plain:TEXT, nt:HASH or scrypt"),
]


@pytest.mark.parametrize(("read", "text", "says"), BAD)
def test_refusals_say_what_to_write(read: Callable[[object], Any], text: object, says: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as refusal:
        read(text)
    assert says in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("write", "read", "texts"),
    [
        (v.write_duration, v.read_duration, ["8h", "90m", "61s", "0s"]),
        (v.write_rate, v.read_rate, ["10Mbit", "500kbit", "1Gbit", "64008bit", "0bit"]),
        (v.write_range, v.read_range, ["10.0.0.1", "10.0.0.1-10.0.0.9"]),
        (v.write_host_port, v.read_host_port, ["off", "[::1]:80", "127.0.0.1:9190"]),
        (v.write_instant, v.read_instant, ["2027-01-31T18:00:00Z"]),
    ],
)
def test_writing_gives_back_what_was_read(
    write: Callable[[Any], str], read: Callable[[object], Any], texts: list[str]
) -> None:
    assert [write(read(text)) for text in texts] == texts
