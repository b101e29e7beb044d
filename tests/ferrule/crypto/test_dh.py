"""Diffie-Hellman: vectors, agreement, and values that must be refused."""

import json
from pathlib import Path

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.dh import PRIMES, PUBLIC_OCTETS, generate, load
from ferrule.crypto.suites import Group

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/dh.json").read_text())
CURVE25519_ORDER_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["group"])
def test_vectors(case: dict[str, str]) -> None:
    group = Group[case["group"]]
    initiator = load(group, Secret(bytes.fromhex(case["initiator_private"])))
    responder = load(group, Secret(bytes.fromhex(case["responder_private"])))
    assert initiator.public.hex() == case["initiator_public"]
    assert responder.public.hex() == case["responder_public"]
    assert initiator.shared(responder.public).hex() == case["shared"]
    assert responder.shared(initiator.public).hex() == case["shared"]


@pytest.mark.parametrize("group", Group)
def test_two_fresh_keys_agree(group: Group) -> None:
    one, other = generate(group), generate(group)
    assert len(one.public) == PUBLIC_OCTETS[group]
    assert one.public != other.public
    assert one.shared(other.public) == other.shared(one.public)


@pytest.mark.parametrize("group", [group for group in PRIMES if group is not Group.MODP1024])
def test_the_library_and_plain_pow_agree(group: Group) -> None:
    ours = generate(group)
    plain = load(group, Secret((12345 << 200).to_bytes(32, "big")))
    assert ours.shared(plain.public) == plain.shared(ours.public)


@pytest.mark.parametrize(
    ("group", "tail"),
    [
        (Group.MODP1024, "49286651ece65381ffffffffffffffff"),
        (Group.MODP1536, "670c354e4abc9804f1746c08ca237327ffffffffffffffff"),
        (Group.MODP2048, "15728e5a8aacaa68ffffffffffffffff"),
        (Group.MODP3072, "4b82d120a93ad2caffffffffffffffff"),
        (Group.MODP4096, "4df435c934063199ffffffffffffffff"),
    ],
)
def test_primes_end_as_the_rfcs_print_them(group: Group, tail: str) -> None:
    text = f"{PRIMES[group]:x}"
    assert text.startswith("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1")
    assert text.endswith(tail)
    assert len(text) * 4 == int(group.name[4:])


def _bad_values(group: Group) -> list[bytes]:
    octets = PUBLIC_OCTETS[group]
    bad = [b"", bytes(octets), bytes(octets - 1), bytes(octets + 1)]
    if group in PRIMES:
        prime = PRIMES[group]
        bad += [value.to_bytes(octets, "big") for value in (1, prime - 1, prime, prime + 1)]
    elif group is Group.CURVE25519:
        bad += [b"\1" + bytes(31), bytes.fromhex(CURVE25519_ORDER_8)]
    else:
        good = bytearray(generate(group).public)
        good[-1] ^= 1
        bad += [bytes(good), b"\xff" * octets]
    return bad


@pytest.mark.parametrize("group", Group)
def test_values_that_give_the_secret_away_are_refused(group: Group) -> None:
    key = generate(group)
    for value in _bad_values(group):
        with pytest.raises(Malformed) as caught:
            key.shared(value)
        assert caught.value.reason is Reason.BAD_KEY_EXCHANGE
