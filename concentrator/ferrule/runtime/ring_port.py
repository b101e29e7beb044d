"""The ring's UDP socket: what comes from a member is unwrapped, what goes to one is wrapped.

Who sent a datagram is known by its source address, which the epoch names; what the address does
not prove, the MAC does. Whoever the epoch does not name is heard only if it says in which newer
one it is: so members hear of a new one at once, before they ask the store again.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final, TypeAlias

from ferrule.cluster.members import Member, MemberName, parse_heartbeat
from ferrule.cluster.ring import MAC_OCTETS, Ring, RingKind
from ferrule.core.errors import ProtocolError
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason

RECEIVE_OCTETS: Final = 8 << 20
SO_RCVBUFFORCE: Final = 33
_DATAGRAM_MAX: Final = 65_535

Said: TypeAlias = Callable[[MemberName, RingKind, bytes], None]
Dropped: TypeAlias = Callable[[Reason, str], None]


class RingPort:
    """`said` gets what a member said: who, what kind, the body. `dropped` is told what was not
    understood."""

    def __init__(self, address: Address, ring: Ring, said: Said, dropped: Dropped) -> None:
        """Binds; raises OSError with a message for a person."""
        self._ring = ring
        self._said = said
        self._dropped = dropped
        self._names: dict[Address, MemberName] = {}
        self._addresses: dict[MemberName, Address] = {}
        self._lives: dict[MemberName, int] = {}
        self.send_errors = 0
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._raise_buffer()
            self._socket.bind(address)
        except OSError as error:
            self._socket.close()
            cause = _CAUSES.get(error.errno or 0, error.strerror)
            raise OSError(f"the ring's UDP port {address}: {cause}") from error
        self.local = Address(*self._socket.getsockname()[:2])

    def _raise_buffer(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_OCTETS)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_OCTETS)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def follow(self, members: Iterable[Member], own_life: int) -> None:
        """These are the other members now, and we are in this life of ours."""
        members = tuple(members)
        self._ring.life = own_life
        self._lives = {member.name: member.identity.incarnation for member in members}
        self._addresses = {member.name: member.address for member in members}
        self._names = {address: name for name, address in self._addresses.items()}

    def knows(self, member: str) -> bool:
        return member in self._addresses

    def send(self, kind: RingKind, body: bytes, to: MemberName) -> bool:
        """False: there is no such member. What is lost on the way is lost."""
        address = self._addresses.get(to)
        if address is None:
            return False
        try:
            self._socket.sendto(self._ring.wrap(kind, body, to), address)
        except OSError:
            self.send_errors += 1
        return True

    def read(self, most: int) -> int:
        """Hand on up to `most` waiting datagrams; returns how many there were."""
        for count in range(most):
            try:
                datagram, source = self._socket.recvfrom(_DATAGRAM_MAX)
            except BlockingIOError:
                return count
            except ConnectionError:
                continue  # an ICMP error to something that we sent earlier
            self._receive(datagram, Address(*source[:2]))
        return most

    def _receive(self, datagram: bytes, source: Address) -> None:
        try:
            sender = self._names.get(source) or _stranger(datagram, source)
            kind, body = self._ring.unwrap(datagram, sender, self._lives.get(sender, 0))
        except ProtocolError as error:
            self._dropped(error.reason, f"{source}: {error.detail}")
            return
        self._said(sender, kind, body)


def plain(address: Address) -> Address:
    """As the kernel writes it, so that two of one kind are equal."""
    return Address(str(ip_address(address.host)), address.port)


def _stranger(datagram: bytes, source: Address) -> MemberName:
    """The member that it says it is, in the epoch that it says it is in. Raises ProtocolError.
    Believed only once the MAC, which covers the name, is checked."""
    if len(datagram) <= MAC_OCTETS or datagram[0] & 15 != RingKind.HEARTBEAT:
        raise ProtocolError(Reason.RING_FORGED, "no member has this address")
    heartbeat = parse_heartbeat(datagram[1:-MAC_OCTETS])
    newest = heartbeat.newest
    member = newest.find(heartbeat.identity.name) if newest is not None else None
    if member is None or member.address != source:
        raise ProtocolError(Reason.RING_FORGED, "no member has this address")
    return member.name


_CAUSES: Final = {
    errno.EADDRINUSE: "in use by another process: stop that, or choose another port",
    errno.EADDRNOTAVAIL: "that address is none of this host's: correct listen.ring",
}
