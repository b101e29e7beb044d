"""One ESP packet: the RFCs' vectors, both directions, and what must not open."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Spi
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import CbcCipher
from ferrule.crypto.hashes import HmacKey
from ferrule.crypto.suites import Cipher, EspSuite, Integrity
from ferrule.esp.packet import EspOpener, EspSealer
from support.dataplane import CBC_SHA1, CBC_SHA256, GCM, SUITES, key

VECTORS = Path(__file__).parents[2] / "vectors"
SPI = Spi(0x12345678)
LENGTHS = [*range(40), 200, 1399, 1400, 1401]


def vectors(name: str, table: str) -> list[Any]:
    rows = json.loads((VECTORS / f"{name}.json").read_text())[table]
    return [pytest.param(row, id=row["name"]) for row in rows]


def pair(suite: EspSuite, **changes: Any) -> tuple[EspSealer, EspOpener]:
    keymat = key(suite, "a pair")
    return EspSealer(suite, keymat, SPI, **changes), EspOpener(suite, keymat, SPI)


def refusal(opener: EspOpener, packet: bytes) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        opener.open(packet)
    return caught.value.reason


# --- vectors


@pytest.mark.parametrize("row", vectors("rfc3602", "cbc"))
def test_rfc3602_cipher(row: dict[str, str]) -> None:
    cipher = CbcCipher(Cipher.AES128_CBC, bytes.fromhex(row["key"]))
    iv, plaintext, ciphertext = (
        bytes.fromhex(row[name]) for name in ("iv", "plaintext", "ciphertext")
    )
    assert cipher.encrypt(iv, plaintext) == ciphertext
    assert cipher.decrypt(iv, ciphertext) == plaintext


@pytest.mark.parametrize("row", vectors("rfc3602", "esp"))
def test_rfc3602_esp_packet_with_a_tag_behind_it(row: dict[str, Any]) -> None:
    mac_key = bytes(range(20))
    packet = bytes.fromhex(row["packet"])
    packet += hmac.digest(mac_key, packet, "sha1")[:12]
    suite = EspSuite(Cipher.AES128_CBC, Integrity.HMAC_SHA1_96)
    opener = EspOpener(suite, Secret(bytes.fromhex(row["key"]) + mac_key), SPI)
    assert opener.open(packet, row["next_header"]) == bytes.fromhex(row["payload"])


@pytest.mark.parametrize("row", vectors("rfc4106", "esp"))
def test_rfc4106_esp_packet(row: dict[str, Any]) -> None:
    keymat = bytes.fromhex(row["key"] + row["salt"])
    cipher = Cipher(f"aes{(len(keymat) - 4) * 8}gcm16")
    opener = EspOpener(EspSuite(cipher, None), Secret(keymat), SPI)
    packet = bytes.fromhex(row["packet"])
    assert opener.open(packet, row["next_header"]) == bytes.fromhex(row["payload"])
    assert opener.window.top == int.from_bytes(packet[4:8], "big")


@pytest.mark.parametrize("row", vectors("rfc2404", "cases") + vectors("rfc4868", "cases"))
def test_rfc2404_and_rfc4868_tags(row: dict[str, str]) -> None:
    integrity = Integrity[row["integrity"]]
    mac_key, data = bytes.fromhex(row["key"]), bytes.fromhex(row["data"])
    assert HmacKey(integrity.hash, mac_key).tag(data).hex() == row["digest"]
    assert HmacKey(integrity.hash, mac_key, integrity.icv).tag(data).hex() == row["icv"]


# --- both directions


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_what_is_sealed_opens(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    for sequence, length in enumerate(LENGTHS, 1):
        payload = bytes(n & 0xFF for n in range(length))
        packet = sealer.seal(payload)
        assert packet[:8] == SPI.to_bytes(4, "big") + sequence.to_bytes(4, "big")
        assert (len(packet) - sealer.icv) % 4 == 0
        assert opener.open(packet) == payload
    assert sealer.sequence == len(LENGTHS) + 1


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_sealing_depends_on_key_sequence_and_payload_alone(suite: EspSuite) -> None:
    first, _ = pair(suite)
    for _ in range(4):
        first.seal(b"whatever came before")
    fresh, _ = pair(suite, first_sequence=5)
    assert first.seal(b"payload") == fresh.seal(b"payload")


def test_the_cbc_iv_is_an_encrypted_nonce_under_a_secret_salt() -> None:
    sealer, _ = pair(CBC_SHA1)
    keymat = key(CBC_SHA1, "a pair").reveal()
    salt = hmac.digest(keymat[32:], b"ferrule ESP IV", hashlib.sha1)[:16]
    cipher = CbcCipher(Cipher.AES256_CBC, keymat[:32])
    ivs = []
    for sequence in range(1, 200):
        ivs.append(sealer.seal(b"the same payload")[8:24])
        nonce = int.from_bytes(salt, "big") ^ sequence
        assert ivs[-1] == cipher.encrypt(bytes(16), nonce.to_bytes(16, "big"))
    assert len(set(ivs)) == len(ivs)


def test_the_gcm_iv_is_the_sequence_number() -> None:
    sealer, _ = pair(GCM, first_sequence=0x01020304)
    ivs = Counter(sealer.seal(b"x")[8:16] for _ in range(100))
    assert ivs[bytes.fromhex("0000000001020304")] == 1
    assert max(ivs.values()) == 1


def test_numbers_run_out_before_one_repeats() -> None:
    sealer, opener = pair(GCM, first_sequence=0xFFFFFFFF)
    assert opener.open(sealer.seal(b"the last")) == b"the last"
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            sealer.seal(b"one too many")
        assert caught.value.reason is Reason.SEQUENCE_EXHAUSTED


def test_no_number_is_used_beyond_what_is_reserved() -> None:
    sealer, opener = pair(GCM, last_sequence=2)
    for _ in range(2):
        opener.open(sealer.seal(b"reserved"))
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            sealer.seal(b"one too many")
        assert caught.value.reason is Reason.SEQUENCE_UNRESERVED
    assert sealer.sequence == 3
    assert sealer.reserve(3)
    opener.open(sealer.seal(b"reserved"))
    assert opener.window.top == 3


@pytest.mark.parametrize(
    ("wanted", "taken", "last"),
    [
        (9, False, 10),
        (10, False, 10),
        (11, True, 11),
        (0xFFFFFFFF, True, 0xFFFFFFFF),
        (1 << 40, True, 0xFFFFFFFF),
    ],
)
def test_a_reservation_grows_up_to_the_last_number(wanted: int, taken: bool, last: int) -> None:
    sealer, _ = pair(GCM, last_sequence=10)
    assert (sealer.reserve(wanted), sealer.last_sequence) == (taken, last)


def test_there_is_nothing_to_reserve_behind_the_last_number() -> None:
    sealer, _ = pair(GCM, first_sequence=1 << 32, last_sequence=1 << 40)
    with pytest.raises(ProtocolError) as caught:
        sealer.seal(b"one too many")
    assert caught.value.reason is Reason.SEQUENCE_EXHAUSTED
    assert not sealer.reserve(1 << 41)


@pytest.mark.parametrize("suite", SUITES, ids=str)
@pytest.mark.parametrize("change", [-1, 1])
def test_keymat_of_the_wrong_length_is_a_bug(suite: EspSuite, change: int) -> None:
    keymat = Secret(bytes(suite.keymat_octets + change))
    with pytest.raises(ValueError, match="KEYMAT"):
        EspSealer(suite, keymat, SPI)
    with pytest.raises(ValueError, match="KEYMAT"):
        EspOpener(suite, keymat, SPI)


def test_keys_do_not_show() -> None:
    sealer, opener = pair(CBC_SHA1)
    hidden = key(CBC_SHA1, "a pair").reveal().hex()
    assert hidden not in repr(sealer) + repr(opener)


# --- what must not open


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_a_flipped_bit_anywhere_is_refused_and_moves_nothing(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    packet = sealer.seal(b"a payload of some length, to flip bits in")
    for at in range(4, len(packet)):  # the SPI is the plane's affair for CBC, see below
        broken = bytearray(packet)
        broken[at] ^= 0x80
        assert refusal(opener, bytes(broken)) is Reason.ESP_TAG
        assert opener.window.top == 0
    broken = bytes([packet[0] ^ 1]) + packet[1:]
    assert refusal(opener, broken) is Reason.ESP_TAG
    assert opener.open(packet) == b"a payload of some length, to flip bits in"


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_cut_or_lengthened_packets_are_refused(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    opener.open(sealer.seal(b"settles the length of the tag"))
    packet = sealer.seal(bytes(50))
    refused = {Reason.ESP_MALFORMED, Reason.ESP_TAG}
    for octets in range(len(packet)):
        assert refusal(opener, packet[:octets]) in refused
    for more in range(1, 33):
        assert refusal(opener, packet + bytes(more)) in refused
    assert refusal(opener, b"") is Reason.ESP_MALFORMED
    assert refusal(opener, packet[:20]) is Reason.ESP_MALFORMED


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_a_replay_is_refused(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    packets = [sealer.seal(bytes([n])) for n in range(5)]
    for packet in reversed(packets):
        opener.open(packet)
    assert [refusal(opener, packet) for packet in packets] == [Reason.ESP_REPLAY] * 5


def sealed_by_hand(plaintext: bytes, sequence: int = 1) -> bytes:
    """AES-256-CBC and HMAC-SHA1-96 over a plaintext with whatever trailer."""
    keymat = key(CBC_SHA1, "a pair").reveal()
    iv = bytes(16)
    packet = SPI.to_bytes(4, "big") + sequence.to_bytes(4, "big") + iv
    packet += CbcCipher(Cipher.AES256_CBC, keymat[:32]).encrypt(iv, plaintext)
    return packet + hmac.digest(keymat[32:], packet, "sha1")[:12]


@pytest.mark.parametrize(
    ("plaintext", "reason"),
    [
        (b"12 octets 12" + b"\x02\x01\x02\x11", Reason.ESP_PADDING),  # not 1, 2
        (b"12 octets 12" + b"\x01\x02\x03\x11", Reason.ESP_PADDING),  # one more than there is
        (bytes(14) + b"\x0f\x11", Reason.ESP_PADDING),
        (bytes(14) + b"\xff\x11", Reason.ESP_PADDING),
        (b"12 octets 12" + b"\x01\x02\x02\x06", Reason.ESP_INNER),  # TCP
        (b"12 octets 12" + b"\x01\x02\x02\x3b", Reason.ESP_INNER),  # RFC 4303 2.6: a dummy
    ],
)
def test_authentic_nonsense_is_refused_but_counts_as_seen(plaintext: bytes, reason: Reason) -> None:
    _, opener = pair(CBC_SHA1)
    packet = sealed_by_hand(plaintext)
    assert refusal(opener, packet) is reason
    assert refusal(opener, packet) is Reason.ESP_REPLAY


def test_padding_may_be_longer_than_need_be() -> None:
    _, opener = pair(CBC_SHA1)
    padding = bytes(range(1, 256))
    plaintext = b"x" * 15 + padding + b"\xff\x11"
    assert opener.open(sealed_by_hand(plaintext[-272:])) == b"x" * 15
    assert opener.open(sealed_by_hand(padding[:14] + b"\x0e\x11", 2)) == b""


# --- QUIRK(android): SHA2-256 tags of 96 bits

TRUNCATING = [suite for suite in SUITES if suite.integrity is Integrity.HMAC_SHA2_256_128]


@pytest.mark.parametrize("suite", TRUNCATING, ids=str)
def test_short_tags_are_detected(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    sealer.cut_tags(short=True)
    for payload in (b"first", b"second"):
        packet = sealer.seal(payload)
        assert (len(packet) - 8 - 12) % suite.cipher.info.block == 0
        forged = packet[:-1] + bytes([packet[-1] ^ 1])
        assert refusal(opener, forged) is Reason.ESP_TAG
        assert opener.open(packet) == payload
        assert opener.short_tags
        assert not opener.settled


@pytest.mark.parametrize("suite", TRUNCATING, ids=str)
def test_a_whole_tag_settles_it(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    assert opener.open(sealer.seal(b"first")) == b"first"
    assert opener.settled
    assert not opener.short_tags
    sealer.cut_tags(short=True)
    assert refusal(opener, sealer.seal(b"short")) is Reason.ESP_MALFORMED


@pytest.mark.parametrize("suite", TRUNCATING, ids=str)
def test_who_cuts_the_first_tag_on_the_way_does_no_lasting_harm(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    assert opener.open(sealer.seal(b"first")[:-4]) == b"first"
    assert opener.short_tags
    assert opener.open(sealer.seal(b"second")) == b"second"
    assert opener.settled
    assert not opener.short_tags
    assert refusal(opener, sealer.seal(b"third")[:-4]) is Reason.ESP_MALFORMED


@pytest.mark.parametrize("suite", [s for s in SUITES if s not in TRUNCATING], ids=str)
def test_no_other_suite_has_short_tags(suite: EspSuite) -> None:
    sealer, opener = pair(suite)
    before = sealer.icv
    sealer.cut_tags(short=True)
    assert sealer.icv == before
    assert opener.settled
    assert opener.open(sealer.seal(b"x")) == b"x"
    assert not opener.short_tags


def test_suites_of_the_tests_cover_every_integrity() -> None:
    assert {suite.integrity for suite in SUITES} == {None, *Integrity}
    assert CBC_SHA256 in TRUNCATING
