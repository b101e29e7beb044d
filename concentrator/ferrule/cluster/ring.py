"""The envelope of every datagram between members: version, kind, body, short keyed MAC.

    version and kind (1) | body | MAC (8)

The MAC covers sender and receiver too, which are known from the addresses: a datagram that is
captured and sent again from elsewhere, or to another member, is a forgery. Datagrams that come
late or twice are the business of what they carry. Two keys are accepted while they are rotated.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from ferrule.cluster.members import MemberName
from ferrule.core.errors import Malformed, ProtocolError
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.crypto.compare import equal
from ferrule.crypto.hashes import HmacKey, hmac
from ferrule.crypto.suites import Hash

VERSION: Final = 1
MAC_OCTETS: Final = 8
ENVELOPE_OCTETS: Final = 1 + MAC_OCTETS
KEYS_MAX: Final = 2


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


_KINDS: Final = {kind.value: kind for kind in RingKind}


class Ring:
    """One member's seal on what it says to others, and its proof of what others say.

    `keys` are the gateway's, the first one is used for sending. Raises ValueError for no key or
    more than two.
    """

    __slots__ = ("_keys", "_own")

    def __init__(self, own: MemberName, keys: Sequence[Secret]) -> None:
        self._own = own
        self.replace(keys)

    def replace(self, keys: Sequence[Secret]) -> None:
        """Go on with these. Raises ValueError as at birth, and changes nothing then."""
        if not 1 <= len(keys) <= KEYS_MAX:
            raise ValueError(f"one key, or two while they are rotated, not {len(keys)}")
        self._keys = [_mac_key(key) for key in keys]

    def wrap(self, kind: RingKind, body: bytes, receiver: MemberName) -> bytes:
        """The datagram for `receiver`; ENVELOPE_OCTETS longer than `body`."""
        said = bytes((VERSION << 4 | kind,)) + body
        return said + self._keys[0].tag(_route(self._own, receiver) + said)

    def unwrap(self, datagram: bytes, sender: MemberName) -> tuple[RingKind, bytes]:
        """Kind and body. `sender` is the member whose ring address it came from.

        Raises ProtocolError: RING_MALFORMED, RING_FORGED."""
        if len(datagram) < ENVELOPE_OCTETS:
            raise Malformed(Reason.RING_MALFORMED, "shorter than its envelope")
        said, mac = datagram[:-MAC_OCTETS], datagram[-MAC_OCTETS:]
        covered = _route(sender, self._own) + said
        if not any(equal(key.tag(covered), mac) for key in self._keys):
            raise ProtocolError(Reason.RING_FORGED, f"not said by {sender}")
        version, kind = said[0] >> 4, _KINDS.get(said[0] & 15)
        if version != VERSION or kind is None:
            raise Malformed(Reason.RING_MALFORMED, f"version {version}, kind {said[0] & 15}")
        return kind, said[1:]


def _mac_key(key: Secret) -> HmacKey:
    return HmacKey(Hash.SHA2_256, hmac(Hash.SHA2_256, key.reveal(), b"ferrule ring"), MAC_OCTETS)


def _route(sender: MemberName, receiver: MemberName) -> bytes:
    names = [name.encode() for name in (sender, receiver)]
    return b"".join(len(name).to_bytes(2, "big") + name for name in names)
