"""The records of SAs: what they remember, and that they show no key."""

from ferrule.ike.isakmp_sa import SEEN_IDS_MAX, message_digest
from support.ike import sa_of, up


def test_message_ids_are_remembered_up_to_a_number() -> None:
    sa = sa_of(up(quick=False))
    for number in range(100):
        sa.remember_id(number)
    assert list(sa.seen_ids) == list(range(100 - SEEN_IDS_MAX, 100))
    assert sa.cookies == sa.icookie + sa.rcookie


def test_no_key_is_shown() -> None:
    sa = sa_of(up())
    assert sa.keys is not None
    assert sa.keys.skeyid_e.reveal().hex() not in repr(sa)
    assert repr(sa.keys.skeyid_e.reveal()) not in repr(sa)
    assert "Secret(***)" in repr(sa)


def test_nothing_of_phase_1_is_kept_longer_than_needed() -> None:
    sa = sa_of(up(), server=True)
    assert sa.exchange is None
    assert sa.sai == b""


def test_digests() -> None:
    assert message_digest(b"one") == message_digest(b"one")
    assert message_digest(b"one") != message_digest(b"two")
    assert len(message_digest(b"")) == 16
