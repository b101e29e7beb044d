"""The envelope of every datagram between members: authentic all of it, secret where it must be.

    version and kind (1) | body | MAC (8)                           what a client's network has seen
    version and kind (1) | counter (6) | sealed body | tag (16)     what it has not

Who sent it and who receives it are known from the addresses, and covered: a datagram that is
captured and sent again from elsewhere, or to another member, is a forgery. What is sealed (AES-GCM)
has a key for each life of its sender, the counter as nonce, and counts once. Other datagrams that
come late or twice are the business of what they carry. Two keys are accepted while they are
rotated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ferrule.cluster.members import MemberName
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.ciphers import GCM_NONCE_OCTETS, GcmCipher
from ferrule.crypto.compare import equal
from ferrule.crypto.hashes import HmacKey, hmac
from ferrule.crypto.suites import Cipher, Hash

VERSION: Final = 1
MAC_OCTETS: Final = 8
ENVELOPE_OCTETS: Final = 1 + MAC_OCTETS
COUNTER_OCTETS: Final = 6
SEAL_OCTETS: Final = 1 + COUNTER_OCTETS + 16
KEYS_MAX: Final = 2
WINDOW: Final = 1024  # datagrams that may overtake one


class RingKind(IntEnum):
    """What a ring datagram carries."""

    HEARTBEAT = 1
    TO_OWNER = 2  # from the member that a client's packet entered
    TO_CLIENT = 3  # from the owner, to leave through the socket that the question entered
    TO_ADDRESS = 4  # an IP packet to an inner address that the receiver has
    ADDRESSES = 5  # which inner addresses the sender has
    HAND_OVER = 6  # a client whose packets enter at the receiver (late binding)
    END_SESSION = 7  # sessions that the receiver has must end
    SESSIONS_ENDED = 8  # how many those were
    TRY = 9  # a password was tried at the sender


SEALED: Final = frozenset(
    {
        RingKind.TO_ADDRESS,
        RingKind.ADDRESSES,
        RingKind.END_SESSION,
        RingKind.SESSIONS_ENDED,
        RingKind.TRY,
    }
)
_KINDS: Final = {kind.value: kind for kind in RingKind}


@dataclass(slots=True)
class _Window:
    """Of the counters of one life of a sender."""

    life: int
    top: int = 0
    seen: int = 0  # bit 0 is `top`

    def takes(self, counter: int) -> bool:
        """Once for each counter, and for none that is too old."""
        ahead = counter - self.top
        if ahead > 0:
            self.seen = ((self.seen << ahead) | 1) & ((1 << WINDOW) - 1) if ahead < WINDOW else 1
            self.top = counter
            return True
        if ahead <= -WINDOW or self.seen >> -ahead & 1:
            return False
        self.seen |= 1 << -ahead
        return True


class Ring:
    """One member's seal on what it says to others, and its proof of what others say.

    `keys` are the gateway's, the first one is used for sending. Raises ValueError for no key or
    more than two. `life` is the incarnation as which we speak now.
    """

    __slots__ = ("_ciphers", "_keys", "_own", "_secrets", "_sent", "_windows", "life")

    def __init__(self, own: MemberName, keys: Sequence[Secret]) -> None:
        self.life = 0
        self._own = own
        self._sent: Counter[MemberName] = Counter()
        self._windows: dict[MemberName, _Window] = {}
        self.replace(keys)

    def replace(self, keys: Sequence[Secret]) -> None:
        """Go on with these. Raises ValueError as at birth, and changes nothing then."""
        if not 1 <= len(keys) <= KEYS_MAX:
            raise ValueError(f"one key, or two while they are rotated, not {len(keys)}")
        self._keys = [_mac_key(key) for key in keys]
        self._secrets = list(keys)
        self._ciphers: dict[tuple[int, MemberName, MemberName], tuple[int, GcmCipher]] = {}

    def wrap(self, kind: RingKind, body: bytes, receiver: MemberName) -> bytes:
        """The datagram for `receiver`; ENVELOPE_OCTETS or SEAL_OCTETS longer than `body`."""
        head = bytes((VERSION << 4 | kind,))
        route = _route(self._own, receiver)
        if kind not in SEALED:
            return head + body + self._keys[0].tag(route + head + body)
        self._sent[receiver] += 1
        counter = self._sent[receiver].to_bytes(COUNTER_OCTETS, "big")
        cipher = self._cipher(0, self._own, self.life, receiver)
        return head + counter + cipher.seal(_nonce(counter), body, route + head)

    def unwrap(self, datagram: bytes, sender: MemberName, life: int = 0) -> tuple[RingKind, bytes]:
        """Kind and body. `sender` is the member whose ring address it came from, `life` its
        incarnation.

        Raises ProtocolError: RING_MALFORMED, RING_FORGED."""
        if len(datagram) < ENVELOPE_OCTETS:
            raise Malformed(Reason.RING_MALFORMED, "shorter than its envelope")
        if _KINDS.get(datagram[0] & 15) in SEALED:
            return self._unseal(datagram, sender, life)
        said, mac = datagram[:-MAC_OCTETS], datagram[-MAC_OCTETS:]
        covered = _route(sender, self._own) + said
        if not any(equal(key.tag(covered), mac) for key in self._keys):
            raise ProtocolError(Reason.RING_FORGED, f"not said by {sender}")
        return _kind(said[0]), said[1:]

    def _unseal(self, datagram: bytes, sender: MemberName, life: int) -> tuple[RingKind, bytes]:
        head, counter = datagram[:1], datagram[1 : 1 + COUNTER_OCTETS]
        sealed, associated = datagram[1 + COUNTER_OCTETS :], _route(sender, self._own) + head
        for at in range(len(self._secrets)):
            cipher = self._cipher(at, sender, life, self._own)
            body = cipher.open(_nonce(counter), sealed, associated)
            if body is not None:
                break
        else:
            raise ProtocolError(Reason.RING_FORGED, f"not said by {sender}")
        window = self._windows.get(sender)
        if window is None or window.life != life:
            window = self._windows[sender] = _Window(life)
        if not window.takes(int.from_bytes(counter, "big")):
            raise ProtocolError(Reason.RING_FORGED, f"said by {sender} before")
        return _kind(datagram[0]), body

    def _cipher(self, at: int, sender: MemberName, life: int, receiver: MemberName) -> GcmCipher:
        known = self._ciphers.get((at, sender, receiver))
        if known is None or known[0] != life:
            whose = _route(sender, receiver) + life.to_bytes(8, "big")
            key = hmac(Hash.SHA2_256, self._secrets[at].reveal(), b"ferrule ring seal\0" + whose)
            known = (life, GcmCipher(Cipher.AES256_GCM16, key))
            self._ciphers[at, sender, receiver] = known
        return known[1]


def _kind(head: int) -> RingKind:
    version, kind = head >> 4, _KINDS.get(head & 15)
    if version != VERSION or kind is None:
        raise Malformed(Reason.RING_MALFORMED, f"version {version}, kind {head & 15}")
    return kind


def _nonce(counter: bytes) -> bytes:
    return counter.rjust(GCM_NONCE_OCTETS, b"\0")


def _mac_key(key: Secret) -> HmacKey:
    return HmacKey(Hash.SHA2_256, hmac(Hash.SHA2_256, key.reveal(), b"ferrule ring"), MAC_OCTETS)


def _route(sender: MemberName, receiver: MemberName) -> bytes:
    names = [name.encode() for name in (sender, receiver)]
    return b"".join(len(name).to_bytes(2, "big") + name for name in names)
