"""A relayed datagram: what goes in comes out, and it does not go round for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrule.cluster.relay import (
    HOPS_MAX,
    Relayed,
    build_relayed,
    overhead_octets,
    parse_relayed,
    pass_on,
)
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.ids import Address, Path
from ferrule.core.reasons import Reason

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
    ring_header = 20 + 8 + 9  # IPv4, UDP, the ring's envelope
    ring_header -= len(one.path.via) + 1 if one.path.via else 0
    assert len(body) - len(one.datagram) + ring_header == overhead_octets(
        one.path.peer, ring_ipv6=False
    )


@given(st.binary(max_size=64))
def test_noise_parses_or_is_malformed(noise: bytes) -> None:
    try:
        one = parse_relayed(noise)
    except Malformed:
        return
    assert build_relayed(one) == noise


def test_hops_run_out() -> None:
    path = Path(Address("192.0.2.9", 4500), Address("10.0.0.1", 4500), True)
    one = Relayed(HOPS_MAX, 1, path, b"x")
    for epoch in range(HOPS_MAX):
        one = pass_on(one, epoch + 2)
        assert one.epoch == epoch + 2
    with pytest.raises(ProtocolError) as caught:
        pass_on(one, 9)
    assert caught.value.reason is Reason.RING_HOPS


@pytest.mark.parametrize(
    ("peer", "hops"), [("2001:db8::1", 1), ("192.0.2.9", HOPS_MAX + 1), ("192.0.2.9", -1)]
)
def test_what_cannot_be_built_is_an_error_of_ours(peer: str, hops: int) -> None:
    path = Path(Address(peer, 4500), Address("10.0.0.1", 4500), True)
    with pytest.raises(ValueError, match="two families, or too many hops"):
        build_relayed(Relayed(hops, 1, path, b"x"))
