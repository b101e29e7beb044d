"""Proposals and transforms of the SA payload."""

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.ike.proposals import build_proposals, parse_proposals
from support.ike_samples import PROPOSALS


def test_proposals_both_ways() -> None:
    octets = build_proposals(PROPOSALS)
    assert parse_proposals(octets) == PROPOSALS


@pytest.mark.parametrize("cut", range(len(build_proposals(PROPOSALS))))
def test_proposals_cut_off(cut: int) -> None:
    with pytest.raises(Malformed):
        parse_proposals(build_proposals(PROPOSALS)[:cut])


@pytest.mark.parametrize(
    ("at", "value"), [(3, 9), (7, 2), (3, 0), (7, 0)], ids=["doi", "situation", "doi0", "sit0"]
)
def test_foreign_doi_or_situation(at: int, value: int) -> None:
    octets = bytearray(build_proposals(PROPOSALS))
    octets[at] = value
    with pytest.raises(Malformed) as caught:
        parse_proposals(bytes(octets))
    assert caught.value.reason is Reason.CRITICAL_PAYLOAD


@pytest.mark.parametrize("at", [8, 10, 11, 14, 15, 16, 18, 19])
def test_proposals_that_lie(at: int) -> None:
    """Next payload, lengths, SPI size, number of transforms, each in proposal and transform."""
    octets = bytearray(build_proposals(PROPOSALS))
    octets[at] ^= 0x55
    with pytest.raises(Malformed):
        parse_proposals(bytes(octets))
