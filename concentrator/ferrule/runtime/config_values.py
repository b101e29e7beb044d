"""Types of single values in the configuration: how each is written, read, and told in a schema.

A reader raises ValueError with what is wrong and how to write it; readers of secrets never quote
what they read. Defaults in the models are the read values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from ferrule.accounts.pools import AddressRange
from ferrule.accounts.users import USERNAME_MAX
from ferrule.accounts.verifiers import parse_verifier
from ferrule.core.ids import Address
from ferrule.core.secret import Secret
from ferrule.store.valkey_url import parse_url

T = TypeVar("T")

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(?:\d+[smhd])+")
DURATION_PATTERN: Final = r"^([0-9]+[smhd])+$"
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)bit(?:/s)?", re.IGNORECASE)
RATE_PATTERN: Final = r"^[0-9]+(\.[0-9]+)?[kMG]?bit$"
_RATE_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_DOMAIN: Final = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z][-a-z0-9]{0,61}[a-z0-9]", re.IGNORECASE
)
SECRET_MAX: Final = 4096  # octets


def text_of(value: object) -> str:
    """What was typed, for texts and unquoted numbers. Does not quote `value` in its error."""
    typed = getattr(value, "text", value)
    if not isinstance(typed, str):
        raise ValueError("is not a text; put it into quotes")
    return typed


def read_duration(value: object) -> float:
    """Seconds of "8h", "1h30m", "3600s", 3600."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return float(sum(int(n) * _UNITS[u] for n, u in re.findall(r"(\d+)([smhd])", value)))
    raise ValueError(f"{_quoted(value)} is not a duration; write it like 8h, 90m or 3600s")


def within(low: int, high: int) -> Callable[[float], float]:
    """A reader's second step: durations from `low` to `high` seconds."""

    def bounded(seconds: float) -> float:
        if not low <= seconds <= high:
            raise ValueError(
                f"'{write_duration(seconds)}' is out of range; write "
                f"{write_duration(low)} to {write_duration(high)}"
            )
        return seconds

    return bounded


def write_duration(seconds: float) -> str:
    """The shortest text of whole seconds: 5400 as "90m"."""
    whole = int(seconds)
    for unit in ("h", "m"):
        if whole and whole % _UNITS[unit] == 0:
            return f"{whole // _UNITS[unit]}{unit}"
    return f"{whole}s"


def read_rate(value: object) -> int:
    """Octets a second of "10Mbit"; 0 for no limit."""
    if isinstance(value, int) and value == 0 and not isinstance(value, bool):
        return 0
    if isinstance(value, str) and (match := _RATE.fullmatch(value)):
        bits = float(match[1]) * _RATE_UNITS[match[2].lower()]
        if bits == 0 or bits >= 64_000:
            return int(bits / 8)
    raise ValueError(f"{_quoted(value)} is not a rate of 64kbit or more; write it like 10Mbit")


def write_rate(octets: int) -> str:
    bits = octets * 8
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if bits and bits % factor == 0:
            return f"{bits // factor}{unit}bit"
    return f"{bits}bit"


def read_network(value: object) -> IPv4Network:
    """A network; an address alone is a network of one."""
    text = _quoted(value)
    try:
        return IPv4Network(_str(value))
    except ValueError:
        pass
    try:
        meant = IPv4Network(_str(value), strict=False)
    except ValueError:
        raise ValueError(f"{text} is not an IPv4 network; write it like 10.20.0.0/16") from None
    raise ValueError(f"{text} has bits set behind its prefix; write it like {meant}")


def read_address(value: object) -> IPv4Address:
    try:
        return IPv4Address(_str(value))
    except ValueError:
        raise ValueError(
            f"{_quoted(value)} is not an IPv4 address; write it like 192.0.2.1"
        ) from None


def read_range(value: object) -> AddressRange:
    """One address, "FIRST-LAST", or a network."""
    text = _str(value)
    try:
        if "-" in text:
            first, last = (IPv4Address(part.strip()) for part in text.split("-", 1))
            if first <= last:
                return AddressRange(first, last)
        else:
            return AddressRange.of_network(IPv4Network(text))
    except ValueError:
        pass
    raise ValueError(
        f"{_quoted(value)} is neither an address, a range nor a network; "
        "write it like 10.20.0.5, 10.20.0.5-10.20.0.9 or 10.20.1.0/24"
    )


def write_range(value: AddressRange) -> str:
    return str(value.first) if value.first == value.last else f"{value.first}-{value.last}"


def read_host_port(value: object) -> Address | None:
    """ "127.0.0.1:9190", "[::1]:9190", ":9190" for all addresses; "off" is None."""
    text = _str(value) if not isinstance(value, bool) else "off" if value is False else ""
    if text == "off":
        return None
    host, colon, port = text.rpartition(":")
    if colon and port.isascii() and port.isdecimal() and int(port) <= 65535:
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if ":" not in bare or bare != host:
            return Address(bare or "0.0.0.0", int(port))
    raise ValueError(f"{_quoted(value)} is not host and port; write it like 127.0.0.1:9190, or off")


def write_host_port(value: Address | None) -> str:
    return "off" if value is None else str(value)


