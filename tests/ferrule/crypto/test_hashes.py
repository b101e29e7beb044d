"""Hashes and HMAC: RFC 2202, RFC 4231 and FIPS 180 examples; constant-time comparison."""

import pytest

from ferrule.crypto.compare import equal
from ferrule.crypto.hashes import DIGEST_OCTETS, HmacKey, digest, hmac, prf
from ferrule.crypto.suites import Hash

ABC = {
    Hash.MD5: "900150983cd24fb0d6963f7d28e17f72",
    Hash.SHA1: "a9993e364706816aba3e25717850c26c9cd0d89d",
    Hash.SHA2_256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    Hash.SHA2_384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
    "8086072ba1e7cc2358baeca134c825a7",
    Hash.SHA2_512: "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
}
# RFC 2202 case 2 (MD5, SHA1) and RFC 4231 case 2: key "Jefe".
JEFE = {
    Hash.MD5: "750c783e6ab0b503eaa86e310a5db738",
    Hash.SHA1: "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    Hash.SHA2_256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    Hash.SHA2_384: "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
    "8e2240ca5e69e2c78b3239ecfab21649",
    Hash.SHA2_512: "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
}


@pytest.mark.parametrize("algorithm", Hash)
def test_digest(algorithm: Hash) -> None:
    assert digest(algorithm, b"abc").hex() == ABC[algorithm]
    assert len(digest(algorithm, b"")) == DIGEST_OCTETS[algorithm]


@pytest.mark.parametrize("algorithm", Hash)
def test_hmac(algorithm: Hash) -> None:
    message = b"what do ya want for nothing?"
    assert hmac(algorithm, b"Jefe", message).hex() == JEFE[algorithm]
    assert prf is hmac
    key = HmacKey(algorithm, b"Jefe", 12)
    for _ in range(2):
        assert key.tag(message).hex() == JEFE[algorithm][:24]
    assert HmacKey(algorithm, b"Jefe").tag(message).hex() == JEFE[algorithm]


def test_equal() -> None:
    assert equal(b"abc", b"abc")
    assert not equal(b"abc", b"abd")
    assert not equal(b"abc", b"ab")
    assert equal(b"", b"")
