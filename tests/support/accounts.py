"""Builders for tests of the accounts: users, proofs that hold, cheap scrypt verifiers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ferrule.accounts.admission import Settings
from ferrule.accounts.pools import AddressRange, PoolSpec
from ferrule.accounts.users import User
from ferrule.accounts.verifiers import Verifier, parse_verifier
from ferrule.core.credentials import ChapProof, MsChapV1Proof, MsChapV2Proof, PapProof, Proof
from ferrule.core.secret import Secret
from ferrule.crypto.chap import chap_md5
from ferrule.crypto.mschap import mschapv1_response, mschapv2_response, nt_password_hash
from ferrule.crypto.scrypt import derive

METHODS = ("pap", "chap", "mschapv1", "mschapv2")


def proof(method: str, username: str, password: str) -> Proof:
    """What an honest client with this password shows."""
    nt_hash = nt_password_hash(password)
    match method:
        case "pap":
            return PapProof(username, Secret(password.encode()))
        case "chap":
            challenge = bytes(range(16))
            return ChapProof(username, 7, challenge, chap_md5(7, password.encode(), challenge))
        case "mschapv1":
            challenge = bytes(range(8))
            return MsChapV1Proof(username, challenge, mschapv1_response(nt_hash, challenge))
        case _:
            ours, theirs = bytes(range(16)), bytes(range(16, 32))
            response = mschapv2_response(nt_hash, username, ours, theirs)
            return MsChapV2Proof(username, ours, theirs, response)


def scrypt_text(password: str, n: int = 16) -> str:
    """A verifier that takes microseconds instead of milliseconds."""
    return f"scrypt:{n}:1:1:{b'salt'.hex()}:{derive(password.encode(), b'salt', n, 1, 1).hex()}"


def nt_text(password: str) -> str:
    return f"nt:{nt_password_hash(password).hex()}"


def user(username: str = "alice", password: str = "secret", **fields: Any) -> User:
    fields.setdefault("verifier", Verifier.of_password(password))
    return User(username, **fields)


def scrypt_user(username: str = "alice", password: str = "secret", **fields: Any) -> User:
    return user(username, verifier=parse_verifier(scrypt_text(password)), **fields)


def pool(
    cidr: str = "10.0.0.0/29", name: str = "default", exclude: tuple[str, ...] = ()
) -> PoolSpec:
    ranges = []
    for text in exclude:
        first, _, last = text.partition("-")
        ranges.append(AddressRange(IPv4Address(first), IPv4Address(last or first)))
    return PoolSpec(name, IPv4Network(cidr), tuple(ranges))


def settings(*users: User, cidr: str = "10.0.0.0/24", **fields: Any) -> Settings:
    return Settings(users=users, pools=(pool(cidr),), **fields)
