"""For tests of stores: records, epochs and requests by the dozen."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from ferrule.accounts.users import OnLimit
from ferrule.cluster.members import Epoch, EpochId, Identity, Member, MemberName, Record
from ferrule.core.ids import Address
from ferrule.store.interface import Lease, LeaseRequest, Members, Store

FIRST = IPv4Address("10.20.0.2")


def who(name: str, incarnation: int = 1) -> Identity:
    return Identity(MemberName(name), incarnation)


def epoch_of(number: int, *members: Identity) -> Epoch:
    listed = [Member(member, Address(f"{member.name}.ring", 4501)) for member in sorted(members)]
    return Epoch(EpochId(number, number * 1000), tuple(listed))


def records_of(epoch: Epoch, beat: int = 1) -> dict[Identity, Record]:
    return {m.identity: Record(m.identity, beat, epoch) for m in epoch.members}


async def found(store: Store, *members: Identity) -> Members:
    """An epoch of these members, who have said which leases they hold."""
    epoch = epoch_of(1, *members)
    made = await store.change(None, {}, epoch, records_of(epoch))
    for member in members:
        await said_all(store, member)
    return made


async def said_all(store: Store, member: Identity) -> bool:
    """The member has no leases but those that the store has; are all members that far?"""
    return await store.restored(member, (await store.renew([])).generation)


def request(session: str, user: str = "ada", **fields: Any) -> LeaseRequest:
    """One that gets what it wants; 10.20.0.2 to 10.20.0.9 unless told otherwise."""
    asked: dict[str, Any] = {
        "session": session,
        "user": user,
        "device": "laptop",
        "since_ms": 1_764_000_000_000,
        "owner": "a-0",
        "limit": 0,
        "on_limit": OnLimit.REPLACE_OLDEST,
        "sessions_max": 0,
        "static": None,
        "requested": None,
        "ranges": ((FIRST, FIRST + 7),),
    }
    return LeaseRequest(**(asked | fields))


def lease(session: str, address: IPv4Address, **fields: Any) -> Lease:
    asked: dict[str, Any] = {
        "session": session,
        "user": "ada",
        "device": "laptop",
        "since_ms": 1_764_000_000_000,
        "owner": "a-0",
        "address": address,
    }
    return Lease(**(asked | fields))
