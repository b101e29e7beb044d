"""URLs of stores: what they mean, and what is said about those that mean nothing."""

from __future__ import annotations

import pytest

from ferrule.core.ids import Address
from ferrule.store.valkey_url import Target, Topology, parse_url

S, N, C, U = Topology.SERVER, Topology.SENTINEL, Topology.CLUSTER, Topology.SOCKET


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("valkey://store", Target(S, False, (Address("store", 6379),))),
        ("redis://store", Target(S, False, (Address("store", 6379),))),
        ("rediss://store", Target(S, True, (Address("store", 6379),))),
        ("valkeys://store:7000/3", Target(S, True, (Address("store", 7000),), database=3)),
        ("valkey://u@[2001:db8::1]:7", Target(S, False, (Address("2001:db8::1", 7),), "u")),
        ("valkey://a%40b@store/", Target(S, False, (Address("store", 6379),), "a@b")),
        (
            "valkey+sentinel://one,two:7/main/2",
            Target(N, False, (Address("one", 26379), Address("two", 7)), "", 2, "main"),
        ),
        (
            "valkeys+sentinel://u@one/my%2Fmain",
            Target(N, True, (Address("one", 26379),), "u", 0, "my/main"),
        ),
        (
            "valkeys+cluster://u@one:1,two",
            Target(C, True, (Address("one", 1), Address("two", 6379)), "u"),
        ),
        ("unix:///run/store.sock", Target(U, False, (), path="/run/store.sock")),
        ("unix://u@/run/s?db=4", Target(U, False, (), "u", 4, path="/run/s")),
    ],
)  # fmt: skip
def test_what_it_says(url: str, target: Target) -> None:
    assert parse_url(url) == target


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "not one of"),
        ("store:6379", "not one of"),
        ("redis+magic://store", "not one of valkey"),
        ("valkey+magic://store", "not one of"),
        ("valkey://user:secret@store", "belongs into the secret"),
        ("valkey://:secret@store", "belongs into the secret"),
        ("valkey://", "not HOST"),
        ("valkey://store:0", "not HOST"),
        ("valkey://store:65536", "not HOST"),
        ("valkey://store:x", "not HOST"),
        ("valkey://one,two", "more than one host"),
        ("valkey+cluster://one,,two", "not HOST"),
        ("valkey://store/x", "number of a database"),
        ("valkey://store/1/2", "too many parts"),
        ("valkey://store?db=1", "no query"),
        ("valkey://store#x", "no fragment"),
        ("valkey+sentinel://one", "service is missing"),
        ("valkey+cluster://one/1", "too many parts"),
        ("unix://store", "path is missing"),
        ("unix:///run/s?password=x", "no option but db"),
        ("unix:///run/s?db=-1", "number of a database"),
    ],
)
def test_what_is_wrong_with_it(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as error:
        parse_url(url)
    assert "secret@" not in str(error.value)
