"""Whatever octets come in, the parsers give payloads or ProtocolError, and building mirrors."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrule.core.errors import ProtocolError
from ferrule.ike.attributes import VALUE_MAX, build_attributes, parse_attributes
from ferrule.ike.header import parse_header
from ferrule.ike.identity import identity_text
from ferrule.ike.payloads import (
    Identification,
    KeyExchange,
    NatD,
    Nonce,
    Notification,
    Payload,
    VendorId,
    build_payloads,
    parse_payloads,
)
from ferrule.ike.proposals import Proposal, build_proposals, offer, parse_proposals
from support.ike_samples import PAYLOADS, PROPOSALS, mutated

few = settings(max_examples=300, deadline=None)
small = st.binary(max_size=40)
octet = st.integers(0, 255)
word = st.integers(0, 0xFFFF)


@few
@given(st.binary(max_size=200))
def test_random_headers(octets: bytes) -> None:
    try:
        header = parse_header(octets)
    except ProtocolError:
        return
    assert header.length <= len(octets)


@few
@given(octet, st.binary(max_size=300))
def test_random_chains(first: int, octets: bytes) -> None:
    try:
        contents = parse_payloads(first, octets)
    except ProtocolError:
        return
    assert contents.end <= len(octets)


@few
@given(mutated(build_payloads(PAYLOADS)[1]))
def test_mutated_chains(octets: bytes) -> None:
    try:
        contents = parse_payloads(1, octets)
    except ProtocolError:
        return
    assert len(contents.payloads) <= 64


@few
@given(mutated(build_proposals(PROPOSALS)))
def test_mutated_proposals(octets: bytes) -> None:
    try:
        proposals = parse_proposals(octets)
    except ProtocolError:
        return
    assert proposals


@few
@given(octet, small)
def test_identities(kind: int, data: bytes) -> None:
    try:
        text = identity_text(Identification(kind, 0, 0, data))
    except ProtocolError:
        return
    assert text
    assert text.isprintable()


payloads = st.one_of(
    st.builds(KeyExchange, small),
    st.builds(Nonce, small),
    st.builds(Identification, octet, octet, word, small),
    st.builds(Notification, st.integers(0, 2**32 - 1), octet, small, word, small),
    st.builds(VendorId, small),
    st.builds(NatD, small, st.booleans()),
)


@few
@given(st.lists(payloads, max_size=20))
def test_chains_both_ways(chain: list[Payload]) -> None:
    first, octets = build_payloads(chain)
    assert parse_payloads(first, octets).payloads == chain


attributes = st.lists(st.tuples(st.integers(0, 0x7FFF), st.integers(0, 2**32 - 1)), max_size=20)


@few
@given(attributes)
def test_attributes_both_ways(pairs: list[tuple[int, int]]) -> None:
    assert parse_attributes(build_attributes(pairs)) == tuple(pairs)
    assert VALUE_MAX >= 4


@few
@given(
    st.lists(
        st.tuples(
            octet, octet, st.binary(max_size=16), st.lists(attributes, min_size=1, max_size=4)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_proposals_both_ways(
    rows: list[tuple[int, int, bytes, list[list[tuple[int, int]]]]],
) -> None:
    proposals = [
        Proposal(n, p, spi, [offer(12, tuple(a), i) for i, a in enumerate(lists)])
        for n, p, spi, lists in rows
    ]
    assert parse_proposals(build_proposals(proposals)) == proposals
