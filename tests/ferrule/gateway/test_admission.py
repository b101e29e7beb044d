"""Who may come in, when one process is all there is: the driver asks, the accounts answer."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from ferrule.accounts.users import OnLimit
from ferrule.core.ids import ClientId, SessionId, TunnelId
from ferrule.core.reasons import Reason
from ferrule.gateway import effects as g
from ferrule.gateway.admission import LocalLeases, formers
from ferrule.gateway.settings import SessionKey
from support.accounts import user
from support.leases import MemberNode, Peer, World

FIXED = IPv4Address("10.0.0.9")


@pytest.fixture
def alone() -> Iterator[MemberNode]:
    world = World(
        user("alice", max_sessions=2),
        user("bob", max_sessions=1, on_limit=OnLimit.REJECT_NEW),
        user("fixed", static_ip=FIXED),
        names=("a-0",),
    )
    (member,) = world.members.values()
    member.driver.leases = LocalLeases(member.gateway)
    yield member
    world.close()


def log_in(member: MemberNode, username: str, host: str = "198.51.100.7") -> Peer:
    peer = member.call(member.new_client(host), username)
    member.world.settle()
    return peer


def test_the_accounts_grant_and_free(alone: MemberNode) -> None:
    first, second = log_in(alone, "alice"), log_in(alone, "alice")
    assert first.up
    assert second.up
    assert alone.accounts.pool_use()[0].leased == 2
    third = log_in(alone, "alice")
    assert [peer.up for peer in (first, second, third)] == [False, True, True]
    for peer in (second, third):
        alone.hang_up(peer)
    alone.world.settle()
    assert alone.accounts.pool_use()[0].leased == 0
    assert len(alone.accounts.sessions) == 0
    assert alone.store.calls.count("admit") == 0


def test_a_static_address_moves(alone: MemberNode) -> None:
    first, second = log_in(alone, "fixed"), log_in(alone, "fixed")
    assert not first.up
    assert second.up
    assert second.address == FIXED


def test_a_refusal_is_told_before_the_peer_hears_yes(alone: MemberNode) -> None:
    log_in(alone, "bob")
    second = log_in(alone, "bob", "203.0.113.9")
    assert not second.up
    assert second.address is None
    assert [t.reason for t in alone.report.tries] == [None, Reason.TOO_MANY_SESSIONS]


def test_the_same_user_may_authenticate_again_and_keeps_his_place(alone: MemberNode) -> None:
    peer = log_in(alone, "alice")
    address = peer.address
    alone.dial_again(peer)
    alone.world.settle()
    assert peer.up
    assert peer.address == address
    assert len(alone.accounts.sessions) == 1
    assert len(alone.report.tries) == 2


def test_another_user_in_the_same_call_gets_no_address(alone: MemberNode) -> None:
    peer = log_in(alone, "alice")
    peer.username = "fixed"
    alone.dial_again(peer)
    alone.world.settle()
    assert peer.over
    assert [e.reason for e in alone.report.ends] == [Reason.USER_REMOVED]
    assert len(alone.accounts.sessions) == 0
    assert alone.accounts.pool_use()[0].leased == 0


def test_an_answer_to_another_question_is_ignored(alone: MemberNode) -> None:
    peer = log_in(alone, "alice")
    answer = g.AdmissionDone(*peer.key, 99, IPv4Address("10.0.0.14"))
    assert alone.gateway.answer(answer, alone.world.loop.time()) == []
    (call,) = alone.gateway.sessions()
    assert call.place is not None
    assert call.place.address == peer.address


def test_formers_are_those_of_other_tunnels_of_the_same_host(alone: MemberNode) -> None:
    accounts = alone.accounts
    key = SessionKey(ClientId(1), TunnelId(1), SessionId(1))
    same_tunnel = SessionKey(ClientId(1), TunnelId(1), SessionId(2))
    other_tunnel = SessionKey(ClientId(1), TunnelId(2), SessionId(1))
    other_host = SessionKey(ClientId(2), TunnelId(2), SessionId(1))
    for number, one in enumerate((key, same_tunnel, other_tunnel, other_host)):
        accounts.adopt(one, "alice", "198.51.100.7", "", IPv4Address("10.0.0.10") + number)
    assert formers(accounts, key, "alice") == (other_tunnel,)
    assert formers(accounts, key, "bob") == ()


def test_a_second_tunnel_of_the_same_host_ends_the_first(alone: MemberNode) -> None:
    client = alone.new_client("198.51.100.7")
    first = alone.call(client, "alice")
    alone.world.settle()
    second = alone.call(client, "alice")
    alone.world.settle()
    assert not first.up
    assert second.up
    assert second.address == first.address
