"""The gateway as a whole, with real clients in virtual time: sessions, their ends, their limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ferrule.accounts.admission import Settings
from ferrule.accounts.users import OnLimit
from ferrule.client.initiator import Life
from ferrule.core.reasons import Reason
from ferrule.gateway import effects as g
from ferrule.gateway.client import Client
from ferrule.gateway.gateway import GOODBYE_SECONDS
from ferrule.gateway.settings import GatewaySettings
from support.accounts import pool
from support.pair import FAST_PHASE1, WALL, Pair, Seat, gateway_settings, user


def settings_with(**fields: object) -> GatewaySettings:
    return replace(gateway_settings(), **fields)  # type: ignore[arg-type]


def kick(pair: Pair, reason: Reason = Reason.ADMIN_KICK) -> None:
    gateway = pair.gateway.gateway
    (call,) = gateway.sessions()
    pair.gateway.driver.command(lambda now: gateway.close_session(call.key, reason, now))


def end_reasons(pair: Pair) -> list[Reason]:
    return [ended.reason for ended in pair.gateway.record.ends]


def test_a_session_comes_up_with_its_facts() -> None:
    pair = Pair()
    seat = Seat(pair).connect()
    assert seat.ping()
    (facts,) = pair.gateway.record.ups
    assert (facts.username, facts.auth_method) == ("alice", "mschapv2")
    assert facts.phase1_suite == "aes256-sha256-curve25519"
    assert facts.phase2_suite
    assert str(facts.address) == "10.64.0.2"
    assert facts.client_name.startswith("probe")
    assert list(facts.stages) == ["phase1", "phase2", "l2tp", "auth", "ipcp", "total"]
    assert facts.stages["total"] < 0.2  # ten round trips of 10 ms: nothing waits on a timer


def test_the_goodbye_of_a_client_leaves_nothing() -> None:
    pair = Pair()
    seat = Seat(pair).connect()
    pair.act(seat.host, lambda host: host.close(Reason.PEER_CLOSED))
    pair.loop.run(60.0)
    assert end_reasons(pair) == [Reason.PEER_CLOSED]
    assert pair.gateway.rows == 0


@pytest.mark.parametrize("reason", [Reason.ADMIN_KICK, Reason.USER_REMOVED])
def test_a_kicked_client_is_told_and_then_gone(reason: Reason) -> None:
    pair = Pair()
    seat = Seat(pair).connect()
    kick(pair, reason)
    assert pair.loop.run(0.5, lambda: seat.ended is not None)
    assert end_reasons(pair) == [reason]
    pair.loop.run(GOODBYE_SECONDS + 40.0)
    assert pair.gateway.rows == 0
    assert not pair.gateway.record.failures


def test_two_clients_behind_one_nat_do_not_meet() -> None:
    pair = Pair(users=[user("alice"), user("bob")])
    first = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    second = Seat(pair, "10.0.0.3", "198.51.100.1", username="bob").connect()
    assert first.ping()
    assert second.ping()
    pair.act(first.host, lambda host: host.close(Reason.PEER_CLOSED))
    pair.loop.run(40.0)
    assert second.ping()
    assert [facts.username for facts in pair.gateway.record.ups] == ["alice", "bob"]


def test_a_new_nat_binding_moves_the_client() -> None:
    pair = Pair()
    seat = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    (call,) = pair.gateway.gateway.sessions()
    before = call.facts.path.peer
    pair.network.rebind("10.0.0.2")
    assert seat.ping()
    assert call.facts.path.peer != before
    assert call.facts.path.peer.host == "198.51.100.1"
    assert pair.gateway.record.moves == 1


def test_a_dead_client_is_found_out() -> None:
    pair = Pair()
    Seat(pair).connect()
    pair.network.cut = True
    assert pair.loop.run(300.0, lambda: pair.gateway.rows == 0)
    (reason,) = end_reasons(pair)
    assert reason in (Reason.PEER_DEAD, Reason.LCP_ECHO_TIMEOUT, Reason.L2TP_TIMEOUT)


def test_initial_contact_ends_the_same_hosts_older_session_only() -> None:
    pair = Pair(users=[user("alice", max_sessions=5)])
    Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    Seat(pair, "10.0.0.2", "198.51.100.2")  # another NAT: the identity is the same, the host not
    other = Seat(pair, "10.0.0.9", "198.51.100.1").connect()
    ups = len(pair.gateway.record.ups)
    pair.network.rebind("10.0.0.2")  # the first host starts anew, without a goodbye
    again = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    assert len(pair.gateway.record.ups) > ups
    assert Reason.INITIAL_CONTACT in end_reasons(pair)
    assert again.ping()
    assert other.ping()


def test_who_comes_back_at_once_is_timed_from_its_new_start() -> None:
    """The gateway still says its goodbyes, so the host is the same client; the facts are new."""
    pair = Pair()
    first = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    kick(pair)
    assert pair.loop.run(1.0, lambda: first.ended is not None)
    offer = (FAST_PHASE1[1],)
    Seat(pair, "10.0.0.2", "198.51.100.1", offer_phase1=offer).connect()
    before, after = pair.gateway.record.ups
    assert after.client == before.client
    assert after.phase1_suite == "aes128-sha1-ecp256"
    assert after.stages["total"] < 0.2
    assert [up.rekey for up in pair.gateway.record.ipsec_ups] == [False, False]


def test_who_comes_back_at_once_outlives_the_goodbye() -> None:
    """The Deletes that the kick left due are for the SAs of then, not for those of now."""
    pair = Pair()
    first = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    kick(pair)
    assert pair.loop.run(1.0, lambda: first.ended is not None)
    again = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    pair.loop.run(GOODBYE_SECONDS + 10.0)
    assert again.ended is None
    assert again.ping()


def test_a_host_that_lost_its_memory_gets_its_address_back_without_initial_contact() -> None:
    pair = Pair(users=[user("alice", max_sessions=5), user("bob")])
    Seat(pair, "10.0.0.2", "198.51.100.1", offer_initial_contact=False).connect()
    other = Seat(pair, "10.0.0.9", "198.51.100.1", username="bob").connect()
    again = Seat(pair, "10.0.0.2", "198.51.100.1", offer_initial_contact=False).connect()
    assert end_reasons(pair) == [Reason.REPLACED_SESSION]
    first, _, third = pair.gateway.record.ups
    assert third.client == first.client
    assert [up.rekey for up in pair.gateway.record.isakmp_ups] == [False, False, True]
    assert third.address == first.address
    assert again.ping()
    assert other.ping()


def test_the_oldest_session_makes_room_for_the_users_newest() -> None:
    pair = Pair(users=[user("alice", max_sessions=1)])
    first = Seat(pair, "10.0.0.2").connect()
    second = Seat(pair, "10.0.0.3").connect()
    assert pair.loop.run(1.0, lambda: first.ended is not None)
    assert end_reasons(pair) == [Reason.REPLACED_SESSION]
    assert second.ping()


def test_reject_new_keeps_the_first_and_tells_the_second() -> None:
    pair = Pair(users=[user("alice", max_sessions=1, on_limit=OnLimit.REJECT_NEW)])
    first = Seat(pair, "10.0.0.2").connect()
    second = Seat(pair, "10.0.0.3")
    pair.loop.run(10.0)
    assert second.connected is None
    assert [f.reason for f in pair.gateway.record.failures] == [Reason.TOO_MANY_SESSIONS]
    assert first.ping()


def test_the_gateways_limit_refuses_with_a_reason() -> None:
    pair = Pair(settings=settings_with(sessions_max=1), users=[user("alice"), user("bob")])
    first = Seat(pair, "10.0.0.2").connect()
    second = Seat(pair, "10.0.0.3", username="bob")
    pair.loop.run(10.0)
    assert second.connected is None
    assert [f.reason for f in pair.gateway.record.failures] == [Reason.SESSIONS_LIMIT]
    assert first.ping()


@pytest.mark.parametrize(
    ("fields", "reason", "seconds"),
    [
        ({"idle_timeout": 120.0}, Reason.IDLE_TIMEOUT, 120.0),
        ({"session_timeout": 300.0}, Reason.SESSION_TIMEOUT, 300.0),
    ],
)
def test_timeouts_of_the_configuration(
    fields: dict[str, float], reason: Reason, seconds: float
) -> None:
    pair = Pair(settings=settings_with(**fields))
    seat = Seat(pair).connect()
    started = pair.loop.time()
    assert pair.loop.run(2 * seconds, lambda: seat.ended is not None)
    assert end_reasons(pair) == [reason]
    assert seconds - 1 <= pair.loop.time() - started <= seconds + 15


def test_traffic_keeps_an_idle_timeout_away() -> None:
    pair = Pair(settings=settings_with(idle_timeout=60.0))
    seat = Seat(pair).connect()
    for _ in range(10):
        pair.loop.run(30.0)
        assert seat.ping()
    assert seat.ended is None


def test_an_account_that_expires_ends_its_session() -> None:
    pair = Pair(users=[user("alice", valid_until=WALL + 600.0)])
    seat = Seat(pair).connect()
    pair.loop.run(590.0)
    assert seat.ended is None
    pair.loop.run(20.0)
    assert end_reasons(pair) == [Reason.USER_EXPIRED]


def test_shutdown_says_goodbye_to_everybody() -> None:
    pair = Pair(users=[user("alice"), user("bob")])
    seats = [Seat(pair, "10.0.0.2").connect(), Seat(pair, "10.0.0.3", username="bob").connect()]
    gateway = pair.gateway.gateway
    pair.gateway.driver.command(lambda now: gateway.close(Reason.SERVER_SHUTDOWN, now))
    assert pair.loop.run(1.0, lambda: all(seat.ended is not None for seat in seats))
    assert end_reasons(pair) == [Reason.SERVER_SHUTDOWN] * 2
    assert pair.gateway.rows == 0


def test_a_reload_changes_policies_and_ends_nothing_else() -> None:
    pair = Pair(users=[user("alice"), user("bob")])
    alice = Seat(pair, "10.0.0.2").connect()
    bob = Seat(pair, "10.0.0.3", username="bob").connect()
    gateway, accounts = pair.gateway.gateway, pair.gateway.accounts
    new = Settings(
        users=(user("alice", rate_down=1), user("bob", allowed_cidrs=(pool("10.9.0.0/16").cidr,))),
        pools=(pool("10.64.0.0/16"),),
    )
    assert not accounts.replace(new, WALL)
    pair.gateway.driver.command(lambda _: gateway.reload(gateway_settings()))
    assert not bob.ping()  # the host inside is not in what he may reach now
    assert alice.host.life is Life.UP
    assert bob.host.life is Life.UP


def test_a_bug_costs_one_client() -> None:
    pair = Pair(users=[user("alice"), user("bob")])
    Seat(pair, "10.0.0.2").connect()
    bob = Seat(pair, "10.0.0.3", username="bob").connect()
    gateway = pair.gateway.gateway
    victim = next(iter(gateway.sessions())).key.client
    pair.gateway.driver.command(lambda now: gateway.abandon(victim, now))
    assert end_reasons(pair) == [Reason.INTERNAL_ERROR]
    assert bob.ping()


def test_a_bug_in_a_timer_costs_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(users=[user("alice"), user("bob")])
    seats = [Seat(pair, "10.0.0.2").connect(), Seat(pair, "10.0.0.3", username="bob").connect()]
    gateway = pair.gateway.gateway
    bugs: list[str] = []
    monkeypatch.setattr(pair.gateway.record, "bug", bugs.append)
    victim, other = gateway.clients.values()
    for client in (victim, other):  # both are due in the same moment
        client.closing_at = None
        gateway._deadlines.set(client.id, pair.loop.time() + 1.0)
    expire = type(victim).expire

    def broken(self: Client, now: float) -> list[g.GatewayEffect]:
        if self is victim and not bugs:
            raise ZeroDivisionError
        return expire(self, now)

    monkeypatch.setattr(type(victim), "expire", broken)
    pair.gateway.driver.command(lambda _: [])
    pair.loop.run(2.0)
    assert len(bugs) == 1
    assert end_reasons(pair) == [Reason.INTERNAL_ERROR]
    assert gateway._deadlines.next is not None
    assert other.id in gateway.clients
    pair.network.cut = True  # bob's timers still run: they find out that he is gone
    assert pair.loop.run(300.0, lambda: other.id not in gateway.clients)
    del seats


def test_a_silent_client_gets_keepalives_so_that_its_nat_remembers_it() -> None:
    pair = Pair(settings=settings_with(idle_timeout=0.0))
    seat = Seat(pair, "10.0.0.2", "198.51.100.1").connect()
    pair.act(seat.host, lambda host: None)
    sent = pair.gateway.plane.counters().datagrams_out
    pair.loop.run(300.0)
    assert pair.gateway.plane.counters().datagrams_out > sent + 5
    assert seat.ping()