def read_instant(value: object) -> float:
    """Unix seconds of RFC 3339 text; a date alone lasts to its end, in UTC."""
    text = _str(value)
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            end = datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
            return end.timestamp()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{_quoted(value)} is not a time; write it like 2027-01-31T18:00:00Z or 2027-01-31"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{_quoted(value)} lacks a time zone; write it like {moment.isoformat()}Z")
    return moment.timestamp()


def write_instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def read_secret(value: object) -> Secret:
    try:
        octets = text_of(value).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    if not octets:
        raise ValueError("is empty; write the secret, or name a file that holds it")
    if len(octets) > SECRET_MAX:
        raise ValueError(f"is longer than {SECRET_MAX} octets")
    return Secret(octets)


def read_verifier_text(value: object) -> Secret:
    secret = read_secret(value)
    parse_verifier(secret.reveal().decode())
    return secret


def read_identity(value: object) -> str:
    """An address as it is, a domain name as "@name"; empty stays empty."""
    text = _str(value)
    if not text:
        return ""
    try:
        return str(IPv4Address(text))
    except ValueError:
        pass
    name = text.removeprefix("@")
    if len(name) <= 253 and _DOMAIN.fullmatch(name):
        return f"@{name}"
    raise ValueError(
        f"{_quoted(value)} is neither an IPv4 address nor a domain name; "
        "write it like 203.0.113.10 or vpn.example.org"
    )


def read_username(value: object) -> str:
    name = text_of(value)
    if not name or len(name) > USERNAME_MAX or name != name.strip() or not name.isprintable():
        raise ValueError(
            f"{_quoted(name)} is not a user name; write 1 to {USERNAME_MAX} printable characters "
            "without blanks around them"
        )
    if "\\" in name:
        raise ValueError(
            f"{_quoted(name)} holds a backslash; write the name without its domain, which is "
            "ignored in what clients send"
        )
    return name


def read_store_url(value: object) -> str:
    """As it is, if `store.valkey_url` can read it. Never quotes it: there may be a password."""
    url = _str(value)
    parse_url(url)
    return url


def _str(value: object) -> str:
    return value if isinstance(value, str) else str(getattr(value, "text", value))


def _quoted(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = _str(value)
    return f"'{text[:60]}...'" if len(text) > 60 else f"'{text}'"


def _schema(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string"} | schema)


def _or_same(read: Callable[[object], T], kind: type) -> Callable[[object], T]:
    """Values that are read already pass: models are also made from Python."""

    def reader(value: object) -> T:
        if isinstance(value, kind):
            return value  # type: ignore[return-value]
        return read(value)

    return reader


Duration = Annotated[
    float,
    PlainValidator(read_duration),
    PlainSerializer(write_duration),
    _schema(pattern=DURATION_PATTERN),
]
"""Seconds; written "8h"."""

Lifetime = Annotated[
    float,
    PlainValidator(read_duration),
    AfterValidator(within(60, 7 * 86400)),
    PlainSerializer(write_duration),
    _schema(pattern=DURATION_PATTERN),
]
"""Seconds, a minute to a week; written "8h"."""

Rate = Annotated[
    int, PlainValidator(read_rate), PlainSerializer(write_rate), _schema(pattern=RATE_PATTERN)
]
"""Octets a second; written "10Mbit"."""

Network = Annotated[
    IPv4Network,
    PlainValidator(_or_same(read_network, IPv4Network)),
    PlainSerializer(str),
    _schema(examples=["10.20.0.0/16"]),
]
HostAddress = Annotated[
    IPv4Address,
    PlainValidator(_or_same(read_address, IPv4Address)),
    PlainSerializer(str),
    _schema(format="ipv4"),
]
Exclusion = Annotated[
    AddressRange,
    PlainValidator(_or_same(read_range, AddressRange)),
    PlainSerializer(write_range),
    _schema(examples=["10.20.0.5-10.20.0.9"]),
]
HostPort = Annotated[
    Address | None,
    PlainValidator(_or_same(read_host_port, Address)),
    PlainSerializer(write_host_port),
    _schema(examples=["127.0.0.1:9190"]),
]
Instant = Annotated[
    float,
    PlainValidator(read_instant),
    PlainSerializer(write_instant),
    _schema(format="date-time"),
]
"""Unix seconds; written "2027-01-31T18:00:00Z"."""

SecretText = Annotated[
    Secret,
    PlainValidator(_or_same(read_secret, Secret)),
    PlainSerializer(lambda _: "***"),
    _schema(format="password"),
]
VerifierText = Annotated[
    Secret,
    PlainValidator(_or_same(read_verifier_text, Secret)),
    PlainSerializer(lambda _: "***"),
    _schema(format="password"),
]
Username = Annotated[str, PlainValidator(read_username), _schema(minLength=1, maxLength=255)]
Identity = Annotated[str, PlainValidator(read_identity), _schema(maxLength=254)]
"""An address, or "@" and a domain name; written without the "@"."""
StoreUrl = Annotated[
    str,
    PlainValidator(read_store_url),
    _schema(examples=["valkeys://valkey.example:6379/0"], maxLength=512),
]
