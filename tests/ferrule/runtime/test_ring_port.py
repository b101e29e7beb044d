"""The ring's socket on loopback: who is heard, who is not."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ferrule.cluster.members import (
    Epoch,
    EpochId,
    Heartbeat,
    Identity,
    Member,
    MemberName,
    build_heartbeat,
)
from ferrule.cluster.ring import Ring, RingKind
from ferrule.core.ids import Address
from ferrule.core.reasons import Reason
from ferrule.core.secret import Secret
from ferrule.runtime.ring_port import RingPort, plain

ADA, BOB, EVE = MemberName("ada"), MemberName("bob"), MemberName("eve")
KEY, OTHER = Secret(b"k" * 32), Secret(b"o" * 32)


class End:
    def __init__(self, name: MemberName, key: Secret = KEY) -> None:
        self.said: list[tuple[MemberName, RingKind, bytes]] = []
        self.dropped: list[Reason] = []
        self.port = RingPort(
            Address("127.0.0.1", 0),
            Ring(name, [key]),
            lambda *said: self.said.append(said),
            lambda reason, _: self.dropped.append(reason),
        )
        self.member = Member(Identity(name, len(name) + ord(name[0])), self.port.local)

    def knows(self, *others: End) -> None:
        self.port.follow([end.member for end in others], self.member.identity.incarnation)

    def read(self) -> int:
        assert select.select([self.port], [], [], 5.0)[0]
        return self.port.read(16)


@pytest.fixture
def ends() -> Iterator[Any]:
    made: list[End] = []

    def make(name: MemberName, key: Secret = KEY) -> End:
        made.append(End(name, key))
        return made[-1]

    yield make
    for end in made:
        end.port.close()


def test_members_hear_each_other(ends: Any) -> None:
    ada, bob = ends(ADA), ends(BOB)
    ada.knows(bob)
    bob.knows(ada)
    for kind in (RingKind.HEARTBEAT, RingKind.TO_ADDRESS):
        assert ada.port.send(kind, b"body", BOB)
    assert bob.read() == 2
    assert bob.said == [(ADA, RingKind.HEARTBEAT, b"body"), (ADA, RingKind.TO_ADDRESS, b"body")]
    assert bob.dropped == []
    assert not ada.port.send(RingKind.HEARTBEAT, b"body", EVE)
    assert (ada.port.knows("bob"), ada.port.knows("eve")) == (True, False)


def test_strangers_and_other_keys_are_not_heard(ends: Any) -> None:
    ada, bob, eve = ends(ADA), ends(BOB), ends(EVE, OTHER)
    bob.knows(ada, eve)
    eve.knows(bob)
    ada.knows(bob)
    eve.port.send(RingKind.TO_OWNER, b"body", BOB)
    bob.read()
    assert (bob.said, bob.dropped) == ([], [Reason.RING_FORGED])
    bob.knows(eve)
    ada.port.send(RingKind.TO_OWNER, b"body", BOB)
    ada.port.send(RingKind.HEARTBEAT, b"body", BOB)
    bob.read()
    assert bob.said == []
    assert set(bob.dropped) == {Reason.RING_FORGED, Reason.RING_MALFORMED}


def test_a_new_member_is_heard_if_it_says_which_epoch_it_is_in(ends: Any) -> None:
    ada, bob, eve = ends(ADA), ends(BOB), ends(EVE, OTHER)
    ada.knows(bob)
    eve.knows(bob)
    epoch = Epoch(EpochId(2, 2), (ada.member, bob.member, eve.member))

    def heartbeat(end: End, newest: Epoch | None) -> bytes:
        return build_heartbeat(Heartbeat(end.member.identity, 1, None, newest))

    ada.port.send(RingKind.HEARTBEAT, heartbeat(ada, epoch), BOB)
    bob.read()
    assert [said[0] for said in bob.said] == [ADA]
    eve.port.send(RingKind.HEARTBEAT, heartbeat(eve, epoch), BOB)  # another key
    ada.port.send(RingKind.HEARTBEAT, heartbeat(ada, None), BOB)
    ada.port.send(RingKind.HEARTBEAT, heartbeat(eve, epoch), BOB)  # another's name
    while len(bob.dropped) < 3:
        bob.read()
    assert set(bob.dropped) == {Reason.RING_FORGED}
    assert len(bob.said) == 1


def test_noise_is_counted(ends: Any) -> None:
    bob = ends(BOB)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for datagram in (b"", b"x", bytes(40), b"\x11" + bytes(40)):
            noise.sendto(datagram, bob.port.local)
    while len(bob.dropped) < 4:
        bob.read()
    assert bob.said == []


def test_a_taken_port_is_said_so(ends: Any) -> None:
    ada = ends(ADA)
    with pytest.raises(OSError, match="in use by another process"):
        RingPort(ada.port.local, Ring(BOB, [KEY]), lambda *_: None, lambda *_: None)
    with pytest.raises(OSError, match="none of this host's"):
        RingPort(Address("192.0.2.1", 4599), Ring(BOB, [KEY]), lambda *_: None, lambda *_: None)


def test_addresses_are_written_as_the_kernel_does() -> None:
    assert plain(Address("2001:DB8:0::1", 7)) == Address("2001:db8::1", 7)
