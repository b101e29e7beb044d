"""Key derivation against another implementation: what strongSwan computed, value by value."""

import json
from pathlib import Path

import pytest

from ferrule.core.ids import Cookie
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, Hash
from ferrule.ike.header import HEADER_OCTETS, parse_header
from ferrule.ike.iana import PayloadType
from ferrule.ike.keys import (
    derive_skeyids,
    expand_cipher_key,
    hash_1,
    hash_2,
    hash_i,
    hash_r,
    keymat,
    phase1_iv,
    phase2_iv,
    skeyid_psk,
)
from ferrule.ike.payloads import (
    Contents,
    HashPayload,
    Identification,
    KeyExchange,
    Nonce,
    SecurityAssociation,
    identification_body,
    parse_payloads,
)
from ferrule.ike.protection import decrypt, parse_decrypted

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/ikev1_keys.json").read_text())
CASES = [pytest.param(case, id=case["phase1"]) for case in VECTORS["cases"]]


class Transcript:
    """A recorded set-up, with what can be read of it without a key."""

    def __init__(self, case: dict[str, object]) -> None:
        self.main = [bytes.fromhex(m) for m in case["main_mode"]]  # type: ignore[attr-defined]
        self.quick = [bytes.fromhex(m) for m in case["quick_mode"]]  # type: ignore[attr-defined]
        cipher, algorithm, _ = str(case["phase1"]).split("-")
        self.cipher, self.hash = Cipher(cipher), Hash(algorithm)
        header = parse_header(self.main[2])
        self.icookie: Cookie = header.icookie
        self.rcookie: Cookie = header.rcookie
        self.sai = self.clear(0).first(SecurityAssociation).body
        self.gxi, self.gxr = (self.clear(i).first(KeyExchange).data for i in (2, 3))
        self.ni, self.nr = (self.clear(i).first(Nonce).data for i in (2, 3))
        self.mid = parse_header(self.quick[0]).message_id

    def clear(self, index: int) -> Contents:
        message = self.main[index]
        return parse_payloads(parse_header(message).next_payload, message[HEADER_OCTETS:])

    def open(self, message: bytes, key: Secret, iv: bytes) -> tuple[Contents, bytes]:
        plaintext, _ = decrypt(self.cipher, key, iv, message)
        return parse_decrypted(parse_header(message).next_payload, plaintext), plaintext


@pytest.mark.parametrize("case", CASES)
def test_phase_1(case: dict[str, str]) -> None:
    t = Transcript(case)
    gxy = bytes.fromhex(case["gxy"])
    skeyid = skeyid_psk(t.hash, Secret(bytes.fromhex(case["pre_shared_key"])), t.ni, t.nr)
    keys = derive_skeyids(t.hash, skeyid, gxy, t.icookie, t.rcookie)
    assert keys.skeyid.reveal().hex() == case["skeyid"]
    assert keys.skeyid_d.reveal().hex() == case["skeyid_d"]
    assert keys.skeyid_a.reveal().hex() == case["skeyid_a"]
    assert keys.skeyid_e.reveal().hex() == case["skeyid_e"]
    cipher_key = expand_cipher_key(t.hash, keys.skeyid_e, t.cipher.info.key)
    assert cipher_key.reveal().hex() == case["cipher_key"]
    iv = phase1_iv(t.hash, t.gxi, t.gxr, t.cipher.info.block)
    assert iv.hex() == case["initial_iv"]

    block = t.cipher.info.block
    assert [m[-block:].hex() for m in t.main[4:]] == case["main_mode_ivs"]
    for message, expected, compute in (
        (t.main[4], case["hash_i"], hash_i),
        (t.main[5], case["hash_r"], hash_r),
    ):
        contents, _ = t.open(message, cipher_key, iv)
        assert [type(p) for p in contents.payloads] == [Identification, HashPayload]
        identification = identification_body(contents.first(Identification))
        value = compute(t.hash, skeyid, t.gxi, t.gxr, t.icookie, t.rcookie, t.sai, identification)
        assert value.hex() == expected
        assert contents.first(HashPayload).data == value
        iv = message[-block:]


@pytest.mark.parametrize("case", CASES)
def test_phase_2(case: dict[str, str]) -> None:
    t = Transcript(case)
    key = Secret(bytes.fromhex(case["cipher_key"]))
    skeyid_a, skeyid_d = (Secret(bytes.fromhex(case[k])) for k in ("skeyid_a", "skeyid_d"))
    block = t.cipher.info.block
    first_iv = phase2_iv(t.hash, t.main[5][-block:], t.mid, block)
    assert first_iv.hex() == case["quick_mode_ivs"][0]
    assert [m[-block:].hex() for m in t.quick] == case["quick_mode_ivs"][1:]

    one, plaintext_1 = t.open(t.quick[0], key, first_iv)
    two, plaintext_2 = t.open(t.quick[1], key, t.quick[0][-block:])
    ni, nr = one.first(Nonce).data, two.first(Nonce).data
    rest_1 = plaintext_1[one.first_end : one.end]
    assert hash_1(t.hash, skeyid_a, t.mid, rest_1).hex() == case["hash_1"]
    assert one.first(HashPayload).data.hex() == case["hash_1"]
    rest_2 = plaintext_2[two.first_end : two.end]
    assert hash_2(t.hash, skeyid_a, t.mid, ni, rest_2).hex() == case["hash_2"]

    gxy = bytes.fromhex(case["quick_mode_gxy"])
    assert bool(gxy) == any(isinstance(p, KeyExchange) for p in one.payloads)
    spi_i, spi_r = (c.first(SecurityAssociation).proposals[0].spi for c in (one, two))
    for spi, expected in (
        (spi_r, case["initiator_to_responder"]),
        (spi_i, case["responder_to_initiator"]),
    ):
        octets = len(expected) // 2
        material = keymat(t.hash, skeyid_d, gxy, 3, spi, ni, nr, octets)
        assert material.reveal().hex() == expected


def test_the_message_is_what_the_header_says() -> None:
    message = bytes.fromhex(VECTORS["cases"][0]["main_mode"][0])
    header = parse_header(message)
    assert header.next_payload == PayloadType.SA
    assert (header.version, header.exchange, header.message_id) == (0x10, 2, 0)
    assert header.length == len(message)


NIST = json.loads((Path(__file__).parents[2] / "vectors/ikev1_nist.json").read_text())


@pytest.mark.parametrize("case", NIST["cases"], ids=lambda case: case["hash"])
def test_nist_samples(case: dict[str, str]) -> None:
    algorithm = Hash(case["hash"])

    def octets(name: str) -> bytes:
        return bytes.fromhex(case[name])

    skeyid = skeyid_psk(algorithm, Secret(octets("psk")), octets("psk_ni"), octets("psk_nr"))
    assert skeyid.reveal().hex() == case["psk_skeyid"]
    keys = derive_skeyids(
        algorithm,
        Secret(octets("skeyid")),
        octets("gxy"),
        Cookie(octets("icookie")),
        Cookie(octets("rcookie")),
    )
    assert keys.skeyid_d.reveal().hex() == case["skeyid_d"]
    assert keys.skeyid_a.reveal().hex() == case["skeyid_a"]
    assert keys.skeyid_e.reveal().hex() == case["skeyid_e"]
