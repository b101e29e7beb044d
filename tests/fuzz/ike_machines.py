"""Targets for the IKE endpoint: messages in the clear, message 5, and what comes after phase 1.

The encrypted ones start from a real exchange, made once: the fuzzer writes plaintext, which is
hashed and encrypted as the peer would. Keys differ from run to run (Diffie-Hellman is the crypto
library's), but nothing that an input does depends on them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache

from ferrule.core.ids import Address, Cookie, IsakmpSaId, Path, Spi
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.suites import Cipher, Group, Hash
from ferrule.ike.effects import IkeEffect, SendIke
from ferrule.ike.endpoint import IkeEndpoint
from ferrule.ike.header import NO_COOKIE, build_message
from ferrule.ike.iana import ExchangeType, Flag, PayloadType
from ferrule.ike.isakmp_sa import IsakmpSa, MainModeState
from ferrule.ike.keys import hash_1, hash_i, phase1_iv
from ferrule.ike.payloads import (
    HashPayload,
    Identification,
    Payload,
    build_payloads,
    identification_body,
    notification,
)
from ferrule.ike.policy import IkePolicy, Phase1Transform
from ferrule.ike.protection import encrypt_message, exchange_iv, hashed_body
from fuzz.machines import EFFECTS_MAX, RECORDS_MAX, pass_time
from fuzz.registry import Entropy, records, target

PSK = Secret(b"a pre-shared key of some length")
ICOOKIE = Cookie(b"initiato")
CLIENT_PATH = Path(Address("192.0.2.254", 500), Address("192.0.2.1", 500), natt=False)
PATHS = (
    Path(Address("192.0.2.1", 500), Address("192.0.2.254", 500), natt=False),
    Path(Address("192.0.2.1", 4500), Address("192.0.2.254", 4500), natt=True),
    Path(Address("198.51.100.9", 50000), Address("192.0.2.254", 4500), natt=True),
)
# Quick on our side too: the fuzzer reaches message 3 some thousand times a second.
QUICK_TO_COMPUTE = Phase1Transform(Cipher.AES128_CBC, Hash.SHA1, Group.CURVE25519)
OBJECTS_MAX = 64


class _Numbers:
    """Cookies and SPIs, each once."""

    def __init__(self, first: int) -> None:
        self._next = first

    def cookie(self, _: Path) -> Cookie:
        self._next += 1
        return Cookie(self._next.to_bytes(8, "big"))

    def spi(self, _: IsakmpSaId) -> Spi:
        self._next += 1
        return Spi(self._next)


def endpoint(entropy: Entropy, first: int = 0x7000_0000) -> IkeEndpoint:
    numbers = _Numbers(first)
    policy = IkePolicy(keys=(PSK, Secret(b"the key before")), offer_phase1=(QUICK_TO_COMPUTE,))
    return IkeEndpoint(policy, entropy, numbers.cookie, numbers.spi)


def _check(ike: IkeEndpoint, effects: list[IkeEffect], received: int) -> None:
    assert len(effects) <= EFFECTS_MAX
    assert len(ike.sas()) <= OBJECTS_MAX
    assert sum(len(view.ipsec_sas) for view in ike.sas()) <= OBJECTS_MAX
    sent = sum(len(effect.message) for effect in effects if isinstance(effect, SendIke))
    assert not received or sent <= 65_535


@target(octets_max=4096)
def ike_server(data: bytes) -> None:
    """Strangers' messages. A record's first octet: 0 to 3, payloads behind a header that fits the
    last answer; 4 and 5, any message; 6 and 7, time."""
    ike, now = endpoint(Entropy()), 0.0
    icookie, rcookie = ICOOKIE, NO_COOKIE
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        now += 0.01
        choice = record[0] if record else 6
        path = PATHS[choice >> 4 & 1]
        match choice & 7:
            case 0 | 1 | 2 | 3:
                exchange, first = (record[1], record[2]) if len(record) > 2 else (2, 1)
                message = build_message(icookie, rcookie, first, exchange, 0, 0, record[3:])
                effects = ike.receive(path, message, now)
                if rcookie == NO_COOKIE:
                    sent = sum(len(e.message) for e in effects if isinstance(e, SendIke))
                    assert sent <= len(message), "more to a stranger than came from it"
            case 4 | 5:
                message = record[1:]
                effects = ike.receive(path, message, now)
            case _:
                message = b""
                now, effects = pass_time(ike, now)
        _check(ike, effects, len(message))
        for sa in ike._table.isakmp.values():
            icookie, rcookie = sa.icookie, sa.rcookie
    ike.close(Reason.SERVER_SHUTDOWN, now)


# --- after the Diffie-Hellman exchange ----------------------------------------------------------


@dataclass(slots=True)
class _Template:
    """A server that awaits message 5, one that is up, and the keys as the client has them.

    `iv5` is the IV of message 5. `up_peer` is the client's ISAKMP SA once phase 1 is over."""

    before5: IkeEndpoint
    sa5: IsakmpSa
    iv5: bytes
    gxi: bytes
    gxr: bytes
    up: IkeEndpoint
    up_peer: IsakmpSa


def _only_sa(ike: IkeEndpoint) -> IsakmpSa:
    (sa,) = ike._table.isakmp.values()
    return sa


def _reverse(path: Path) -> Path:
    return Path(path.local, path.peer, path.natt)


