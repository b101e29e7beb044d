"""A relayed datagram: what goes in comes out, and it does not go round for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrule.cluster.relay import (
    HOPS_MAX,
    Relayed,
    build_relayed,
    parse_relayed,
)
from ferrule.cluster.ring import ENVELOPE_OCTETS
from ferrule.core.errors import Malformed
from ferrule.core.ids import Address, Path

PORTS = st.integers(0, 65_535)
HOSTS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)


@st.composite
def relayed(draw: st.DrawFn) -> Relayed:
    peer, local = draw(HOSTS)
    path = Path(
        Address(str(peer), draw(PORTS)),
        Address(str(local), draw(PORTS)),
        draw(st.booleans()),
        draw(st.sampled_from(("", "pod-1", "a" * 63))),
    )
    return Relayed(
        draw(st.integers(0, HOPS_MAX)), draw(st.integers(0, 2**32 - 1)), path,
        draw(st.binary(max_size=100)),
    )  # fmt: skip


@given(relayed())
def test_what_is_built_parses(one: Relayed) -> None:
    body = build_relayed(one)
    assert parse_relayed(body) == one
    addresses = 2 * (16 if ":" in one.path.peer.host else 4)
    named = len(one.path.via) + 1 if one.path.via else 0
    assert len(body) - len(one.datagram) == 9 + addresses + named


def test_what_relaying_adds_is_what_the_guide_says() -> None:
    """54 octets with IPv4: docs/scaling.md."""
    path = Path(Address("192.0.2.9", 4500), Address("192.0.2.1", 4500), True)
    body = build_relayed(Relayed(1, 1, path, b""))
    assert len(body) + ENVELOPE_OCTETS + 8 + 20 == 54


@given(st.binary(max_size=64))
def test_noise_parses_or_is_malformed(noise: bytes) -> None:
    try:
        one = parse_relayed(noise)
    except Malformed:
        return
    assert build_relayed(one) == noise


@pytest.mark.parametrize(
    ("peer", "hops"), [("2001:db8::1", 1), ("192.0.2.9", HOPS_MAX + 1), ("192.0.2.9", -1)]
)
def test_what_cannot_be_built_is_an_error_of_ours(peer: str, hops: int) -> None:
    path = Path(Address(peer, 4500), Address("10.0.0.1", 4500), True)
    with pytest.raises(ValueError, match="two families, or too many hops"):
        build_relayed(Relayed(hops, 1, path, b"x"))
