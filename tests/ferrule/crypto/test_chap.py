from __future__ import annotations

from ferrule.crypto.chap import chap_md5, verify_chap_md5


def test_the_response_is_md5_of_identifier_secret_and_challenge() -> None:
    """Expected value: `printf '\\001secret\\000\\001\\002' | md5sum`."""
    response = chap_md5(1, b"secret", b"\x00\x01\x02")
    assert response.hex() == "c4081e0c9f89346155ddb08f0bf91611"


def test_verify() -> None:
    response = chap_md5(7, b"secret", b"challenge")
    assert verify_chap_md5(7, b"secret", b"challenge", response)
    assert not verify_chap_md5(8, b"secret", b"challenge", response)
    assert not verify_chap_md5(7, b"Secret", b"challenge", response)
    assert not verify_chap_md5(7, b"secret", b"challenge", response[:-1])
