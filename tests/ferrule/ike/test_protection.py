"""Encrypted messages: padding, IVs, hashes, and what does not decrypt."""

import pytest

from ferrule.core.errors import Malformed
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import CbcCipher
from ferrule.crypto.suites import Cipher
from ferrule.ike.header import HEADER_OCTETS, build_message, parse_header
from ferrule.ike.iana import ExchangeType, Flag, PayloadType
from ferrule.ike.isakmp_sa import IsakmpSa
from ferrule.ike.keys import hash_1
from ferrule.ike.payloads import HashPayload, Notification
from ferrule.ike.protection import (
    PADDING_MAX,
    check_hash,
    decrypt,
    encrypt_message,
    exchange_iv,
    hashed_body,
    informational,
    parse_decrypted,
)
from support.ike import note, sa_of, up


def sa() -> IsakmpSa:
    return sa_of(up(quick=False))


def opened(one: IsakmpSa, message: bytes) -> tuple[bytes, bytes]:
    header = parse_header(message)
    assert one.cipher_key is not None
    return decrypt(one.cipher, one.cipher_key, exchange_iv(one, header.message_id), message)


def test_an_informational_message_both_ways() -> None:
    one = sa()
    message = informational(one, 7, [note(24_578)])
    header = parse_header(message)
    assert header.flags == Flag.ENCRYPTION
    assert (header.exchange, header.message_id) == (ExchangeType.INFORMATIONAL, 7)
    assert (len(message) - HEADER_OCTETS) % 16 == 0
    plaintext, last = opened(one, message)
    assert last == message[-16:]
    contents = parse_decrypted(header.next_payload, plaintext)
    assert [type(p) for p in contents.payloads] == [HashPayload, Notification]
    assert one.keys is not None
    skeyid_a = one.keys.skeyid_a
    check_hash(contents, plaintext, lambda rest: hash_1(one.hash, skeyid_a, 7, rest))
    with pytest.raises(Malformed) as caught:
        check_hash(contents, plaintext, lambda rest: hash_1(one.hash, skeyid_a, 8, rest))
    assert caught.value.reason is Reason.BAD_HASH


def test_each_exchange_has_its_own_iv() -> None:
    one = sa()
    assert len({exchange_iv(one, number) for number in range(100)}) == 100


def test_padding_is_zero_and_any_padding_is_read() -> None:
    one = sa()
    assert one.cipher_key is not None
    body = hashed_body([note(24_578)], lambda _: bytes(20))
    iv = bytes(16)
    message, _ = encrypt_message(one, ExchangeType.INFORMATIONAL, 1, PayloadType.HASH, body, iv)
    plaintext, _ = decrypt(one.cipher, one.cipher_key, iv, message)
    assert plaintext[: len(body)] == body
    assert not any(plaintext[len(body) :])
    assert len(plaintext) - len(body) < 16
    for extra in (1, 100, PADDING_MAX):
        contents = parse_decrypted(PayloadType.HASH, body + b"\xa5" * extra)
        assert contents.end == len(body)
    with pytest.raises(Malformed):
        parse_decrypted(PayloadType.HASH, body + bytes(PADDING_MAX + 1))


@pytest.mark.parametrize("octets", [0, 1, 15, 17])
def test_what_is_no_whole_blocks(octets: int) -> None:
    one = sa()
    message = build_message(one.icookie, one.rcookie, 8, 5, 1, 1, bytes(octets))
    with pytest.raises(Malformed) as caught:
        decrypt(Cipher.AES128_CBC, Secret(bytes(16)), bytes(16), message)
    assert caught.value.reason is Reason.IKE_MALFORMED


def test_the_hash_must_come_first() -> None:
    contents = parse_decrypted(PayloadType.NONE, b"")
    with pytest.raises(Malformed) as caught:
        check_hash(contents, b"", lambda _: b"")
    assert caught.value.reason is Reason.PAYLOAD_NOT_ALLOWED


def test_it_is_plain_cbc() -> None:
    one = sa()
    assert one.cipher_key is not None
    message, last = encrypt_message(
        one, ExchangeType.QUICK_MODE, 1, PayloadType.HASH, b"x" * 32, bytes(16)
    )
    expected = CbcCipher(one.cipher, one.cipher_key.reveal()).encrypt(bytes(16), b"x" * 32)
    assert message[HEADER_OCTETS:] == expected
    assert last == expected[-16:]


def test_nothing_is_encrypted_without_keys() -> None:
    one = sa()
    one.keys = one.cipher_key = None
    with pytest.raises(ValueError, match="no keys"):
        informational(one, 1, [])
    with pytest.raises(ValueError, match="no keys"):
        encrypt_message(one, ExchangeType.QUICK_MODE, 1, 8, b"", bytes(16))