@cache
def template() -> _Template:
    server, client = endpoint(Entropy()), endpoint(Entropy(b"peer"), 0x6000_0000)
    to_server = client.initiate(CLIENT_PATH, 0.0)
    for _ in range(2):  # messages 1 and 3, and their answers
        to_client = _deliver(server, to_server)
        to_server = _deliver(client, to_client)
    sa5 = _only_sa(client)
    assert sa5.exchange is not None
    assert sa5.transform is not None
    gxi, gxr = sa5.exchange.gxi, sa5.exchange.gxr
    iv5 = phase1_iv(sa5.hash, gxi, gxr, sa5.cipher.info.block)
    before5, sa5_then = clone(server), copy.copy(sa5)
    _deliver(client, _deliver(server, to_server))
    up_peer = _only_sa(client)
    assert up_peer.state is MainModeState.UP
    return _Template(before5, sa5_then, iv5, gxi, gxr, server, up_peer)


def _deliver(receiver: IkeEndpoint, effects: list[IkeEffect]) -> list[IkeEffect]:
    out: list[IkeEffect] = []
    for effect in effects:
        if isinstance(effect, SendIke):
            out += receiver.receive(_reverse(effect.path), effect.message, 0.0)
    return out


def clone(ike: IkeEndpoint) -> IkeEndpoint:
    """The same state in other objects; the policy, which never changes, is shared."""
    return copy.deepcopy(ike, {id(ike.policy): ike.policy})


@target(octets_max=2048)
def ike_message5(data: bytes) -> None:
    """The first record decides: even, payloads as they are; odd, an identity and more payloads
    that are hashed as they should be. Then the rest of the records as in `ike_server`."""
    made = template()
    ike, sa = clone(made.before5), made.sa5
    assert sa.keys is not None
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        choice, first, body = (record[0], record[1], record[2:]) if len(record) > 1 else (0, 8, b"")
        if choice & 1:
            identity = Identification(first, 17, 1701, body[: choice >> 1])
            id_body = identification_body(identity)
            value = hash_i(
                sa.hash, sa.keys.skeyid, made.gxi, made.gxr, sa.icookie, sa.rcookie, sa.sai, id_body
            )
            payloads: list[Payload] = [identity, HashPayload(value)]
            if len(body) > choice >> 1:
                extra = body[choice >> 1 :]
                kind = int.from_bytes(extra[:2], "big")
                payloads.append(notification(kind, protocol=1, spi=sa.cookies, data=extra[2:]))
            first, body = build_payloads(payloads)
        exchange = ExchangeType.IDENTITY_PROTECTION
        message, _ = encrypt_message(sa, exchange, 0, first, body, made.iv5)
        effects = ike.receive(PATHS[1], message, 1.0 + count)
        _check(ike, effects, len(message))


@target(octets_max=4096)
def ike_phase2(data: bytes) -> None:
    """Quick Mode, informational and other exchanges under an ISAKMP SA that is up.

    A record's first octet: bits 0 to 2 what happens, bits 3 and 4 which message id, bit 5 another
    path. Payloads are hashed with HASH(1), but for the records that send them as they are."""
    made = template()
    ike, sa = clone(made.up), made.up_peer
    assert sa.keys is not None
    skeyid_a = sa.keys.skeyid_a
    ivs: dict[int, bytes] = {}
    now = 1.0
    for count, record in enumerate(records(data)):
        if count == RECORDS_MAX:
            break
        now += 0.01
        choice, first, rest = (record[0], record[1], record[2:]) if len(record) > 1 else (7, 0, b"")
        path = PATHS[2] if choice & 0x20 else PATHS[1]
        message_id = 1 + (choice >> 3 & 3)
        iv = ivs.get(message_id) or exchange_iv(sa, message_id)
        message = b""
        match choice & 7:
            case 0 | 1 | 2 | 3:
                exchange = ExchangeType.QUICK_MODE if choice & 2 else ExchangeType.INFORMATIONAL
                value = hash_1(sa.hash, skeyid_a, message_id, rest)
                head = bytes((first, 0)) + (4 + len(value)).to_bytes(2, "big")
                message, ivs[message_id] = encrypt_message(
                    sa, exchange, message_id, PayloadType.HASH, head + value + rest, iv
                )
                effects = ike.receive(path, message, now)
            case 4:
                message, _ = encrypt_message(
                    sa, ExchangeType.QUICK_MODE, message_id, first, rest, iv
                )
                effects = ike.receive(path, message, now)
            case 5 | 6:
                flags = Flag.ENCRYPTION if choice & 1 else 0
                message = build_message(sa.icookie, sa.rcookie, first, 5, flags, message_id, rest)
                before = _standing(ike)
                effects = ike.receive(path, message, now)
                assert _standing(ike) == before, "a forged message changed what stands"
            case _:
                now, effects = pass_time(ike, now)
        _check(ike, effects, len(message))
    for view in ike.sas():
        for spi in view.ipsec_sas:
            ike.heard(spi, now)
            ike.rekey_ipsec_sa(spi, now)
    ike.close(Reason.SERVER_SHUTDOWN, now)


def _standing(ike: IkeEndpoint) -> list[tuple[object, ...]]:
    return [(view.isakmp_sa, view.state, view.path, view.ipsec_sas) for view in ike.sas()]


def hash_and_chain(payloads: list[Payload]) -> bytes:
    """What a record of `ike_phase2` holds behind its first octet."""
    first, chain = build_payloads(payloads)
    assert hashed_body(payloads, lambda _: b"")[4:] == chain
    return bytes((first,)) + chain
