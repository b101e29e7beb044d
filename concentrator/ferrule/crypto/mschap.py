"""MS-CHAP versions 1 and 2: the NT-Response and the authenticator's response.

RFC 2433 appendix A (version 1), RFC 2759 section 8 (version 2). The LAN Manager response and the
password change packets are left out: neither is ever accepted.
"""

from __future__ import annotations

import hashlib
from typing import Final

from ferrule.crypto.compare import equal
from ferrule.crypto.des import des_encrypt_block
from ferrule.crypto.md4 import md4

V1_CHALLENGE_OCTETS: Final = 8
V2_CHALLENGE_OCTETS: Final = 16
RESPONSE_OCTETS: Final = 24
NT_HASH_OCTETS: Final = 16

# RFC 2759 8.7: literal text of the specification.
_MAGIC1: Final = b"Magic server to client signing constant"
_MAGIC2: Final = b"Pad to make it do more than one iteration"


def nt_password_hash(password: str) -> bytes:
    """RFC 2759 8.3: MD4 of the password in UTF-16LE; 16 octets, as good as the password."""
    return md4(password.encode("utf-16-le", "surrogatepass"))


def without_domain(username: str) -> str:
    """RFC 2759 4: "DOMAIN\\user" is hashed as "user"."""
    return username.rpartition("\\")[2]


def challenge_hash(
    peer_challenge: bytes, authenticator_challenge: bytes, username: str | bytes
) -> bytes:
    """RFC 2759 8.2: the 8-octet challenge of version 2. `username` must be without a domain."""
    name = username.encode("utf-8", "surrogatepass") if isinstance(username, str) else username
    return hashlib.sha1(peer_challenge + authenticator_challenge + name).digest()[:8]


def challenge_response(challenge: bytes, nt_hash: bytes) -> bytes:
    """RFC 2759 8.5: three DES blocks of `challenge` (8 octets) under `nt_hash`; 24 octets."""
    key = nt_hash + bytes(21 - NT_HASH_OCTETS)
    return b"".join(des_encrypt_block(key[at : at + 7], challenge) for at in (0, 7, 14))


def mschapv1_response(nt_hash: bytes, challenge: bytes) -> bytes:
    """RFC 2433 A.1: the NT-Response of version 1 over a challenge of 8 octets."""
    return challenge_response(challenge, nt_hash)


def verify_mschapv1(nt_hash: bytes, challenge: bytes, nt_response: bytes) -> bool:
    """Is `nt_response` the answer to `challenge` of one who knows `nt_hash`? Constant time."""
    if len(challenge) != V1_CHALLENGE_OCTETS:
        return False
    return equal(mschapv1_response(nt_hash, challenge), nt_response)


def mschapv2_response(
    nt_hash: bytes, username: str, authenticator_challenge: bytes, peer_challenge: bytes
) -> bytes:
    """RFC 2759 8.1: the NT-Response. A leading "DOMAIN\\" of `username` is not hashed."""
    challenge = challenge_hash(peer_challenge, authenticator_challenge, without_domain(username))
    return challenge_response(challenge, nt_hash)


def mschapv2_authenticator_response(
    nt_hash: bytes,
    username: str,
    authenticator_challenge: bytes,
    peer_challenge: bytes,
    nt_response: bytes,
) -> str:
    """RFC 2759 8.7: "S=" and 40 hexadecimal digits, the proof that we know the password too."""
    challenge = challenge_hash(peer_challenge, authenticator_challenge, without_domain(username))
    return _sign(nt_hash, challenge, nt_response)


def _sign(nt_hash: bytes, challenge: bytes, nt_response: bytes) -> str:
    digest = hashlib.sha1(md4(nt_hash) + nt_response + _MAGIC1).digest()
    return "S=" + hashlib.sha1(digest + challenge + _MAGIC2).hexdigest().upper()


def verify_mschapv2(
    nt_hash: bytes,
    username: str,
    authenticator_challenge: bytes,
    peer_challenge: bytes,
    nt_response: bytes,
) -> str | None:
    """The authenticator's response if `nt_response` holds, else None. Constant time.

    `username` is the whole Name field. RFC 2759 wants ASCII and says nothing of the rest: names
    are hashed as UTF-8, and once more as ISO 8859-1 where that is something else.
    """
    name = without_domain(username)
    spellings = [name.encode("utf-8", "surrogatepass")]
    if not name.isascii() and all(ord(char) < 256 for char in name):
        spellings.append(name.encode("latin-1"))
    for spelling in spellings:
        challenge = challenge_hash(peer_challenge, authenticator_challenge, spelling)
        if equal(challenge_response(challenge, nt_hash), nt_response):
            return _sign(nt_hash, challenge, nt_response)
    return None
